"""The machines' disks, each built once for what goes into it, and cached beside the trees.

A disk is a release's tree with a kernel, one network manager and rcnetd's package, baked as the
README says. A machine boots an overlay of it and leaves the disk alone.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rcnetd.emulator.certificates import Authority
from rcnetd.lab.topology import INTERNET
from tests.boot import guest
from tests.boot.conftest import disk as overlay
from tests.boot.conftest import install
from tests.boot.guest import chroot, know_the_lab, write
from tests.boot.trees import PACKAGES, alone, cache, cached_tree

KERNEL = (
    "linux-image-cloud-amd64 initramfs-tools zstd kmod e2fsprogs net-tools ifenslave procps"
    " systemd-timesyncd"
)
AUTHORITY = "vm-authority.key"  # in the cache
SIZE = "3G"  # sparse
UNUSED = 24 * 3600.0  # seconds after which a disk is deleted
# By network manager: cloud-init's name for it, and the packages of the others.
RENDERERS = {"netplan": "netplan", "ifupdown": "eni", "network-manager": "network-manager"}
OTHERS = {
    "netplan": ("ifupdown", "ifenslave", "network-manager"),
    "ifupdown": ("netplan.io", "network-manager"),
    "network-manager": ("ifupdown", "ifenslave", "netplan.io"),
}
CLOUD_INIT = """\
datasource_list: [ConfigDrive, None]
system_info: {{network: {{renderers: [{}]}}}}
apt: {{preserve_sources_list: true}}
locale: false  # nothing of what it needs is installed, nor an SSH server
ssh_genkeytypes: []
"""
# Commands come from outside by the second serial port; see `Machine.run`.
SHELL = """\
[Unit]
DefaultDependencies=no
After=systemd-remount-fs.service
[Service]
ExecStartPre=/bin/stty -F /dev/ttyS1 raw -echo
ExecStart=/bin/bash -c 'echo up; exec /bin/bash'
StandardInput=tty
StandardOutput=tty
StandardError=null
TTYPath=/dev/ttyS1
SendSIGHUP=yes
[Install]
WantedBy=sysinit.target
"""
# A packet a quarter of a second, each with the next number: who receives it knows by which way.
BEACON = f"""\
[Unit]
DefaultDependencies=no
After=systemd-remount-fs.service
[Service]
ExecStart=/bin/bash -c 'exec 9<> <(:); while :; do \
echo $((n++)) >/dev/udp/{INTERNET}/9; read -rt 0.25 -u 9; done'
StandardError=null
[Install]
WantedBy=sysinit.target
"""
# It answers, or not: see `tests/vm/sntp.py`. No other is looked for, since no name is known here.
TIME_SERVER = f"[Time]\nNTP={INTERNET}\nFallbackNTP=\nConnectionRetrySec=5\n"
# "lab.slow=20" on the kernel's command line: every service starts 20 s later, but for the lab's.
SLOW = """\
#!/bin/sh
read -r line </proc/cmdline
for word in $line; do
    case $word in lab.slow=*)
        mkdir -p "$1/service.d"
        printf '[Service]\\nExecStartPre=/bin/sleep %s\\n' "${word#*=}" >"$1/service.d/slow.conf"
        for unit in shell beacon; do
            mkdir -p "$1/lab-$unit.service.d"
            ln -s /dev/null "$1/lab-$unit.service.d/slow.conf"
        done
        ;;
    esac
done
"""


class Disk(NamedTuple):
    """What a machine boots from."""

    image: Path
    kernel: Path
    initrd: Path


def kept_authority() -> Authority:
    """Who signs the API's certificates; the cached disks trust it."""
    path = cache() / AUTHORITY
    with alone():
        if not path.exists():
            path.touch(mode=0o600)
            path.write_bytes(
                ec.generate_private_key(ec.SECP256R1()).private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return Authority(key=key)


def disk(release: str, manager: str, deb: Path, authority: Authority, workplace: Path) -> Disk:
    """The disk of a release with a network manager and this package."""
    with alone():
        tree = cached_tree(f"vm-{release}", release, f"{PACKAGES} {KERNEL}")
        key = hashlib.sha256(tree.name.encode() + deb.read_bytes())
        for source in (cache() / AUTHORITY, Path(__file__), Path(guest.__file__)):
            key.update(source.read_bytes())
        image = cache() / f"vm-disk-{release}-{manager}-{key.hexdigest()[:12]}"
        if not image.exists():
            _prune()
            _build(image, tree, manager, deb, authority, workplace)
        image.touch()
    (kernel,) = (tree / "boot").glob("vmlinuz-*")
    (initrd,) = (tree / "boot").glob("initrd.img-*")
    return Disk(image, kernel, initrd)


def _prune() -> None:
    for old in cache().glob("vm-disk-*"):
        if time.time() - old.stat().st_mtime > UNUSED:
            old.unlink()


def _build(
    image: Path, tree: Path, manager: str, deb: Path, authority: Authority, workplace: Path
) -> None:
    partial = cache() / f".{image.name}.partial"
    with overlay(workplace, [tree]) as layers:
        root = layers.root
        chroot(root, "dpkg", "--purge", "--force-depends", *OTHERS[manager])
        install(root, deb)
        bake(root, manager, authority)
        partial.unlink(missing_ok=True)
        subprocess.run(
            ["mke2fs", "-q", "-t", "ext4", "-d", str(root), str(partial), SIZE], check=True
        )
    partial.rename(image)


def bake(root: Path, manager: str, authority: Authority) -> None:
    """As the README says, and the lab's own units."""
    know_the_lab(root, authority)
    write(root, "/etc/fstab", "/dev/vda / ext4 errors=remount-ro 0 1\n")
    write(root, "/etc/hostname", "image\n")
    write(root, "/etc/cloud/cloud.cfg.d/90_lab.cfg", CLOUD_INIT.format(RENDERERS[manager]))
    for name, text in (("shell", SHELL), ("beacon", BEACON)):
        write(root, f"/etc/systemd/system/lab-{name}.service", text)
        chroot(root, "systemctl", "enable", f"lab-{name}.service")
    write(root, "/etc/systemd/timesyncd.conf.d/lab.conf", TIME_SERVER)
    write(root, "/etc/systemd/system-generators/lab-slow", SLOW, 0o755)
    if manager == "netplan":
        chroot(root, "systemctl", "enable", "systemd-networkd.service")
    for path in (root / "var/cache/apt/archives", root / "var/lib/apt/lists"):
        shutil.rmtree(path, ignore_errors=True)
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    write(root, "/etc/machine-id", "")
    chroot(root, "rcnetctl", "clean")
    chroot(root, "rcnetctl", "preflight")
