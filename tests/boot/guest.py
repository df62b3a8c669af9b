"""Whole guests with real systemd, in the server's place of the small cloud.

An *image* is a release's tree with rcnetd's packages installed, "baked"; a *guest* is a boot of
it, with a disk of its own (an overlay). The guest's network is configured by its own manager, as
that of a fresh server behind RackConnect.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Address
from pathlib import Path

from rcnetd.core.model import Query, Route, RouteLookup
from rcnetd.core.routes import OUTSIDE
from rcnetd.emulator.certificates import NAMES, Authority
from rcnetd.lab.topology import (
    API,
    GATEWAY,
    PUBLIC,
    PUBLIC_MAC,
    PUBLIC_ROUTER,
    SERVICENET,
    SERVICENET_MAC,
    SERVICENET_ROUTER,
    Topology,
)
from rcnetd.netlink.kernel import Kernel
from tests.boot.server import BOOT, Server
from tests.support.waiting import until

MANAGERS = ("netplan", "network-manager", "ifupdown")
# What each manager's guest runs at boot, and no other's does.
SERVICES = {
    "netplan": ("systemd-networkd.service", "systemd-networkd-wait-online.service"),
    "networkd": ("systemd-networkd.service", "systemd-networkd-wait-online.service"),
    "network-manager": ("NetworkManager.service", "NetworkManager-wait-online.service"),
    "ifupdown": ("networking.service",),
}
DNS = "203.0.113.53"  # on the public interface, as the platform has it
SERVICENETS = ("10.176.0.0/12", "10.208.0.0/12")

# A unit of somebody's that needs the network, one that waits for the automation, and what they saw.
ONLINE = """\
[Unit]
DefaultDependencies=no
Wants=network-online.target
After=network-online.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'ip route get 198.51.100.10 > /run/online'
[Install]
WantedBy=multi-user.target
"""
DEPENDENT = """\
[Unit]
Requires=rcnetd-deployed.service
After=rcnetd-deployed.service
[Service]
ExecStart=/bin/sleep infinity
[Install]
WantedBy=rcnetd-deployed.service
"""
SETTINGS = """\
region: dfw
"""


# systemd 257 wants to be told that this machine's control groups are of version 1.
LEGACY = {
    False: (
        "-E",
        "SYSTEMD_PROC_CMDLINE=systemd.unified_cgroup_hierarchy=0"
        " SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1",
    )
}

# What a server's kernel allows, and nspawn's own filter of system calls does not.
LANDLOCK = "landlock_create_ruleset landlock_add_rule landlock_restrict_self"

# A guest takes the control groups that it is started in for the root of all: two must not share.
ENTER = """\
while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs"; shift; done
shift
exec "$@"
"""


@contextlib.contextmanager
def control_groups(place: Path) -> Iterator[list[Path]]:
    """New control groups below ours, one in each hierarchy; see cgroups(7), /proc/[pid]/cgroup.

    nspawn goes by the one of version 2, also where that is not mounted; *place* is for it then.
    """
    groups = []
    with contextlib.ExitStack() as stack:
        for line in Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines():
            _, controllers, path = line.split(":", 2)
            top = Path("/sys/fs/cgroup", controllers.removeprefix("name="))
            if controllers == "cpuset":
                continue  # a new one takes nobody before it is told of processors
            if not controllers and not (top / "cgroup.procs").exists():
                place.mkdir(exist_ok=True)
                subprocess.run(["mount", "-t", "cgroup2", "none", str(place)], check=True)
                stack.callback(subprocess.run, ["umount", "--lazy", str(place)], check=True)
                top = place
            if (top / "cgroup.procs").exists():
                group = top / path.lstrip("/") / f"rcnetd-{os.getpid()}-{place.parent.name}"
                group.mkdir(exist_ok=True)
                groups.append(group)
        try:
            yield groups
        finally:
            for group in groups:
                for directory, _, _ in os.walk(group, topdown=False):
                    with contextlib.suppress(OSError):
                        Path(directory).rmdir()


class Overlay:
    """A directory that shows *lower* directories (the first wins), and keeps its own changes."""

    def __init__(self, path: Path, lower: Sequence[Path]) -> None:
        self.root, self.changes, work = path / "root", path / "changes", path / "work"
        for directory in (self.root, self.changes, work):
            directory.mkdir(parents=True)
        options = f"lowerdir={':'.join(map(str, lower))},upperdir={self.changes},workdir={work}"
        subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o", options, str(self.root)], check=True
        )

    def close(self) -> None:
        """Take it away; the changes stay where they are."""
        subprocess.run(["umount", "--lazy", str(self.root)], check=True)


def write(root: Path, name: str, text: str, mode: int = 0o644) -> None:
    """Write a file of a tree."""
    path = root / name.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def chroot(root: Path, *command: str) -> str:
    """Run a program of a tree, without its services; returns what it printed."""
    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", f"--mount-proc={root}/proc",
         "chroot", str(root), *command],
        check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"},
    )  # fmt: skip
    assert done.returncode == 0, f"{command}: {done.stdout}"
    return done.stdout


def bake(root: Path, authority: Authority) -> None:
    """What an image builder does after installing the package, and before the snapshot."""
    write(root, "/etc/rcnetd/rcnetd.yaml", SETTINGS)
    know_the_lab(root, authority)
    write(root, "/etc/machine-id", "")
    write(root, "/etc/cloud/cloud-init.disabled", "")
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    # Since netplan 1.2 its unit tells udev of the links. A container has none.
    drop_in = "/etc/systemd/system/netplan-configure.service.d/lab.conf"
    write(root, drop_in, "[Service]\nExecStartPost=\n")


def know_the_lab(root: Path, authority: Authority) -> None:
    """The API's names, whom to trust, and two units that wait for the network."""
    names = " ".join(NAMES)
    write(root, "/etc/hosts", f"127.0.0.1 localhost\n{API} {names}\n")
    write(root, "/usr/local/share/ca-certificates/lab.crt", authority.pem.decode())
    chroot(root, "update-ca-certificates")
    write(root, "/etc/systemd/system/online.service", ONLINE)
    write(root, "/etc/systemd/system/dependent.service", DEPENDENT)
    chroot(root, "systemctl", "enable", "online.service", "dependent.service")


