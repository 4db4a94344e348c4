"""What `from vcam_relight import …` gives; a name that goes breaks somebody's program."""

import subprocess
import sys

from conftest import ROOT

import vcam_relight

NAMES = [
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


def test_the_public_names_are_these_and_each_is_documented() -> None:
    assert sorted(vcam_relight.__all__) == sorted(NAMES)
    assert set(NAMES) <= set(dir(vcam_relight))
    for name in NAMES:
        assert f"`{name}`" in (vcam_relight.__doc__ or "")
        assert getattr(vcam_relight, name).__doc__, name


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    code = "import sys, vcam_relight; print(*sorted(set(sys.modules) & {'numpy', 'cv2', 'torch'}))"
    code += "; vcam_relight.RelightSettings; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "src", capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["False"], done.stderr
