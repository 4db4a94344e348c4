"""Whoever relights gets libraries that leave the cores to the frames."""

import json
import os
import subprocess
import sys

import pytest

_THREADS = """
import json, cv2, threadpoolctl
from vcam_relight.pipeline.engines.passthrough import PassthroughEngine
from vcam_relight.pipeline.relighter import Relighter
Relighter(PassthroughEngine()).close()
blas = [one["num_threads"] for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"]
print(json.dumps([blas, cv2.getNumThreads()]))
"""


@pytest.mark.parametrize("wish", ["", "2"])
def test_blas_and_opencv_get_one_thread_unless_the_user_says_otherwise(wish: str) -> None:
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    environ.pop("OPENBLAS_NUM_THREADS", None)
    if wish:
        environ["OPENBLAS_NUM_THREADS"] = wish
    done = subprocess.run(
        [sys.executable, "-c", _THREADS], env=environ, capture_output=True, text=True, timeout=120
    )
    blas, opencv = json.loads(done.stdout)
    assert blas and set(blas) == {int(wish or 1)} and opencv == 1
