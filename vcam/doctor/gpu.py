"""The graphics card, its driver, and whether the program uses it."""

import re

from vcam_relight.pipeline.cuda.choose import card_of
from vcam_relight.pipeline.cuda.driver import CudaError, NoCardError
from vcam_relight.vcam.doctor.check import Check
from vcam_relight.vcam.doctor.system import System

_NVIDIA = "0x10de"
_DISPLAY = "0x03"
"""First byte of the PCI class of graphics cards, with or without outputs."""


def check_gpu(system: System) -> Check:
    """The default engine's kernels can run on the graphics card, where there is an NVIDIA one."""
    name = "gpu"
    driver = _driver(system)
    try:
        card = card_of("cuda")
    except NoCardError as error:
        if not driver and not _has_card(system):
            return Check("ok", name, "no NVIDIA card: all of the work is the CPU's")
        if not driver:
            hint = f"{system.distribution.install_driver}, restart; the CPU does its work till then"
            return Check("warn", name, "an NVIDIA card without NVIDIA's driver", hint)
        hint = f"update the driver ({system.distribution.install_driver}) and restart"
        return Check("warn", name, f"{error}; driver {driver}, the CPU does the work", hint)
    except CudaError as error:
        detail, _, hint = str(error).partition(": ")
        return Check("warn", name, f"the CPU does the work: {detail}", hint)
    if card is None:
        raise ValueError("`card_of` gives a card or raises")
    capability = ".".join(map(str, card.capability))
    detail = f"{card.name}, compute capability {capability}, driver {driver or 'unknown'}"
    return Check("ok", name, detail)


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
