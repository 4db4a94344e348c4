"""No engine needs another: the folder of each may be deleted, and the others run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from support.demo import demo_frames

PROGRAM = """
import sys
from importlib import import_module
import numpy as np
import vcam_relight
from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.engines.registry import DEFAULT_ENGINE, ENGINES, load_engine
from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.pipeline.relighter import Relighter

frame, light = np.load("frame.npy"), load_presets()[0]["key-left"].lighting()
assert DEFAULT_ENGINE in ENGINES
for name in ENGINES:
    if name == "paper":  # its weights are not part of the project
        import_module("vcam_relight.pipeline.engines.paper.engine")
    else:
        with Relighter(load_engine(name)) as relighter:
            relit = relighter.still(frame, light, RelightSettings())
        assert (relit is frame) == (name == "passthrough"), name
print(*ENGINES)
"""


@pytest.mark.parametrize("deleted", ["geometry", "triplane", "paper"])
def test_an_engine_can_be_deleted_and_the_others_run(deleted: str, tmp_path: Path) -> None:
    package = tmp_path / "vcam_relight"
    package.mkdir()
    shutil.copy(ROOT / "src" / "vcam_relight" / "__init__.py", package)
    shutil.copytree(ROOT / "pipeline", package / "pipeline")
    shutil.rmtree(package / "pipeline" / "engines" / deleted)
    for folder in ("third_party", "checkpoints"):
        (package / folder).symlink_to(ROOT / folder, target_is_directory=True)
    np.save(tmp_path / "frame.npy", demo_frames(1)[0])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    others = {"geometry", "triplane", "paper", "passthrough"} - {deleted}
    assert set(done.stdout.split()) == others
