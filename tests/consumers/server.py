"""A server on which a network manager starts: its two links, what they lead to, and its disk.

The rule: nothing of it outlives the process that made it. Its disk is mounted in a mount namespace
of its own and its programs live in a process namespace of their own, which end together.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from rcnetd.hostconfig.renderers.model import HostLink, Target, Tree
from rcnetd.lab.topology import Namespace
from tests.boot.dhcp import DhcpServer
from tests.consumers.advertiser import Advertiser
from tests.support.waiting import until

SETTLED = "run/settled"  # made by the boot script, which ends if one of its programs fails
BOOT = 180.0  # seconds; a boot takes one to five, and many times that on a busy machine

FURTHER = re.compile(rb"\beth[2-9]\b")
LIFETIME = 1800  # seconds; of the public router's advertisements
PUBLIC_ROUTER = IPv4Address("203.0.113.1")
SERVICENET_ROUTER = IPv4Address("10.180.0.1")
PUBLIC = IPv4Interface("203.0.113.10/24")
SERVICENET = IPv4Interface("10.180.1.2/19")

# Mounts the disk, and becomes the first process of the server.
START = """\
place=$1 release=$2
mount -t tmpfs tmpfs "$place/disk"
mkdir "$place/disk/root" "$place/disk/changes" "$place/disk/work"
mount -t overlay overlay "$place/disk/root" \\
    -o "lowerdir=$release,upperdir=$place/disk/changes,workdir=$place/disk/work"
cp -a "$place/files/." "$place/disk/root/"
mount -t proc proc "$place/disk/root/proc"
mount -t sysfs -o ro sysfs "$place/disk/root/sys"
hostname server
exec chroot "$place/disk/root" /bin/sh /boot-script
"""


class World:
    """A server's links, all down, and the routers behind them, which serve addresses."""

    def __init__(self, links: Sequence[HostLink]) -> None:
        self._stack = contextlib.ExitStack()
        self.server, self._outside = Namespace(), Namespace()
        self._stack.callback(self.server.close)
        self._stack.callback(self._outside.close)
        for namespace in (self.server, self._outside):
            # Addresses are usable at once: nobody here has them twice.
            namespace.set(ipv6__conf__default__accept_dad=0)
        # The kernel's own client would race with the program's.
        self.server.set(ipv6__conf__default__accept_ra=0)
        for number, link in enumerate(links, 1):
            mac = f" address {link.mac}" if link.mac else ""
            self._outside.ip(
                f"link add name r{number} address 02:00:00:00:00:0{number} type veth"
                f" peer name {link.name}{mac} netns {self.server.path}",
                f"link set r{number} up",
            )
        self._routers = {link.name: f"r{number}" for number, link in enumerate(links, 1)}

    def serve(self, link: str, client: IPv4Interface, router: IPv4Address) -> None:
        """Put a router behind a link, with a DHCP server."""
        name = self._routers[link]
        self._outside.ip(f"address add {router}/{client.network.prefixlen} dev {name}")
        self._stack.callback(DhcpServer(self._outside, name, client, router).close)

    def advertise(self, link: str, lifetime: int) -> None:
        """Have the router behind a link answer solicitations; 0 seconds: not as the default."""
        self._stack.callback(Advertiser(self._outside, self._routers[link], lifetime).close)

    def close(self) -> None:
        """Take everything down."""
        self._stack.close()


@contextlib.contextmanager
def world(target: Target, files: Tree) -> Iterator[World]:
    """A target's links: one leads to ServiceNet's router, and the first other to the public one.

    Further ones that the files name (eth2 and so on) lead nowhere.
    """
    names = {name.decode() for file in files.values() for name in FURTHER.findall(file.data)}
    made = World((target.servicenet, *target.public, *map(HostLink, sorted(names))))
    try:
        made.serve(target.servicenet.name, SERVICENET, SERVICENET_ROUTER)
        made.advertise(target.servicenet.name, 0)
        for link in target.public[:1]:
            made.serve(link.name, PUBLIC, PUBLIC_ROUTER)
            made.advertise(link.name, LIFETIME)
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def booted(release: Path, files: Tree, script: str, namespace: Namespace) -> Iterator[str]:
    """Boot a release's tree with these files; yields what was printed once *script* has settled.

    *script* runs as the first process, makes `SETTLED` when it has, and does not end then.
    """
    with tempfile.TemporaryDirectory(prefix="rcnetd-consumer-") as name:
        place = Path(name)
        (place / "disk").mkdir()
        _write(place / "files", release, files)
        (place / "files/boot-script").write_text(script, encoding="ascii")
        console = place / "console"
        with namespace, console.open("wb") as output:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--uts", "--ipc",
                 "--fork", "--kill-child", "sh", "-ec", START, "sh", str(place), str(release)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            )  # fmt: skip
        try:
            until(lambda: process.poll() is not None or _has_settled(process.pid), BOOT)
            said = console.read_text(encoding="utf-8", errors="replace")
            assert process.poll() is None, f"the boot ended: {said}"
            yield said
        except AssertionError as error:
            said = console.read_text(encoding="utf-8", errors="replace")
            raise AssertionError(f"{error}\n{said}") from None
        finally:
            process.kill()
            process.wait()


def _write(place: Path, release: Path, files: Tree) -> None:
    """Lay out the files as `cp -a` wants them: a release's /lib is a link."""
    place.mkdir()
    for path, file in files.items():
        top, rest = path.lstrip("/").split("/", 1)
        if (release / top).is_symlink():
            top = str((release / top).readlink())
        target = place / top / rest
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.data)
        target.chmod(file.mode)
    (place / "etc").mkdir(exist_ok=True)
    (place / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n", encoding="ascii")


def _has_settled(pid: int) -> bool:
    """Whether the first process of the server has said so."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return any(os.path.lexists(f"/proc/{child}/root/{SETTLED}") for child in children)
