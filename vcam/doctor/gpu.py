"""The graphics card, its driver, and whether torch uses it."""

import re

from vcam_relight.vcam.doctor.check import Check, one_line
from vcam_relight.vcam.doctor.system import System

_NVIDIA = "0x10de"
_DISPLAY = "0x03"
"""First byte of the PCI class of graphics cards, with or without outputs."""


def check_gpu(system: System) -> Check:
    """Torch computes on the graphics card, where there is one that it could use."""
    name = "gpu"
    try:
        import torch
    except Exception as error:  # a broken native library raises what it likes
        return Check("fail", name, f"torch does not load ({one_line(error)})", "pip install torch")
    driver = _driver(system)
    if torch.cuda.is_available():
        card = torch.cuda.get_device_name(0)
        return Check("ok", name, f"{card}, driver {driver or 'unknown'}, torch {torch.__version__}")
    if not driver and not _has_card(system):
        detail = f"none for torch {torch.__version__}; only the engine paper is in need of one"
        return Check("ok", name, detail)
    if not driver:
        hint = f"{system.distribution.install_driver}, restart; the CPU does its work till then"
        return Check("warn", name, "an NVIDIA card without NVIDIA's driver", hint)
    if torch.version.cuda is None:
        problem = f"torch {torch.__version__} is built without CUDA, so the NVIDIA card is not used"
        hint = "install its CUDA build (pytorch.org/get-started); the CPU does its work till then"
        return Check("warn", name, problem, hint)
    problem = f"torch's CUDA {torch.version.cuda} cannot use the card with driver {driver}"
    hint = f"update the driver ({system.distribution.install_driver}) and restart"
    return Check("warn", name, problem, hint)


def _driver(system: System) -> str:
    """The version of NVIDIA's driver that is loaded; empty where none is."""
    text = system.text("/proc/driver/nvidia/version")
    match = re.search(r"\b(\d+\.\d+(?:\.\d+)?)\b", text)
    return match[1] if match else ""


def _has_card(system: System) -> bool:
    return any(
        system.text(device / "vendor") == _NVIDIA
        and system.text(device / "class").startswith(_DISPLAY)
        for device in system.glob("/sys/bus/pci/devices/*")
    )
