"""`vcam doctor` finds planted faults and suggests a fix for each.

The machine is a tree of files as Linux shows them below /sys, /proc, /etc and /dev; what answers
ioctls is a table. Ports, files, processes and programs are real ones.
"""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from conftest import ROOT

from vcam_relight.pipeline.cuda.device import Card
from vcam_relight.pipeline.cuda.driver import CudaError, NoCardError
from vcam_relight.pipeline.native.library import KernelLibrary
from vcam_relight.vcam.cli.commands.setup import steps
from vcam_relight.vcam.cli.main import main
from vcam_relight.vcam.core.errors import SinkError
from vcam_relight.vcam.devices.v4l2 import Capability
from vcam_relight.vcam.doctor import gpu
from vcam_relight.vcam.doctor.bundle import write_bundle
from vcam_relight.vcam.doctor.cameras import camera_checks
from vcam_relight.vcam.doctor.check import Check
from vcam_relight.vcam.doctor.desktop import desktop_checks
from vcam_relight.vcam.doctor.gpu import check_gpu
from vcam_relight.vcam.doctor.loopback import loopback_checks
from vcam_relight.vcam.doctor.modes import Mode
from vcam_relight.vcam.doctor.other_systems import (
    check_cameras,
    check_consent,
    check_virtual_camera,
)
from vcam_relight.vcam.doctor.panel import check_https, check_port
from vcam_relight.vcam.doctor.program import CHECKPOINTS, MEDIAPIPE, check_files, check_kernels
from vcam_relight.vcam.doctor.system import System

KERNEL = "6.1.0-test"
CAPTURE, OUTPUT = 0x05200001, 0x05200002
GOOD_OPTIONS = "options v4l2loopback devices=1 exclusive_caps=1 card_label=vcam\n"
ZOOM = "/var/lib/flatpak/app/us.zoom.Zoom/current/active/metadata"
FIREFOX = "/snap/firefox/current/meta/snap.yaml"
FIREFOX_RULES = "/etc/udev/rules.d/70-snap.firefox.rules"
SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


