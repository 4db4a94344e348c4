"""The emulation sees what may be wrong with kernels: each fault that is planted is found."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import vcam_relight
from vcam_relight.pipeline.cuda.emulation.build import build
from vcam_relight.pipeline.cuda.sources import FOLDER

pytestmark = pytest.mark.slow

UNDEFINED = ("-fsanitize=undefined", "-fno-sanitize-recover=undefined", "-O1")
"""What no C++ program may do ends it."""
SUMS_8 = "shared[8];\n  const int i = blockIdx.x * 256 + threadIdx.x;\n  float values[3]"

NEEDS = {
    "triplane": ["convolution"], "shading": ["convolution", "triplane"], "frame": ["light"],
}  # fmt: skip
"""Whose kernels a file's case runs as well."""

FAULTS: dict[str, list[tuple[str, str, str]]] = {
    "convolution": [
        ("no barrier before partial sums are read", "    __syncthreads();\n", ""),
        ("a warp's partial sums have no place", "partial[4][8][32]", "partial[3][8][32]"),
        ("warps share a piece that is another's", "warp + other", "other"),
        ("half of an output's partial sums are left out", "other < split", "other < split - 1"),
        ("fragments mixed up", "{upper.x, under.x, upper.y,", "{upper.x, upper.y, under.x,"),
        ("pixels past the last", "  if (i >= count * big * big * words) return;\n", ""),
        ("the last column's neighbour", "pair_of(x, 0, side - 1)", "pair_of(x, -1, side)"),
    ],
    "triplane": [
        ("no barrier before the mean is read", "  __syncthreads();\n  if (int(", "  if (int("),
        ("the mean has too few places", "float mean[128]", "float mean[64]"),
        ("a row that is too short", "cell + side + 2)", "cell + side + 1)"),
        ("a lane of another ray", "_sync(~0u, sum, 7, 8)", "_sync(~0u, sum, 7, 32)"),
        ("a shuffle in a branch", "  for (int by = 1; by < 8; by *= 2) mean +=",
         "  if (lane != 3) for (int by = 1; by < 8; by *= 2) mean +="),
        ("a state that is not there is read", "->fresh == 0) {", "->fresh != 2) {"),
        ("weights are read too soon", "  __syncthreads();\n  const int i", "  const int i"),
    ],
    "shading": [
        ("no barrier before warps' sums are added", "  __syncthreads();\n  float sum = 0;",
         "  float sum = 0;"),
        ("no barrier after them", "  __syncthreads();\n  return sum;", "  return sum;"),
        ("warps' sums have too few places", SUMS_8, SUMS_8.replace("[8]", "[6]")),
        ("a row too far", "from + down.far_ * small", "from + (down.far_ + 1) * small"),
        ("a barrier in a branch", "    sums[threadIdx.x] = all;\n  }\n  __syncthreads();",
         "    sums[threadIdx.x] = all;\n    __syncthreads();\n  }"),
        ("cells past the head's", "x < side && y < side;", "x <= side && y <= side;"),
        ("a feature of another", "put(20, person)", "put(19, person)"),
    ],
    "light": [
        ("pixels past the last", "  if (i >= h * w) return;\n  float g", "  float g"),
        ("boxes over the edge", "reflected(i / w + down, h) * w", "(i / w + down) * w"),
        ("gains of the next column", "3 * across.second + c]", "3 * across.second + 3 + c]"),
    ],
    "tflite": [
        ("no barrier before what a block took is read", "  __syncthreads();\n  const int each",
         "  const int each"),
        ("pixels past the last are written", "    if (pixel >= pixels) continue;\n", ""),
        ("no barrier between sums", "2 * words]);\n    __syncthreads();", "2 * words]);"),
        ("a barrier in a branch", "  if (to < hidden)\n", "  if (to < hidden) __syncthreads();\n"
         "  if (to < hidden)\n"),
        ("the last column's neighbour", "0, half - 1)", "0, half)"),
    ],
    "frame": [
        ("gains are read too soon", "  __syncthreads();\n  const int row", "  const int row"),
        ("the tile's gains have too few rows", "gains[10][34][3]", "gains[9][34][3]"),
        ("rows past the last", "if (y >= height || byte >= row) continue;",
         "if (byte >= row) continue;"),
        ("no barrier in the sum of a histogram", "      __syncthreads();\n    }\n", "    }\n"),
        ("pixels past the last", "  if (i >= height * width) return;\n", ""),
        ("counts that are not atomic", "atomicAdd(&counts[apart < 0 ? -apart : apart], 1);",
         "counts[apart < 0 ? -apart : apart] = 1;"),
        ("neighbours outside", "clean + plane * area;", "clean + plane * area - w;"),
    ],
}  # fmt: skip
"""Of each file: what is wrong, and the text that is changed for it."""


def _build(folder: Path, path: Path) -> str:
    """Builds the kernels of a case, with one file in another version."""
    others = [FOLDER / f"{name}.cu" for name in NEEDS.get(path.stem, [])]
    build(folder / "emulation.so", [path, *others], UNDEFINED)
    return str(folder / "emulation.so")


def _passes(library: str, case: str) -> tuple[bool, str]:
    places = [str(Path(vcam_relight.__file__).parents[1]), str(Path(__file__).parents[1])]
    done = subprocess.run(
        [sys.executable, "-m", "support.cuda_fault", library, case],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(places)},
    )
    return done.returncode == 0, (done.stdout + done.stderr)[-300:]


@pytest.mark.parametrize("name", FAULTS)
def test_planted_faults_are_found(name: str, tmp_path: Path) -> None:
    source = (FOLDER / f"{name}.cu").read_text()

    def passes(fault: tuple[str, str, str]) -> bool:
        what, old, new = fault
        assert old in source, f"{what}: the text is not there"
        changed = tmp_path / what / f"{name}.cu"
        changed.parent.mkdir()
        changed.write_text(source.replace(old, new, 1))
        passed, words = _passes(_build(changed.parent, changed), name)
        print(f"{what}: {'passes' if passed else words}")
        return passed

    faults = [("unharmed", "", ""), *FAULTS[name]]
    with ThreadPoolExecutor(2) as several:
        passed = list(several.map(passes, faults))
    assert [fault[0] for fault, one in zip(faults, passed, strict=True) if one] == ["unharmed"]
