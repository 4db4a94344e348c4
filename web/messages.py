"""The messages between the server and its pages, as JSON objects.

Panel (WebSocket) and peer page (data channel) get `hello`, `state`, `ack` and `error`, and send
`set`, and get `presets` when there are others. The panel also sends `view`, `shown` and `look`, and
gets pictures, a `FrameHeader` or `ThumbnailsHeader` before each. The pages have these types from
`static/messages.d.ts`, which `web.declarations` makes of this module.
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from vcam_relight.pipeline.lighting.presets import PresetSummary
from vcam_relight.vcam.core.errors import InputError
from vcam_relight.vcam.settings.store import PRESET_SETTINGS, Settings
from vcam_relight.vcam.stream.loop import State

MAX_MESSAGE = 4096
"""Bytes of a message from a client; the longest honest one has about 300."""

# Annotations that are text: the type's name in TypeScript.
SettingsJson = Annotated[dict[str, Any], "Settings"]
"""What `Settings.to_json` gives."""
ChangesJson = Annotated[dict[str, Any], "Partial<Settings>"]
"""Some of its keys."""
_LEFT_ALONE = {field.name for field in fields(Settings)} - PRESET_SETTINGS - {"relight"}
_OMITTED = f"Omit<Settings, {' | '.join(map(json.dumps, sorted(_LEFT_ALONE)))}>"
PresetChangesJson = Annotated[dict[str, Any], _OMITTED]
"""What `preset_changes` gives."""
ControlsJson = Annotated[Mapping[str, Any], "Record<ControlName, Control>"]
"""`CONTROLS`, each with the fields of `Control`."""
ControlNames = Annotated[list[str], "ControlName[]"]
Percentiles = Annotated[dict[str, float], "{ p50?: number; p99?: number }"]
"""Milliseconds; empty before the first value."""


class PresetInfo(PresetSummary):
    """A preset, and all that choosing it changes."""

    settings: PresetChangesJson
    own: bool
    """Whether it was saved in the panel, and can be renamed, moved and deleted there."""


class HelloMessage(TypedDict):
    """First of all: what can be chosen."""

    type: Literal["hello"]
    presets: list[PresetInfo]
    controls: ControlsJson
    engines: list[str]


class PresetsMessage(TypedDict):
    """The presets, when there are others."""

    type: Literal["presets"]
    presets: list[PresetInfo]


class SinkSummary(TypedDict):
    """A sink other than our own pages."""

    kind: str
    """`virtual-camera`, `recorder` and the like: see `vcam.sinks`."""
    label: str


class SinkStats(TypedDict):
    """How a sink fares."""

    fps: float
    problem: str
    """Empty when all is well."""


class StatsInfo(TypedDict):
    """What the loop has counted and measured: frames per second, frames, milliseconds."""

    fps_in: float
    fps_out: float
    frames_in: int
    frames_out: int
    drops: dict[str, int]
    """Frames that were replaced by newer ones, by the step they waited for."""
    sinks: dict[str, SinkStats]
    """By label."""
    latency_ms: Percentiles
    stages_ms: dict[str, Percentiles]
    event_loop_lag_ms: Percentiles


class EffortInfo(TypedDict):
    """How much work frames are worth at the moment."""

    level: int
    """Steps below the highest."""
    name: str
    reason: str
    """Why it is below the highest; empty where it is not."""


class StateMessage(TypedDict):
    """Twice a second and after each change: what is so now."""

    type: Literal["state"]
    state: State
    reason: str
    """Why it is degraded or stopped; empty when all is well."""
    applied: int
    """`settings_id` of the newest frame."""
    size: tuple[int, int] | None
    """Width and height of the newest frame in pixels."""
    settings_id: int
    settings: SettingsJson
    source: str
    sinks: list[SinkSummary]
    unsupported_controls: ControlNames
    """Controls that the chosen engine does not support."""
    stats: StatsInfo
    effort: EffortInfo
    runs_on: str
    """What does the engine's work: the CPU or a card; empty before its first frame."""


class IceServerInfo(TypedDict):
    """One that connections ask, as of RTCIceServer in WebRTC."""

    urls: str
    username: NotRequired[str]
    credential: NotRequired[str]


class CameraInfo(TypedDict):
    """What a browser's camera should send."""

    width: int
    height: int
    fps: float


class JoinState(TypedDict):
    """What a page needs to send its camera."""

    ice_servers: list[IceServerInfo]
    camera: CameraInfo
    guest: bool
    """Whether the page is somebody else's, who has no panel."""


class ServerState(StateMessage, JoinState):
    """The answer to `GET /api/state`."""

    peers: int


class SourceInfo(TypedDict):
    """A camera or clip that can be chosen."""

    source: str
    """What `SourceWish` names."""
    label: str


class SourcesState(TypedDict):
    """The answer to `GET /api/source`, and to a `SourceWish` that came true."""

    sources: list[SourceInfo]
    source: str
    """The one that is shown."""
    size: tuple[int, int]
    """Width and height in pixels that are asked of it."""
    fps: float
    sizes: list[tuple[int, int]]
    rates: list[float]
    fixed: bool
    """Whether a browser is the camera, so that there is nothing to choose."""


class SourceWish(TypedDict):
    """The body of `POST /api/source`."""

    source: str
    size: tuple[int, int]
    fps: float


class BackdropPicture(TypedDict):
    """The body of `POST /api/backdrop`."""

    picture: str
    """A picture's file in base64."""


