"""Relights faces in images and video streams in real time, on any machine.

    from vcam_relight import Relighter, RelightSettings, load_engine, load_presets

    presets, _ = load_presets()
    relighter = Relighter(load_engine("triplane"))
    relit = relighter.still(image, presets["key-left"].lighting(), RelightSettings(strength=0.8))

What `__all__` names is the public API; anything else may change with any release. Images are
`(H, W, 3)` uint8 BGR in sRGB, as OpenCV has them.

| | |
|---|---|
| `ENGINES`, `Engine`, `load_engine` | what there is to relight with |
| `EnginePool` | engines that are loaded once for many streams |
| `Relighter`, `RelightSettings` | one stream, or single images; the user's controls |
| `Lighting`, `Light`, `lights_to_sh`, `irradiance` | a target lighting, from lights or SH |
| `Preset`, `load_presets` | lightings with names |
| `load_sh`, `load_hdri`, `hdri_to_sh` | lightings from files |
| `RelightTrack` | an aiortc track that shows another one relit |
| `read_image`, `write_image`, `convert_video` | files, with all that must survive in them |
| `VcamError` | what goes wrong with files, with a hint |
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "ENGINES",
    "Engine",
    "EnginePool",
    "Light",
    "Lighting",
    "Preset",
    "RelightSettings",
    "RelightTrack",
    "Relighter",
    "VcamError",
    "convert_video",
    "hdri_to_sh",
    "irradiance",
    "lights_to_sh",
    "load_engine",
    "load_hdri",
    "load_presets",
    "load_sh",
    "read_image",
    "write_image",
]

# A checkout keeps its packages beside `src/`, and its links to them are not followed on systems
# without symbolic links.
_checkout = Path(__file__).resolve().parents[2]
if (_checkout / "run_vcam.py").is_file():
    __path__.insert(0, str(_checkout))

if TYPE_CHECKING:
    from vcam_relight.pipeline.controls import RelightSettings
    from vcam_relight.pipeline.engines.base import Engine
    from vcam_relight.pipeline.engines.pool import EnginePool
    from vcam_relight.pipeline.engines.registry import ENGINES, load_engine
    from vcam_relight.pipeline.lighting.hdri import hdri_to_sh, load_hdri
    from vcam_relight.pipeline.lighting.lighting import Lighting
    from vcam_relight.pipeline.lighting.lights import Light, lights_to_sh
    from vcam_relight.pipeline.lighting.presets import Preset, load_presets
    from vcam_relight.pipeline.lighting.sh import irradiance, load_sh
    from vcam_relight.pipeline.relighter import Relighter
    from vcam_relight.vcam.core.errors import VcamError
    from vcam_relight.vcam.media.image import read_image, write_image
    from vcam_relight.vcam.media.video import convert_video
    from vcam_relight.web.webrtc.relight_track import RelightTrack
else:
    # Imported when asked for: numpy, torch and aiortc take longer than `vcam --help` may.
    _MODULES = {
        "pipeline.controls": ["RelightSettings"],
        "pipeline.engines.base": ["Engine"],
        "pipeline.engines.pool": ["EnginePool"],
        "pipeline.engines.registry": ["ENGINES", "load_engine"],
        "pipeline.lighting.hdri": ["hdri_to_sh", "load_hdri"],
        "pipeline.lighting.lighting": ["Lighting"],
        "pipeline.lighting.lights": ["Light", "lights_to_sh"],
        "pipeline.lighting.presets": ["Preset", "load_presets"],
        "pipeline.lighting.sh": ["irradiance", "load_sh"],
        "pipeline.relighter": ["Relighter"],
        "vcam.core.errors": ["VcamError"],
        "vcam.media.image": ["read_image", "write_image"],
        "vcam.media.video": ["convert_video"],
        "web.webrtc.relight_track": ["RelightTrack"],
    }
    _HOMES = {name: module for module, names in _MODULES.items() for name in names}

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
