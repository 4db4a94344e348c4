"""Linux's virtual camera, v4l2loopback: from its package to a device that browsers list."""

import re
from collections.abc import Iterator

from vcam_relight.vcam.devices.setup_hints import LOAD_MODULE, RELOAD_MODULE
from vcam_relight.vcam.devices.v4l2 import CAPTURE, OUTPUT
from vcam_relight.vcam.doctor.check import Check
from vcam_relight.vcam.doctor.system import System, VideoNode

DRIVER = "v4l2 loopback"
_SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
_DKMS = "/var/lib/dkms/v4l2loopback"
_NO_NAME = "Dummy video device"
"""How v4l2loopback calls a device that got no card_label."""


def loopback_checks(system: System) -> Iterator[Check]:
    """The checks of the module, and of its devices once there are some."""
    loaded = system.path("/sys/module/v4l2loopback").is_dir()
    installed = loaded or _installed(system)
    yield check_module(system, installed, loaded)
    if installed:
        yield check_secure_boot(system, loaded)
    devices = [node for node in system.video_nodes() if _is_loopback(system, node)]
    yield check_device(system, loaded, devices)
    if devices:
        yield check_exclusive_caps(system, devices)
        yield check_label(system, devices)
    if installed:
        yield check_next_start(system)


def check_module(system: System, installed: bool, loaded: bool) -> Check:
    """The kernel module is there for the running kernel, and loaded."""
    name = "v4l2loopback"
    if loaded:
        version = system.text("/sys/module/v4l2loopback/version")
        return Check("ok", name, f"{version} is loaded".strip())
    if installed:
        return Check("warn", name, "installed but not loaded", LOAD_MODULE)
    if system.container:
        hint = "load it on the host, and give the container its device (--device /dev/videoN)"
        return Check("warn", name, "this is a container, whose kernel is its host's", hint)
    if "microsoft" in system.kernel.lower():
        return Check(
            "warn", name, "WSL's kernel has no such module", "run vcam on Windows itself, with OBS"
        )
    known = system.distribution
    if not system.glob(f"{_DKMS}/*/source"):
        hint = f"{known.install_module}, then {LOAD_MODULE}"
        return Check("warn", name, f"not installed for the kernel {system.kernel}", hint)
    if not system.path(f"/lib/modules/{system.kernel}/build").exists():
        problem = f"DKMS lacks the headers of the kernel {system.kernel}"
        hint = f"{known.install_headers}, then {known.rebuild_module}"
        return Check("warn", name, problem, hint)
    logs = ", ".join(str(path) for path in system.glob(f"{_DKMS}/*/build/make.log"))
    problem = f"DKMS has not built it for the kernel {system.kernel}"
    hint = f"{known.rebuild_module}, then {LOAD_MODULE}"
    return Check("warn", name, problem, f"{hint}; if that fails, {logs} says why" if logs else hint)


def check_secure_boot(system: System, loaded: bool) -> Check:
    """Secure Boot does not keep the module out."""
    name = "secure boot"
    try:
        variable = system.path(_SECURE_BOOT).read_bytes()
    except OSError:
        return Check("ok", name, "off: this machine has no UEFI, or does not tell")
    if variable[4:5] != b"\1":  # after four bytes of attributes
        return Check("ok", name, "off")
    if loaded:
        return Check("ok", name, "on, and the module's key is known")
    keys = ("/var/lib/shim-signed/mok/MOK.der", "/var/lib/dkms/mok.pub")
    own = [key for key in keys if system.path(key).exists()]
    key = own[0] if own else system.distribution.signing_key
    return Check(
        "warn",
        name,
        "on: it refuses modules built here ('Key was rejected by service') until it has their key",
        f"sudo mokutil --import {key}, restart, and choose Enroll MOK in the blue menu",
    )


