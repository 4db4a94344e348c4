"""The checkpoint that comes with the program."""

import json
import os
from dataclasses import fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from vcam_relight.pipeline.core.resources import CHECKPOINTS, read_checked
from vcam_relight.pipeline.engines.triplane.network.model import Sizes, TriplaneNetwork

VARIABLE = "VCAM_TRIPLANE_CHECKPOINT"
_MOST_CHANNELS = 1024  # of what a file may ask to be built; the shipped network has 96
SHIPPED = CHECKPOINTS / "triplane.safetensors"
"""The checkpoint that comes with the program."""


def checkpoint_path() -> Path:
    """The shipped checkpoint, unless the environment names another."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else SHIPPED


def load_network(path: Path) -> TriplaneNetwork:
    """The network with its trained weights, ready to run.

    Raises:
        OSError: the file is missing.
        RuntimeError: it is damaged, of another network, or not the shipped file that was tested.
    """
    if not path.is_file():
        raise FileNotFoundError(f"the tri-plane network's weights are not at {path}")
    if path == SHIPPED:
        read_checked(path)
    try:
        with safe_open(path, "pt") as file:
            sizes = json.loads((file.metadata() or {}).get("sizes", "{}"))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, RecursionError, MemoryError) as error:
        raise RuntimeError(f"{path} is damaged: {error}") from error
    known = {field.name for field in fields(Sizes)}
    if (
        not isinstance(sizes, dict)
        or set(sizes) - known
        or not all(isinstance(size, int) and 0 < size <= _MOST_CHANNELS for size in sizes.values())
    ):
        raise RuntimeError(f"{path} is of another version of the network")
    try:
        network = TriplaneNetwork(Sizes(**sizes))
        network.load_state_dict(state)
    except (RuntimeError, TypeError, ValueError) as error:
        raise RuntimeError(f"{path} is of another version of the network") from error
    if not all(bool(torch.isfinite(tensor).all()) for tensor in state.values()):
        raise RuntimeError(f"{path} is damaged: not all of its weights are numbers")
    return network.eval().requires_grad_(False)
