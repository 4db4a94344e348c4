"""Reads the authors' checkpoint as it is, and says in one line what is wrong with one that is not.

The weights are not part of this project and may be used for research only.
"""

import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vcam_relight.pipeline.core.resources import CHECKPOINTS
from vcam_relight.pipeline.engines.paper.network import UNUSED, PaperNetwork

DEFAULT_PATH = CHECKPOINTS / "paper" / "model.pth"
VARIABLE = "VCAM_PAPER_CHECKPOINT"
"""The environment variable that names another place, as an installed program needs."""

_ADVICE = "Use the authors' model.pth as released."
_COUNTER = "num_batches_tracked"
"""Of batch norms: the only whole numbers in a state dict, and never used."""
_SHOWN = 3
"""Wrong tensors that a message names."""


class CheckpointError(RuntimeError):
    """The file is there but cannot be used; the message says why and what to do."""


def checkpoint_path() -> Path:
    """Where the weights are expected on this machine."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else DEFAULT_PATH


def load_network(path: Path = DEFAULT_PATH) -> PaperNetwork:
    """Builds the network with the weights of a state dict, in float32 on the CPU.

    Nothing in the file is executed. Its memory is mapped, so what no image needs is never read.
    Call `prepare` on the result.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is damaged, not only weights, or of another network.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"no weights of the paper's network at {path}: download model.pth from the authors' "
            'project page or repository ("Real-time 3D-aware Portrait Video Relighting", CVPR '
            f"2024; research use only) and put it there, or name its place in {VARIABLE}"
        )
    found = as_state(read(path, _ADVICE), path, _ADVICE)
    network = PaperNetwork()
    needed = {name: value for name, value in found.items() if not name.startswith(UNUSED)}
    assign(network, needed, f"{path} is not of the paper's network", _ADVICE)
    return network


def read(path: Path, advice: str) -> Any:
    """What torch saved in a file, without running anything in it.

    Raises:
        CheckpointError: it is damaged or holds more than weights; the message ends in `advice`.
    """
    try:
        return torch.load(
            path,
            map_location="cpu",
            weights_only=True,
            mmap=_is_stored(path),  # the older format cannot be mapped
        )
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error):
            raise CheckpointError(
                f"{path} holds more than weights, and loading it could run someone else's code: "
                f"it was refused. {advice}"
            ) from error
        raise _damaged(path, error) from error
    except CheckpointError:
        raise
    except Exception as error:  # an unpickler raises whatever the file makes it run into
        raise _damaged(path, error) from error


def _is_stored(path: Path) -> bool:
    """Whether it is a zip archive, as torch writes them.

    Raises:
        CheckpointError: it is compressed: it could grow as it is read.
    """
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise CheckpointError(f"{path} is compressed, which no file that torch saved is")
    return True


def as_state(content: Any, path: Path, advice: str) -> dict[str, Tensor]:
    """What was read, if it is names and tensors; else a CheckpointError."""
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise CheckpointError(f"{path} is not a state dict (names and tensors). {advice}")
    return dict(content)


def assign(network: nn.Module, found: Mapping[str, Tensor], what: str, advice: str) -> None:
    """Puts weights, as float32, into a network made on the meta device.

    Raises:
        CheckpointError: names or shapes differ; `what` begins the message, `advice` ends it.
    """
    faults = _faults(network.state_dict(), found)
    if faults:
        more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise CheckpointError(f"{what}: {'; '.join(faults[:_SHOWN])}{more}. {advice}")
    network.load_state_dict({k: v.float() for k, v in found.items()}, assign=True)


def _damaged(path: Path, error: Exception) -> CheckpointError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return CheckpointError(
        f"{path} is damaged or cut short ({reason[:120]}): download it again and compare its size "
        "with the one given there"
    )


def _faults(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    faults = [f"{name} is missing" for name in expected if name not in found]
    faults += [f"{name} is not known" for name in found if name not in expected]
    for name, value in found.items():
        if name not in expected:
            continue
        shape = tuple(expected[name].shape)
        if tuple(value.shape) != shape:
            faults.append(f"{name} is {tuple(value.shape)} instead of {shape}")
        elif not (value.is_floating_point() or name.endswith(_COUNTER)):
            faults.append(f"{name} is {value.dtype} instead of a floating-point type")
        elif value.is_meta or value.layout != torch.strided:
            faults.append(f"{name} is no plain array of numbers")
    return faults
