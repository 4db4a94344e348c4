"""Linux distributions, and the commands that install what a virtual camera needs on each.

They are printed, never run: `vcam setup` and `vcam doctor` show them to people.
"""

import re
from dataclasses import dataclass, replace

from vcam_relight.vcam.devices.setup_hints import LOAD_MODULE

MODULE_OPTIONS = LOAD_MODULE.partition("v4l2loopback ")[2].replace("'", '"')
"""What v4l2loopback is loaded with, for modprobe.d(5): the kernel knows double quotes only."""


@dataclass(frozen=True, slots=True)
class LinuxDistribution:
    """One family of distributions; commands are for a shell, several are joined by ` && `."""

    name: str
    """As the system calls itself."""
    install_module: str
    """Installs v4l2loopback and has it built for the running kernel."""
    install_headers: str
    """Installs what building a kernel module needs, for the running kernel."""
    rebuild_module: str
    """Builds it once more, for the running kernel."""
    install_driver: str
    """Installs NVIDIA's driver."""
    signing_key: str
    """The key that signs modules built on the machine; Secure Boot must be told of it."""


_DEBIAN = LinuxDistribution(
    "Debian",
    'sudo apt install v4l2loopback-dkms "linux-headers-$(uname -r)"',
    'sudo apt install "linux-headers-$(uname -r)"',
    "sudo dkms autoinstall",
    "sudo apt install nvidia-driver",
    "/var/lib/dkms/mok.pub",
)
_OTHER = LinuxDistribution(
    "this distribution",
    "install the package v4l2loopback of your distribution, or build it: "
    "https://github.com/v4l2loopback/v4l2loopback",
    "install your kernel's headers",
    "sudo dkms autoinstall",
    "install NVIDIA's driver",
    "/var/lib/dkms/mok.pub",
)
_FEDORA_FREE = (
    "https://mirrors.rpmfusion.org/free/fedora/rpmfusion-free-release-$(rpm -E %fedora).noarch.rpm"
)
_FAMILIES = {
    "debian": _DEBIAN,
    "ubuntu": LinuxDistribution(
        "Ubuntu",
        _DEBIAN.install_module,
        _DEBIAN.install_headers,
        _DEBIAN.rebuild_module,
        "sudo ubuntu-drivers install",
        "/var/lib/shim-signed/mok/MOK.der",
    ),
    "fedora": LinuxDistribution(
        "Fedora",
        f'sudo dnf install "{_FEDORA_FREE}" && sudo dnf install akmod-v4l2loopback '
        "&& sudo akmods --force",
        'sudo dnf install "kernel-devel-$(uname -r)"',
        "sudo akmods --force",
        "enable RPM Fusion's nonfree packages, then sudo dnf install akmod-nvidia",
        "/etc/pki/akmods/certs/public_key.der",
    ),
    "rhel": _OTHER,  # calls itself like Fedora, and has other packages
    "arch": LinuxDistribution(
        "Arch Linux",
        "sudo pacman -S --needed v4l2loopback-dkms linux-headers",
        "sudo pacman -S --needed linux-headers",
        "sudo dkms autoinstall",
        "sudo pacman -S --needed nvidia-open",
        "/var/lib/dkms/mok.pub",
    ),
    "suse": LinuxDistribution(
        "openSUSE",
        "sudo zypper install v4l2loopback-kmp-default",
        "sudo zypper install kernel-default-devel",
        "sudo zypper install --force v4l2loopback-kmp-default",
        "sudo zypper install nvidia-open-driver-G06-signed-kmp-meta",
        "/var/lib/dkms/mok.pub",
    ),
}
"""By the `ID` and `ID_LIKE` of os-release(5)."""


def distribution(os_release: str) -> LinuxDistribution:
    """The distribution that `/etc/os-release`, given as text, describes."""
    fields = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', os_release, re.M))
    likenesses = [fields.get("ID", ""), *fields.get("ID_LIKE", "").split()]
    families = [name for like in likenesses for name in _FAMILIES if name in like]
    found = _FAMILIES[families[0]] if families else _OTHER
    name = fields.get("PRETTY_NAME", found.name)
    return replace(found, name=name)
