"""The HTTP interface of the panel's server as OpenAPI 3.1, made of the messages' types.

Served at `/openapi.json`, so that whoever writes a client of their own need not read our code.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from inspect import getdoc
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

from vcam_relight import __version__
from vcam_relight.pipeline.compositing.backdrop import BACKDROPS
from vcam_relight.pipeline.controls import CONTROLS
from vcam_relight.pipeline.engines.registry import ENGINES
from vcam_relight.vcam.settings.store import Settings
from vcam_relight.web.messages import (
    AckMessage,
    BackdropPicture,
    RecordingState,
    RecordingWish,
    ServerState,
    SourcesState,
    SourceWish,
)

Schema = dict[str, Any]

_SCALARS: dict[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    NoneType: {"type": "null"},
    Any: {},
}
_ERROR: Schema = {
    "type": "object",
    "properties": {"error": {"type": ["string", "null"]}},
    "required": ["error"],
}
_REFUSALS = {
    400: "it makes no sense, or cannot be done: `error` says why",
    401: "the token is missing or of an earlier run",
    403: "the request comes from another site's page",
    408: "the body did not come",
    413: "the body is too large",
    415: "the body is no JSON",
    421: "the server does not go by that name",
}


@dataclass(frozen=True, slots=True)
class _Operation:
    method: str
    path: str
    summary: str
    answer: Any
    body: Any = None


_OPERATIONS = (
    _Operation("get", "/api/state", "How the program is set, and how it fares", ServerState),
    _Operation(
        "post",
        "/api/settings",
        "Changes settings, all that is given or nothing",
        AckMessage,
        Annotated[dict[str, Any], "Partial<Settings>"],
    ),
    _Operation("get", "/api/source", "The cameras that can be chosen", SourcesState),
    _Operation("post", "/api/source", "Chooses a camera", SourcesState, SourceWish),
    _Operation(
        "post", "/api/recording", "Begins or ends a recording", RecordingState, RecordingWish
    ),
    _Operation("post", "/api/backdrop", "Gives the backdrop's picture", dict, BackdropPicture),
)


def document() -> Schema:
    """The whole of it."""
    components: dict[str, Schema] = {}
    paths: dict[str, Schema] = {}
    for one in _OPERATIONS:
        answers: Schema = {
            "200": _content(one.summary, _schema(one.answer, components)),
            **{str(code): _content(words, _ERROR) for code, words in _REFUSALS.items()},
        }
        operation: Schema = {"summary": one.summary, "responses": answers}
        if one.body is not None:
            schema = _schema(one.body, components)
            operation["requestBody"] = {
                "required": True,
                "content": {"application/json": {"schema": schema}},
            }
        paths.setdefault(one.path, {})[one.method] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "vcam",
            "version": __version__,
            "description": "Of the panel's server. The token is in the address that vcam prints. "
            "The WebSocket /ws speaks the messages of web/messages.py.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": components,
        },
    }


def _content(words: str, schema: Schema) -> Schema:
    return {"description": words, "content": {"application/json": {"schema": schema}}}


def _schema(hint: Any, components: dict[str, Schema]) -> Schema:
    """The JSON Schema of a type hint; what has a name goes to `components`."""
    if hint in _SCALARS:
        return _SCALARS[hint]
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        if args[1] in ("Settings", "Partial<Settings>"):
            return _settings(partial=args[1] != "Settings")
        return _schema(args[0], components)
    if origin is Literal:
        return {"enum": list(args)}
    if origin in (Union, UnionType):
        return {"anyOf": [_schema(arg, components) for arg in args]}
    if origin is list:
        return {"type": "array", "items": _schema(args[0], components)}
    if origin is tuple:
        items = [_schema(arg, components) for arg in args if arg is not Ellipsis]
        kind = items[0] if items.count(items[0]) == len(items) else {"anyOf": items}
        count = {} if Ellipsis in args else {"minItems": len(items), "maxItems": len(items)}
        return {"type": "array", "items": kind, **count}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _schema(args[1], components)}
    if hint is dict:
        return {"type": "object"}
    if is_typeddict(hint):
        if hint.__name__ not in components:
            components[hint.__name__] = {}  # it may name itself
            components[hint.__name__] = _object(hint, components)
        return {"$ref": f"#/components/schemas/{hint.__name__}"}
    raise TypeError(f"{hint} has no schema here")


def _object(cls: type, components: dict[str, Schema]) -> Schema:
    hints = get_type_hints(cls, include_extras=True)
    properties, required = {}, []
    for name, hint in hints.items():
        if get_origin(hint) is NotRequired:
            hint = get_args(hint)[0]
        else:
            required.append(name)
        properties[name] = _schema(hint, components)
    return {
        "type": "object",
        "description": (getdoc(cls) or "").partition("\n")[0],
        "properties": properties,
        "required": required,
    }


def _settings(*, partial: bool) -> Schema:
    """What `Settings.to_json` gives, or any part of it."""
    properties: Schema = {
        "preset": {"type": "string"},
        "aim": {
            "anyOf": [
                {"type": "null"},
                {"type": "array", "items": _bounds(-180, 180), "minItems": 2, "maxItems": 2},
            ]
        },
        "lights": {"anyOf": [{"type": "null"}, {"type": "array"}]},
        "mirror": {"type": "boolean"},
        "engine": {"enum": list(ENGINES)},
        "backdrop": {"enum": list(BACKDROPS)},
        "backdrop_amount": _bounds(0, 1),
        "backdrop_color": {"type": "string", "pattern": "^#[0-9a-fA-F]{6}$"},
    }  # fmt: skip
    unknown = {one.name for one in fields(Settings)} - {"relight"} - properties.keys()
    if unknown:
        raise TypeError(f"settings without a schema: {', '.join(sorted(unknown))}")
    for name, control in CONTROLS.items():
        properties[name] = {**_bounds(control.low, control.high), "description": control.help}
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema if partial else schema | {"required": list(properties)}


def _bounds(low: float, high: float) -> Schema:
    return {"type": "number", "minimum": low, "maximum": high}