def check_device(system: System, loaded: bool, devices: list[VideoNode]) -> Check:
    """There is a virtual camera that takes frames now."""
    name = "virtual camera"
    if not devices:
        detail = "v4l2loopback is loaded but has no device" if loaded else "none"
        return Check("warn", name, detail, RELOAD_MODULE if loaded else "`vcam setup` says how")
    free = [node for node in devices if _flags(node) & OUTPUT]
    if free:
        return Check("ok", name, ", ".join(f"{node.name} ({node.path})" for node in free))
    node = devices[0]
    shown = f"{node.name} ({node.path})"
    if node.capability is None:
        return Check("warn", name, f"{shown} cannot be opened", "see the line on permissions")
    holders = ", ".join(system.holders(node.path))
    if _flags(node) & CAPTURE:
        problem = f"{shown} is written to by another program"
        problem += f", one of {holders}" if holders else f"; `sudo fuser -v {node.path}` names it"
        return Check("warn", name, problem, "close that program")
    # 0.12 after a program that wrote without VIDIOC_STREAMON; our sink frees it (devices.loopback).
    return Check("ok", name, f"{shown}, left locked by another program; vcam unlocks it")


def check_exclusive_caps(system: System, devices: list[VideoNode]) -> Check:
    """Each device is either a camera or an output: browsers list no others."""
    name = "exclusive_caps"
    both = [str(node.path) for node in devices if _flags(node) & CAPTURE and _flags(node) & OUTPUT]
    parameter = system.text("/sys/module/v4l2loopback/parameters/exclusive_caps")
    if both or (parameter and "Y" not in parameter):
        which = ", ".join(both) or "any device"
        detail = f"not set for {which}: browsers and Electron apps do not list it"
        return Check("warn", name, detail, _reload(system, devices))
    return Check("ok", name, "set: browsers list the camera while vcam runs")


def check_label(system: System, devices: list[VideoNode]) -> Check:
    """The camera has a name that people recognise, and no two have the same."""
    nameless = [node for node in devices if node.name.startswith(_NO_NAME)]
    if nameless:
        detail = f"{nameless[0].path} is listed as '{nameless[0].name}'"
        return Check("warn", "label", detail, _reload(system, devices))
    names = [node.name for node in devices]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        hint = f"load v4l2loopback with a card_label each, as in {LOAD_MODULE}"
        return Check("warn", "label", f"two cameras are called '{twice}'", hint)
    return Check("ok", "label", ", ".join(f"'{name}'" for name in names))


def check_next_start(system: System) -> Check:
    """The module is loaded again, with the right options, when the machine starts."""
    name = "at boot"
    hint = "`vcam setup` prints the two files"
    folders = ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")
    lists = [path for at in folders for path in system.glob(f"{at}/modules-load.d/*.conf")]
    named = re.compile(r"^\s*v4l2loopback\s*$", re.M)
    if not any(named.search(system.text(path)) for path in lists):
        return Check("warn", name, "v4l2loopback is not loaded when the machine starts", hint)
    options = re.compile(r"^\s*options\s+v4l2loopback\s+(.*)$", re.M)
    files = [path for at in folders for path in system.glob(f"{at}/modprobe.d/*.conf")]
    lines = [(path, line) for path in files for line in options.findall(system.text(path))]
    if not any(re.search(r"\bexclusive_caps=[1Yy]", line) for _, line in lines):
        where = f"{lines[0][0]} loads it" if lines else "it is loaded"
        return Check("warn", name, f"{where} without exclusive_caps=1", hint)
    return Check("ok", name, "v4l2loopback is loaded with exclusive_caps=1")


def _installed(system: System) -> bool:
    """Whether modprobe would find it."""
    folder = f"/lib/modules/{system.kernel}"
    listed = system.text(f"{folder}/modules.dep") + system.text(f"{folder}/modules.builtin")
    return "/v4l2loopback.ko" in listed


def _is_loopback(system: System, node: VideoNode) -> bool:
    if node.capability is not None:
        return node.capability.driver == DRIVER
    # One that cannot be opened: a virtual device whose parent is no hardware and no other driver.
    uevent = system.path(f"/sys/class/video4linux/video{node.index}/device/driver")
    return system.path("/sys/module/v4l2loopback").is_dir() and not uevent.exists()


def _reload(system: System, devices: list[VideoNode]) -> str:
    """How to load the module anew, which the kernel refuses while a program uses a device."""
    holders = {holder: None for node in devices for holder in system.holders(node.path)}
    return f"close {', '.join(holders)}, then {RELOAD_MODULE}" if holders else RELOAD_MODULE


def _flags(node: VideoNode) -> int:
    return node.capability.flags if node.capability else 0
