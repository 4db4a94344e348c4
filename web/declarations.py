"""Writes `static/messages.d.ts`: the types of `web.messages` for the pages' JavaScript.

Run `python -m vcam_relight.web.declarations` after changing a message, a setting or a control; a
test compares the file with what this module makes.
"""

import dataclasses
import inspect
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from vcam_relight.pipeline.controls import Control, NumberFormat, RelightSettings
from vcam_relight.pipeline.lighting.lights import Light
from vcam_relight.vcam.settings.store import Settings
from vcam_relight.web import messages

FILE = Path(__file__).parent / "static" / "messages.d.ts"

_HEADER = """\
// Made by `python -m vcam_relight.web.declarations` from web/messages.py, pipeline/controls.py and
// vcam/settings/store.py: change those.
"""
_SCALARS = {str: "string", int: "number", float: "number", bool: "boolean", NoneType: "null"}
_UNIONS = ("ServerMessage", "PanelMessage", "ClientMessage", "BinaryHeader")


def declarations() -> str:
    """The text of the file."""
    typed_dicts = [value for value in vars(messages).values() if is_typeddict(value)]
    blocks = [
        _HEADER,
        *(_interface(cls) for cls in (NumberFormat, Control, RelightSettings, Light)),
        "export type ControlName = keyof RelightSettings;\n",
        # flat, as `Settings.to_json` gives it
        _interface(Settings, "Settings extends RelightSettings", leave_out={"relight"}),
        *(_interface(cls) for cls in typed_dicts),
        *(f"export type {name} = {_type(getattr(messages, name))};\n" for name in _UNIONS),
    ]
    return "\n".join(blocks)


def _interface(
    cls: type, head: str = "", leave_out: frozenset[str] | set[str] = frozenset()
) -> str:
    summary = (inspect.getdoc(cls) or "").partition("\n")[0]
    hints = get_type_hints(cls, include_extras=True)
    lines = [f"  {_field(name, hint)};" for name, hint in hints.items() if name not in leave_out]
    body = "\n".join(lines)
    return f"/** {summary} */\nexport interface {head or cls.__name__} {{\n{body}\n}}\n"


def _field(name: str, hint: Any) -> str:
    if get_origin(hint) is NotRequired:
        return f"{name}?: {_type(get_args(hint)[0])}"
    return f"{name}: {_type(hint)}"


def _type(hint: Any) -> str:
    """The TypeScript of a type hint."""
    if hint in _SCALARS:
        return _SCALARS[hint]
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return str(args[1])
    if origin is Literal:
        return " | ".join(f'"{value}"' for value in args)
    if origin in (Union, UnionType):
        return " | ".join(map(_type, args))
    if origin is list:
        return f"{_type(args[0])}[]"
    if origin is tuple and args[-1] is Ellipsis:
        return f"{_type(args[0])}[]"
    if origin is tuple:
        return f"[{', '.join(map(_type, args))}]"
    if origin in (dict, Mapping):
        return f"Record<string, {_type(args[1])}>"
    if is_typeddict(hint) or dataclasses.is_dataclass(hint):
        return str(hint.__name__)
    raise TypeError(f"{hint} has no TypeScript form here")


if __name__ == "__main__":
    FILE.write_text(declarations(), encoding="utf-8")
