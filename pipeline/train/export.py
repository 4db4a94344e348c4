"""The file that the program ships, made of a run's best network."""

import csv
import hashlib
import json
import struct
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save

from vcam_relight.pipeline.engines.triplane.network.model import Sizes, TriplaneNetwork


def export(run: Path, out: Path) -> str:
    """Writes the averaged network of a run's best check, float32, with what is known of it.

    Args:
        run: the folder that `pipeline.train.fit` wrote.
        out: a `.safetensors` file, as the network's `load_network` reads it.

    Returns:
        The file's SHA-256.

    Raises:
        OSError: the run has no checkpoint yet, or the file cannot be written.
        RuntimeError: the checkpoint is of another version of the network.
    """
    if not (run / "best.pt").exists():
        raise FileNotFoundError(f"{run} has no best.pt; a run writes it at its first check")
    sizes = Sizes()
    network = TriplaneNetwork(sizes)
    kept = torch.load(run / "best.pt", map_location="cpu", weights_only=True)
    network.load_state_dict(kept["network"])
    with (run / "curve.csv").open(newline="") as file:
        best = min(csv.DictReader(file), key=lambda row: float(row["test_error"]))
    about = {
        "sizes": json.dumps(asdict(sizes)),
        "step": best["step"],
        "hours": f"{float(best['seconds']) / 3600:.2f}",
        "test_error": best["test_error"],
    }
    tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
    content = _ordered(save(tensors, about))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _ordered(content: bytes) -> bytes:
    """The same file with its header sorted.

    `save` writes metadata in any order, and the same network would have another SHA-256 each time.
    """
    (length,) = struct.unpack("<Q", content[:8])
    header = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)  # tensors start at a multiple of 8
    return struct.pack("<Q", len(header)) + header + content[8 + length :]