def configure(root: Path, manager: str, metric: int = 0, *, alone: bool = True) -> None:
    """Configure the network of a fresh server in the manager's own files, and enable it (alone)."""
    others = {service for services in SERVICES.values() for service in services}
    if alone:
        chroot(root, "systemctl", "mask", *sorted(others - {*SERVICES[manager]}))
    _CONFIGURE[manager](root, metric)
    chroot(root, "systemctl", "enable", *SERVICES[manager])


def _netplan(root: Path, metric: int) -> None:
    routes = "".join(f"\n      - {{to: {net}, via: {SERVICENET_ROUTER}}}" for net in SERVICENETS)
    write(root, "/etc/netplan/50-cloud-init.yaml", f"""\
network:
  version: 2
  renderer: networkd
  ethernets:
    eth0:
      addresses: [{PUBLIC}]
      link-local: []
      accept-ra: false
      nameservers: {{addresses: [{DNS}]}}
      routes:
      - {{to: 0.0.0.0/0, via: {PUBLIC_ROUTER}, metric: {metric}}}
    eth1:
      addresses: [{SERVICENET}]
      optional: true
      link-local: []
      accept-ra: false
      routes:{routes}
""", 0o600)  # fmt: skip


def _networkd(root: Path, metric: int) -> None:
    routes = "".join(
        f"[Route]\nDestination={net}\nGateway={SERVICENET_ROUTER}\n" for net in SERVICENETS
    )
    unit = "[Match]\nName={0}\n\n[Network]\nAddress={1}\nLinkLocalAddressing=no\n"
    public = f"DNS={DNS}\n\n[Route]\nGateway={PUBLIC_ROUTER}\nMetric={metric}\n"
    for name, address, rest in (("eth0", PUBLIC, public), ("eth1", SERVICENET, routes)):
        path = f"/etc/systemd/network/10-{name}.network"
        write(root, path, unit.format(name, address) + rest)


def _network_manager(root: Path, metric: int) -> None:
    routes = "".join(
        f"route{number}={net},{SERVICENET_ROUTER},0\n" for number, net in enumerate(SERVICENETS, 1)
    )
    keyfile = "[connection]\nid={0}\ntype=ethernet\ninterface-name={0}\n[ipv4]\nmethod=manual\n"
    for name, rest in (
        ("eth0", f"address1={PUBLIC}\ndns={DNS};\nroute1=0.0.0.0/0,{PUBLIC_ROUTER},{metric}\n"),
        ("eth1", f"address1={SERVICENET}\n{routes}"),
    ):
        path = f"/etc/NetworkManager/system-connections/{name}.nmconnection"
        write(root, path, keyfile.format(name) + rest + "[ipv6]\nmethod=disabled\n", 0o600)
    # A container has no udev to say that its veth links are to be managed.
    write(root, "/etc/NetworkManager/conf.d/lab.conf",
          "[device-eth]\nmatch-device=interface-name:eth*\nmanaged=1\n"
          "[main]\nplugins=keyfile\n")  # fmt: skip


def _ifupdown(root: Path, metric: int) -> None:
    up = "".join(f"    up ip route add {net} via {SERVICENET_ROUTER}\n" for net in SERVICENETS)
    write(
        root,
        "/etc/network/interfaces",
        f"""\
auto lo eth0 eth1
iface lo inet loopback
iface eth0 inet static
    address {PUBLIC}
    gateway {PUBLIC_ROUTER}
    metric {metric}
    dns-nameservers {DNS}
iface eth1 inet static
    address {SERVICENET}
{up}""",
    )


_CONFIGURE: dict[str, Callable[[Path, int], None]] = {
    "netplan": _netplan, "networkd": _networkd, "network-manager": _network_manager,
    "ifupdown": _ifupdown,
}  # fmt: skip