class RecordingWish(TypedDict):
    """The body of `POST /api/recording`."""

    on: bool


class RecordingState(TypedDict):
    """The answer to `POST /api/recording`."""

    on: bool
    path: str
    """Where the file is, or is going to be; empty where there is none."""


class AckMessage(TypedDict):
    """A `set` was accepted: the settings as they are now."""

    type: Literal["ack"]
    id: int | None
    settings_id: int
    settings: SettingsJson


class ErrorMessage(TypedDict):
    """A message was refused; nothing has changed."""

    type: Literal["error"]
    id: int | None
    """The refused `set`'s; None where it had none or could not be read."""
    error: str


class SetMessage(TypedDict):
    """Asks for changes of the settings."""

    type: Literal["set"]
    id: int | None
    """Comes back in `ack` or `error`."""
    changes: ChangesJson


class LookMessage(TypedDict):
    """Saves the current look as a preset, or changes one that was saved; answered as `set` is."""

    type: Literal["look"]
    id: int | None
    action: Literal["save", "rename", "move", "delete"]
    name: str
    """Of the preset that is renamed, moved or deleted; empty: of none."""
    title: str
    """What it is to be called, when it is saved or renamed."""
    by: int
    """Places that it moves: -1 is one earlier."""


class ViewMessage(TypedDict):
    """What the panel shows: whether it is visible, and what it needs beside the relit image."""

    type: Literal["view"]
    visible: bool
    original: bool
    thumbnails: bool
    """Of all presets."""


class ShownMessage(TypedDict):
    """The panel has shown a frame and can take the next one."""

    type: Literal["shown"]
    frame: int


class FrameHeader(TypedDict):
    """Stands before the JPEGs of a frame of the preview."""

    type: Literal["frame"]
    frame: int
    width: int
    height: int
    settings_id: int
    parts: list[int]
    """Bytes of each JPEG: the relit image, then the original where it was asked for."""


class ThumbnailsHeader(TypedDict):
    """Stands before a JPEG with a square for each preset, row by row."""

    type: Literal["thumbnails"]
    names: list[str]
    """The presets, in the order of the squares."""
    side: int
    """Pixels of a square."""
    columns: int
    """Squares in a row."""
    parts: list[int]
    """Bytes of the JPEG."""


class OfferMessage(TypedDict):
    """An offer to `POST /api/offer`."""

    type: Literal["offer"]
    sdp: str
    replaces: str | None
    """The connection that the page had before, which is ended."""
    settings: ChangesJson | None
    """What a session of the page's own begins with; null: the program's."""
    ticket: str | None
    """Of a page that waits for a place; null: it has not waited yet."""


class AnswerMessage(TypedDict):
    """Its answer."""

    type: Literal["answer"]
    sdp: str
    connection: str
    """An id that nobody else knows: what `replaces` names later."""


class BusyMessage(TypedDict):
    """The answer where all places are taken (503): ask again after `Retry-After` seconds."""

    error: str
    ticket: str
    """To ask again with."""
    place: int
    """In line."""


class SessionInfo(TypedDict):
    """One stream, for who runs the program."""

    id: str
    state: State
    reason: str
    fps: float
    age_ms: float
    minutes: float
    """Since it began."""
    engine: str
    runs_on: str


class HouseState(TypedDict):
    """The answer to `GET /api/house`: who is in, for who runs the program."""

    sessions: list[SessionInfo]
    places: int
    waiting: int
    lag_ms: float
    """How late the event loop runs its timers, p99."""


class ByeMessage(TypedDict):
    """The connection is about to end, and why; the page may come back."""

    type: Literal["bye"]
    reason: str


ServerMessage = (
    HelloMessage | PresetsMessage | StateMessage | AckMessage | ErrorMessage | ByeMessage
)
PanelMessage = ViewMessage | ShownMessage | LookMessage
ClientMessage = SetMessage | PanelMessage
BinaryHeader = FrameHeader | ThumbnailsHeader


def parse_message(text: str) -> ClientMessage:
    """One message of a client.

    Raises:
        InputError: too long, not a JSON object, or of no known type and form.
    """
    if len(text.encode(errors="replace")) > MAX_MESSAGE:
        raise InputError(f"a message has at most {MAX_MESSAGE} bytes")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("the message is not JSON") from error
    if not isinstance(message, dict):
        raise InputError("a message is a JSON object")
    match message:
        case {"type": "set", "changes": dict(changes)}:
            number = message.get("id")
            return SetMessage(
                type="set", id=number if isinstance(number, int) else None, changes=changes
            )
        case {"type": "set"}:
            raise InputError("changes must be a JSON object")
        case {"type": "view"}:
            return ViewMessage(
                type="view",
                visible=message.get("visible") is True,
                original=message.get("original") is True,
                thumbnails=message.get("thumbnails") is True,
            )
        case {"type": "shown", "frame": int(frame)}:
            return ShownMessage(type="shown", frame=frame)
        case {"type": "look", "action": "save" | "rename" | "move" | "delete" as action}:
            number, by = message.get("id"), message.get("by", 0)
            return LookMessage(
                type="look",
                id=number if isinstance(number, int) else None,
                action=action,
                name=str(message.get("name", "")),
                title=str(message.get("title", "")),
                by=by if isinstance(by, int) and abs(by) <= 1 else 0,
            )
    raise InputError("there is no message of that type and form")