@dataclass
class Machine:
    """A healthy Debian desktop with a webcam and a virtual camera, to be broken."""

    root: Path
    flags: dict[str, int] = field(default_factory=lambda: {"video0": CAPTURE, "video10": OUTPUT})
    modes: list[Mode] = field(default_factory=lambda: [Mode("MJPG", 1280, 720, 30.0)])
    fps: float = 29.7
    refused: set[str] = field(default_factory=set)
    groups: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        self.write("/etc/os-release", 'ID=debian\nPRETTY_NAME="Debian GNU/Linux 12"\n')
        self.write("/etc/hostname", "janes-laptop\n")
        self.write("/etc/group", "root:x:0:\nvideo:x:44:bob\n")
        self.write("/etc/passwd", "jdoe:x:1000:1000:Jane Doe,,,:/home/jdoe:/bin/bash\n")
        self.write("/etc/modules-load.d/vcam.conf", "v4l2loopback\n")
        self.write("/etc/modprobe.d/vcam.conf", GOOD_OPTIONS)
        self.write(f"/lib/modules/{KERNEL}/modules.dep", "updates/dkms/v4l2loopback.ko.xz:\n")
        self.write("/sys/module/v4l2loopback/parameters/exclusive_caps", "Y\n")
        self.write("/sys/class/video4linux/video0/name", "HD Webcam\n")
        self.write("/sys/class/video4linux/video0/device/driver/uevent", "")
        self.write("/sys/class/video4linux/video10/name", "vcam\n")
        self.write("/sys/bus/usb/devices/1-1/serial", "SN4711B\n")
        self.write(SECURE_BOOT, "\6\0\0\0\0")
        self.write("/run/user/1000/pipewire-0", "")
        self.write("/usr/libexec/xdg-desktop-portal", "")
        self.write(ZOOM, "[Context]\nshared=network;\ndevices=all;\n")
        self.write(FIREFOX, "plugs:\n  - camera\n")
        self.write(FIREFOX_RULES, 'KERNEL=="video[0-9]*", TAG+="snap_firefox_firefox"\n')
        for name in self.flags:
            self.write(f"/dev/{name}", "")

    def write(self, place: str, text: str) -> None:
        """Makes a file with its folders."""
        path = self.root / place[1:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def remove(self, place: str) -> None:
        """Takes a file or folder away."""
        path = self.root / place[1:]
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    def system(self) -> System:
        """What the checks get."""
        return System(
            root=self.root,
            kernel=KERNEL,
            platform="linux",
            environ={"XDG_RUNTIME_DIR": "/run/user/1000", "DISPLAY": ":0", "PATH": "/usr/bin"},
            home=Path("/home/jdoe"),
            user="jdoe",
            groups=self.groups,
            accessible=lambda path: path.name not in self.refused,
            query=self.query,
            modes=lambda path: self.modes,
        )

    def query(self, path: Path) -> Capability | None:
        """What the device would answer."""
        if path.name in self.refused:
            return None
        driver = "uvcvideo" if path.name == "video0" else "v4l2 loopback"
        return Capability(driver, path.name, self.flags[path.name])

    def checks(self) -> dict[str, Check]:
        """What the doctor finds, by name."""
        system = self.system()
        found = [
            *camera_checks(system, lambda index, size, fps: (size, self.fps)),
            *loopback_checks(system),
            *desktop_checks(system),
            check_gpu(system),
        ]
        return {check.name: check for check in found}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine without a fault."""
    return Machine(tmp_path)


def test_a_healthy_machine_has_nothing_to_mend(machine: Machine) -> None:
    checks = machine.checks()
    assert {name: str(check) for name, check in checks.items() if check.level != "ok"} == {}
    assert checks["cameras"].detail == "0: HD Webcam"
    assert "'vcam'" in checks["label"].detail
    assert "29.7 frames per second" in checks["camera 0 rate"].detail


def not_installed(machine: Machine) -> None:
    machine.remove("/sys/module/v4l2loopback")
    machine.remove("/sys/class/video4linux/video10")
    machine.write(f"/lib/modules/{KERNEL}/modules.dep", "kernel/fs/ext4.ko:\n")


def no_headers(machine: Machine) -> None:
    not_installed(machine)
    machine.write("/var/lib/dkms/v4l2loopback/0.12.7/source/dkms.conf", "")


def build_failed(machine: Machine) -> None:
    no_headers(machine)
    machine.write(f"/lib/modules/{KERNEL}/build/Makefile", "")
    machine.write("/var/lib/dkms/v4l2loopback/0.12.7/build/make.log", "error")


def not_loaded(machine: Machine) -> None:
    machine.remove("/sys/module/v4l2loopback")
    machine.remove("/sys/class/video4linux/video10")


def secure_boot(machine: Machine) -> None:
    not_loaded(machine)
    machine.write(SECURE_BOOT, "\6\0\0\0\1")
    machine.write("/var/lib/dkms/mok.pub", "key")


def fedora(machine: Machine) -> None:
    not_installed(machine)
    machine.write("/etc/os-release", "ID=nobara\nID_LIKE=fedora\n")


def no_device(machine: Machine) -> None:
    machine.remove("/sys/class/video4linux/video10")


def shared_caps(machine: Machine) -> None:
    machine.flags["video10"] = CAPTURE | OUTPUT


def writer(machine: Machine) -> None:
    machine.flags["video10"] = CAPTURE
    hold(machine, "/dev/video10", "obs", 812)


def hold(machine: Machine, place: str, program: str, process: int) -> None:
    machine.write(f"/proc/{process}/comm", program + "\n")
    link = machine.root / f"proc/{process}/fd/7"
    link.parent.mkdir()
    link.symlink_to(machine.root / place[1:])


def old_session(machine: Machine) -> None:
    machine.refused.add("video0")
    machine.write("/etc/group", f"own:x:{gid(machine)}:bob,jdoe\n")


def gid(machine: Machine) -> int:
    return (machine.root / "dev/video0").stat().st_gid


def in_container(machine: Machine) -> None:
    machine.write("/.dockerenv", "")
    machine.remove("/dev/video0")


def yuyv(machine: Machine) -> None:
    machine.modes = [Mode("YUYV", 1280, 720, 9.0), Mode("YUYV", 640, 480, 30.0)]


def nvidia(machine: Machine) -> None:
    machine.write("/sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n")
    machine.write("/sys/bus/pci/devices/0000:01:00.0/class", "0x030200\n")


def shut_snap(machine: Machine) -> None:
    machine.write(FIREFOX_RULES, 'KERNEL=="hidraw*"\n')


def two_alike(machine: Machine) -> None:
    machine.flags["video11"] = OUTPUT
    machine.write("/dev/video11", "")
    machine.write("/sys/class/video4linux/video11/name", "vcam\n")


FAULTS: dict[str, tuple[Callable[[Machine], object], str, str]] = {
    "module missing": (not_installed, "v4l2loopback", "sudo apt install v4l2loopback-dkms"),
    "module missing, Fedora": (fedora, "v4l2loopback", "sudo dnf install akmod-v4l2loopback"),
    "headers missing": (no_headers, "v4l2loopback", 'apt install "linux-headers-$(uname -r)"'),
    "DKMS failed": (build_failed, "v4l2loopback", "0.12.7/build/make.log says why"),
    "module not loaded": (not_loaded, "v4l2loopback", "modprobe v4l2loopback devices=1"),
    "secure boot": (secure_boot, "secure boot", "mokutil --import /var/lib/dkms/mok.pub"),
    "no device": (no_device, "virtual camera", "modprobe -r v4l2loopback"),
    "no exclusive_caps": (shared_caps, "exclusive_caps", "exclusive_caps=1"),
    "no label": (
        lambda m: m.write("/sys/class/video4linux/video10/name", "Dummy video device (0x0000)"),
        "label",
        "card_label='vcam'",
    ),
    "two of one name": (two_alike, "label", "a card_label each"),
    "another program writes": (writer, "virtual camera", "close that program"),
    "not at boot": (lambda m: m.remove("/etc/modules-load.d"), "at boot", "`vcam setup`"),
    "stale options": (
        lambda m: m.write("/etc/modprobe.d/vcam.conf", "options v4l2loopback devices=2\n"),
        "at boot",
        "`vcam setup`",
    ),
    "not in the group": (
        lambda m: m.refused.add("video0"),
        "permissions",
        "sudo usermod -aG",
    ),
    "in the group too late": (old_session, "permissions", "log out and in again"),
    "container without device": (in_container, "permissions", "--device"),
    "no camera": (lambda m: m.remove("/sys/class/video4linux/video0"), "cameras", "--source demo"),
    "camera held": (
        lambda m: hold(m, "/dev/video0", "zoom", 4242),
        "camera 0 in use",
        "close that program",
    ),
    "no MJPG": (yuyv, "camera 0 modes", "--size 640x480"),
    "slow camera": (
        lambda m: setattr(m, "fps", 14.8),
        "camera 0 rate",
        "exposure_dynamic_framerate=0",
    ),
    "no PipeWire": (
        lambda m: m.remove("/run/user/1000/pipewire-0"),
        "pipewire portal",
        "systemctl --user enable --now pipewire",
    ),
    "no portal": (
        lambda m: m.remove("/usr/libexec/xdg-desktop-portal"),
        "pipewire portal",
        "install xdg-desktop-portal",
    ),
    "shut Flatpak": (
        lambda m: m.write(ZOOM, "[Context]\ndevices=dri;\n"),
        "flatpak",
        "flatpak override --user --device=all us.zoom.Zoom",
    ),
    "shut snap": (shut_snap, "snap", "sudo snap connect firefox:camera"),
    "no NVIDIA driver": (nvidia, "gpu", "sudo apt install nvidia-driver"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_planted_fault_is_found_with_its_mend(machine: Machine, fault: str) -> None:
    plant, name, hint = FAULTS[fault]
    plant(machine)
    check = machine.checks()[name]
    assert check.level == "warn"
    assert hint in check.hint
    assert "\n" not in str(check)


def test_programs_that_hold_a_device_are_named(machine: Machine) -> None:
    hold(machine, "/dev/video0", "zoom", 4242)
    writer(machine)
    checks = machine.checks()
    assert "zoom (4242)" in checks["camera 0 in use"].detail
    assert "obs (812)" in checks["virtual camera"].detail
    assert "camera 0 rate" not in checks  # it is not taken from the other program
    machine.write("/sys/class/video4linux/video10/name", "Dummy video device (0x0000)")
    assert machine.checks()["label"].hint.startswith("close obs (812), then sudo modprobe -r")


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc")
def test_a_real_process_that_holds_a_file_is_found(tmp_path: Path) -> None:
    held = tmp_path / "video0"
    held.touch()
    (tmp_path / "proc").symlink_to("/proc")
    code = "import sys; f = open(sys.argv[1]); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(held)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (found,) = System(root=tmp_path).holders(held)
        assert found.endswith(f"({process.pid})")
        process.communicate(b"")
    assert System(root=tmp_path).holders(held) == []


@pytest.mark.parametrize(
    ("failure", "words", "hint"),
    [
        (NoCardError("NVIDIA's driver finds no card"), "finds no card", "update the driver"),
        (CudaError("there is no NVRTC: pip install nvidia-cuda-nvrtc"), "NVRTC", "pip install"),
    ],
)
def test_a_card_that_cannot_be_used_is_told_with_the_mend(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, failure: CudaError, words: str, hint: str
) -> None:
    def refuse(device: str) -> Card:
        raise failure

    monkeypatch.setattr(gpu, "card_of", refuse)
    nvidia(machine)
    machine.write("/proc/driver/nvidia/version", "NVRM version: x86_64 Kernel Module  470.82.01  x")
    check = check_gpu(machine.system())
    assert check.level == "warn" and words in check.detail and hint in check.hint


@pytest.mark.parametrize("folder", [MEDIAPIPE, CHECKPOINTS], ids=["models", "checkpoint"])
def test_a_truncated_or_missing_model_file_is_told(folder: Path, tmp_path: Path) -> None:
    assert check_files("models", folder).level == "ok"
    assert check_files("models", tmp_path).level == "fail"
    for path in folder.glob("*.*"):
        shutil.copy(path, tmp_path)
    shutil.copy(folder / "SHA256SUMS", tmp_path)
    assert check_files("models", tmp_path).level == "ok"
    victim = sorted([*tmp_path.glob("*.tflite"), *tmp_path.glob("*.safetensors")])[0]
    victim.write_bytes(victim.read_bytes()[:-100])
    check = check_files("models", tmp_path)
    assert (check.level, check.detail.split()[0]) == ("fail", victim.name)
    assert "install the program again" in check.hint
    victim.unlink()
    assert victim.name in check_files("models", tmp_path).detail


def test_a_missing_compiler_is_only_a_warning(machine: Machine, tmp_path: Path) -> None:
    bare = {"PATH": str(tmp_path)}
    system = replace(machine.system(), environ=bare)
    check = check_kernels(system, None)
    assert check.level == "warn"
    assert "torch" in check.detail and "OpenCV" in check.detail
    assert "apt install g++" in check.hint
    mac = replace(system, platform="darwin")
    assert "xcode-select" in check_kernels(mac, None).hint
    own = replace(system, environ=bare | {"CXX": sys.executable})
    assert "vcam -v doctor" in check_kernels(own, None).hint
    there = check_kernels(system, KernelLibrary(ctypes.CDLL(None), "avx2", installed=True))
    assert there.level == "ok" and "avx2" in there.detail and "with the program" in there.detail


def test_a_port_in_use_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        check = check_port(taken.getsockname()[1])
    assert check.level == "warn"
    assert "--port" in check.hint
    assert check_port(0).level == "ok"


def test_addresses_where_browsers_give_no_camera_are_told(tmp_path: Path) -> None:
    assert check_https("127.0.0.1", None, None).level == "ok"
    assert check_https("localhost", None, None).level == "ok"
    check = check_https("192.168.1.7", None, None)
    assert check.level == "warn"
    assert "--tls-cert" in check.hint and "openssl" in check.hint
    assert check_https("0.0.0.0", tmp_path / "cert.pem", None).level == "warn"
    broken = tmp_path / "cert.pem"
    broken.write_text("no certificate")
    assert "PEM" in check_https("0.0.0.0", broken, broken).hint


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl")
def test_the_certificate_that_the_mend_makes_is_accepted(tmp_path: Path) -> None:
    command = check_https("0.0.0.0", None, None).hint.partition("made by ")[2]
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True, timeout=30)
    check = check_https("0.0.0.0", tmp_path / "cert.pem", tmp_path / "key.pem")
    assert check.level == "ok"


@pytest.mark.parametrize(
    ("platform", "app", "problem", "hint"),
    [
        ("win32", False, "OBS Virtual Camera device not found!", "install OBS Studio"),
        ("win32", False, "virtual camera output could not be started", "close OBS"),
        ("darwin", False, "OBS Virtual Camera is not installed in your system.", "OBS Studio 30"),
        ("darwin", True, "OBS Virtual Camera is not installed in your system.", "Extensions"),
    ],
)
def test_windows_and_macos_say_how_to_get_obs_camera(
    tmp_path: Path, platform: str, app: bool, problem: str, hint: str
) -> None:
    if app:
        (tmp_path / "Applications/OBS.app").mkdir(parents=True)

    def refuse() -> str:
        raise SinkError(f"no virtual camera could be opened ({problem})")

    system = System(root=tmp_path, platform=platform)
    check = check_virtual_camera(system, refuse)
    assert (check.level, check.detail) == ("warn", f"no virtual camera could be opened ({problem})")
    assert hint in check.hint
    fine = check_virtual_camera(system, lambda: "OBS Virtual Camera")
    assert fine.level == "ok" and "OBS Virtual Camera" in fine.detail


def test_windows_and_macos_say_where_cameras_are_allowed() -> None:
    assert "Privacy & security > Camera" in check_consent("Deny").hint
    assert check_consent("Allow").level == "ok"
    assert "Privacy & security > Camera" in check_cameras([], windows=True).hint
    assert "Privacy & Security > Camera" in check_cameras([], windows=False).hint


def test_the_bundle_helps_and_names_nobody(machine: Machine, tmp_path: Path) -> None:
    token = "Zk3hN0xQ7vJm2pLs9RtYwBcDfGhJkMnPqRsTuVwXyZ4"
    checks = [
        *machine.checks().values(),
        Check("warn", "config", "/home/jdoe/.config/vcam cannot be written"),
        Check("warn", "presets", "jdoe: /srv/Jane Doe/mine.toml on janes-laptop is damaged"),
        Check("warn", "panel", f"http://192.168.1.7:8088/#token={token} of camera SN4711B"),
    ]
    file = tmp_path / "report.json"
    write_bundle(file, machine.system(), checks, "192.168.1.7")
    text = file.read_text()
    for private in ("jdoe", "Jane", "Doe", "laptop", token, "SN4711B", "192.168.1.7"):
        assert private.lower() not in text.lower(), private
    report = json.loads(text)
    assert report["v4l2loopback"] == {"exclusive_caps": "Y"}
    assert report["video devices"][0]["modes"] == ["MJPG 1280x720 30"]
    assert report["system"]["kernel"] == KERNEL
    assert "~/.config/vcam cannot be written" in text
    assert len(report["checks"]) == len(checks)


def test_the_command_writes_a_bundle_and_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report.json"
    assert main(["doctor", "--port", "0", "--bundle", str(file)]) == 0
    printed = capsys.readouterr().out
    assert f"{file}: read it before you send it" in printed
    for check in json.loads(file.read_text())["checks"]:
        assert f" {check['name']}: " in printed
    assert main(["doctor", "--port", "0", "--bundle", str(tmp_path / "no" / "x.json")]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_without_its_packages_the_doctor_still_says_what_to_install() -> None:
    source = str(ROOT / "src")
    code = (
        f"import sys; sys.path.insert(0, {source!r}); "
        "from vcam_relight.vcam.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code.replace("main()", "sys.exit(main(['doctor']))")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr == ""
    assert "fail numpy: " in done.stdout and "pip install numpy" in done.stdout


def test_what_reads_the_pipewire_camera_is_said_once_its_portal_is_there(machine: Machine) -> None:
    assert "v4l2loopback is the way" in machine.checks()["pipewire camera"].detail
    machine.write("/usr/lib/x86_64-linux-gnu/libpipewire-0.3.so.0", "")
    found = machine.checks()["pipewire camera"]
    assert found.level == "warn" and "xdg-desktop-portal" in found.hint
    portal = "/usr/share/xdg-desktop-portal/portals/gtk.portal"
    machine.write(portal, "[portal]\nInterfaces=org.freedesktop.impl.portal.Access;\n")
    found = machine.checks()["pipewire camera"]
    assert found.level == "ok" and "enable-webrtc-pipewire-camera" in found.detail
    machine.remove("/run/user/1000/pipewire-0")
    assert "is not running" in machine.checks()["pipewire camera"].detail


def test_setup_says_the_way_that_fits_what_reads_the_camera(machine: Machine) -> None:
    assert "modprobe v4l2loopback" in steps("browser", "vcam", machine.system())
    machine.write("/usr/lib/x86_64-linux-gnu/libpipewire-0.3.so.0", "")
    text = steps("browser", "vcam", machine.system())
    assert "vcam --sink pipewire" in text and "sudo" not in text
    assert "allow-pipewire" in text and "no Camera portal" in text
    assert "PipeWire" in steps("obs", "vcam", machine.system())
    for use in ("zoom", None):
        assert "modprobe v4l2loopback" in steps(use, "vcam", machine.system())


def test_watching_says_what_changes(tmp_path: Path, config_home: Path) -> None:
    command = [sys.executable, str(ROOT / "run_vcam.py"), "doctor", "--watch", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as run:
        assert run.stdout is not None
        lines = iter(run.stdout.readline, "")
        for line in lines:
            if "wrong" in line and "ok," in line:
                break
        config_home.joinpath("presets").mkdir(parents=True)
        config_home.joinpath("presets", "bad.toml").write_text("[broken")
        assert any("presets" in line and "bad.toml" in line for line in lines)
        run.send_signal(signal.SIGINT)
        assert run.wait(20) in (0, 1)