class Guest(Server):
    """One server in a container: its disk, its network, and its boots."""

    def __init__(self, root: Path, manager: str, topology: Topology, authority: Authority) -> None:
        super().__init__(topology, authority)
        self.root, self.manager = root, manager
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._console = root.parent / "console"

    @contextlib.contextmanager
    def boot(self, *, servicenet: bool = True) -> Iterator[Guest]:
        """Boot it; it is powered off at the end."""
        self._links(servicenet=servicenet)
        with control_groups(self.root.parent / "cgroup") as groups:
            self._start(groups)
            try:
                until(self._is_up, BOOT)
                yield self
            finally:
                self._power_off()

    def _start(self, groups: Sequence[Path]) -> None:
        console = self._console.open("wb")
        self._nspawn = subprocess.Popen(
            [
                # Powered off also when the tests are killed.
                "setpriv", "--pdeathsig", "TERM", "sh", "-c", ENTER, "sh", *map(str, groups), "--",
                "systemd-nspawn", "--quiet", "--directory", str(self.root), "--boot",
                f"--network-namespace-path={self.topology.server.path}",
                "--capability=CAP_NET_ADMIN,CAP_NET_RAW", f"--system-call-filter={LANDLOCK}",
                "--register=no", "--keep-unit", "--console=pipe", *LEGACY.get(self._unified(), ()),
            ],
            env={**os.environ, "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE": "1",
                 "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": str(int(self._unified()))},
            stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT,
        )  # fmt: skip
        console.close()

    def _unified(self) -> bool:
        """Whether its systemd takes control groups of version 2 only, as from 258 on."""
        places = ("lib/systemd", "lib/*/systemd")
        found = (
            path for place in places for path in self.root.glob(f"{place}/libsystemd-shared-*")
        )
        return int(re.findall("[0-9]+", next(found).name)[0]) >= 258

    def run(self, *command: str, check: bool = True) -> str:
        """Run a program in the booted guest; returns what it printed."""
        done = subprocess.run(
            ["nsenter", "-t", str(self._leader()), "-m", "-u", "-i", "-n", "-p", *command],
            check=False, capture_output=True, text=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TERM": "dumb"},
        )  # fmt: skip
        if check:
            said = f"{command}: {done.stdout}{done.stderr}"
            why = "" if done.returncode == 0 or command[0] != "systemctl" else self.journal
            assert done.returncode == 0, f"{said}\n{why}"
        return done.stdout

    def call(self, *command: str, user: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a program in the booted guest as *user*: how it ended, and what it printed."""
        return subprocess.run(
            ["nsenter", "-t", str(self._leader()), "-m", "-u", "-i", "-n", "-p",
             "setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command],
            check=False, capture_output=True, text=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TERM": "xterm"},
        )  # fmt: skip

    def set(self, text: str) -> None:
        """More settings of rcnetd, for the next boot."""
        write(self.root, "/etc/rcnetd/conf.d/lab.yaml", text)

    # From outside: the kernel

    def lookup(self, address: IPv4Address = OUTSIDE) -> RouteLookup | None:
        """By which route the kernel would send a packet there."""
        with self.topology.server:
            return Kernel().read(Query(destinations=(address,))).lookup(address)

    def defaults(self) -> tuple[Route, ...]:
        """Its default routes, the winner first."""
        with self.topology.server:
            return Kernel().read(Query()).defaults

    def goes_by_gateway(self) -> bool:
        """Whether outside traffic takes the RackConnect gateway."""
        verdict = self.lookup()
        return verdict is not None and verdict.gateway == GATEWAY

    # The machine

    def _links(self, *, servicenet: bool) -> None:
        """The links as a hypervisor gives them: up to the guest to configure."""
        for name, mac in (("eth0", PUBLIC_MAC), ("eth1", SERVICENET_MAC)):
            self.topology.server.ip(f"link set {name} address {mac}", f"address flush dev {name}")
        state = "up" if servicenet else "down"
        self.topology.servicenet.ip(f"link set server {state}")

    def _leader(self) -> int:
        assert self._nspawn is not None
        path = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        children = path.read_text().split()
        assert children, f"no boot: {self._console.read_text()}"
        return int(children[-1])

    def _is_up(self) -> bool:
        """Whether systemd has taken over, and answers."""
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, f"no boot: {self._console.read_text()}"
        with contextlib.suppress(AssertionError):
            state = self.run("systemctl", "is-system-running", check=False).strip()
            return state in ("starting", "running", "degraded")
        return False

    def _power_off(self) -> None:
        assert self._nspawn is not None
        if self._nspawn.poll() is None:
            self._nspawn.terminate()  # an orderly power-off
            try:
                self._nspawn.wait(BOOT)
            except subprocess.TimeoutExpired:
                self._nspawn.kill()
                self._nspawn.wait()

    def close(self) -> None:
        """Leave nothing behind."""
        self.silence()


def remove(path: Path) -> None:
    """Delete a directory of overlays that are closed."""
    shutil.rmtree(path, ignore_errors=True)
