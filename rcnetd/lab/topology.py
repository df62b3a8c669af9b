"""A small RackConnect cloud of network namespaces, for the tests and `rcnetctl demo`.

    internet 198.51.100.10 ----- public router 203.0.113.1 ---------- eth0 \\
        \\                                                                   server
         \\----- RackConnect gateway 10.180.31.254 --\\                      /
                                                      ServiceNet -- eth1 -/
    API 10.208.0.10 ----- ServiceNet router 10.180.0.1 --/

The rule: a namespace lives only as long as this process holds its descriptor. Nothing has a name,
nothing is mounted, nothing is left behind, however the process ends; the machine's own network is
never touched. Only the `ip` program is needed, and either root or user namespaces.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000  # linux/sched.h

PUBLIC = IPv4Interface("203.0.113.10/24")
PUBLIC_ROUTER = IPv4Address("203.0.113.1")
PUBLIC_MAC = "bc:76:4e:20:00:10"
SERVICENET = IPv4Interface("10.180.1.2/19")
SERVICENET_ROUTER = IPv4Address("10.180.0.1")
SERVICENET_MAC = "bc:76:4e:20:00:11"
GATEWAY = IPv4Address("10.180.31.254")
INTERNET = IPv4Address("198.51.100.10")
API = IPv4Address("10.208.0.10")


def may_make_namespaces() -> bool:
    """Whether this process can make network namespaces; try `become_root_of_nothing` if not."""
    try:
        Namespace().close()
    except OSError:
        return False
    return True


def become_root_of_nothing() -> None:
    """Move this process, for good, into a user and a network namespace of its own.

    There it may make namespaces without being root outside. Raises OSError where the system does
    not allow it; the process must have one thread only.
    """
    uid, gid = os.geteuid(), os.getegid()
    _unshare(CLONE_NEWUSER | CLONE_NEWNET)
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1", encoding="ascii")


class Namespace:
    """A network namespace with nothing but its loopback link, up.

    `with namespace:` puts the calling thread into it: sockets opened and programs started there
    belong to it. `run` is that for one program.
    """

    def __init__(self) -> None:
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _unshare(CLONE_NEWNET)
            self._fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            _setns(before)
        finally:
            os.close(before)
        self._outside: list[int] = []
        self.ip("link set lo up")

    @property
    def path(self) -> str:
        """A name for it while this process lives: `ip link set … netns PATH`, `nsenter --net=`."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    def __enter__(self) -> Namespace:
        self._outside.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        _setns(self._fd)
        return self

    def __exit__(self, *_: object) -> None:
        outside = self._outside.pop()
        _setns(outside)
        os.close(outside)

    def run(self, *command: str, check: bool = True) -> str:
        """Run a program in it and return what it printed; raises CalledProcessError."""
        with self:
            done = subprocess.run(command, check=check, stdout=subprocess.PIPE, text=True)
        return done.stdout

    def ip(self, *commands: str) -> str:
        """Carry out lines of `ip`, without the leading `ip`, in one go; returns the output.

        Raises CalledProcessError at the first that fails.
        """
        with self:
            done = subprocess.run(
                ["ip", "-batch", "-"],
                input="\n".join(commands),
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
        return done.stdout

    def set(self, **settings: object) -> None:
        """Set the namespace's kernel settings: `set(ipv4__ip_forward=1)` is net.ipv4.ip_forward."""
        with self:
            for name, value in settings.items():
                path = Path("/proc/sys/net", *name.split("__"))
                path.write_text(str(value), encoding="ascii")

    def close(self) -> None:
        """Let it go: the kernel removes it, with its links, when nobody uses it any more."""
        os.close(self._fd)


class Topology:
    """The cloud of the picture above; the server is as a fresh RackConnect server is.

    Its default route leads to the public router; its ServiceNet routes are Rackspace's own. The
    internet host sees 203.0.113.10 or 10.180.1.2, and so tells by which way a packet came.
    """

    def __init__(self) -> None:
        self._all: list[Namespace] = []
        try:
            self.server = self._namespace()
            self.public_router = self._namespace(forwards=True)
            self.gateway = self._namespace(forwards=True)
            self.servicenet_router = self._namespace(forwards=True)
            self.internet = self._namespace()
            self.api = self._namespace()
            self.servicenet = self._namespace()  # its switch
            self._cable()
            self._address()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Topology:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take everything down."""
        while self._all:
            self._all.pop().close()

    def _namespace(self, *, forwards: bool = False) -> Namespace:
        namespace = Namespace()
        self._all.append(namespace)
        # What a new namespace has by default depends on the machine.
        namespace.set(ipv4__conf__all__rp_filter=0, ipv4__conf__default__rp_filter=0)
        namespace.set(ipv4__ip_forward=int(forwards))
        return namespace

    def _cable(self) -> None:
        link(self.server, "eth0", self.public_router, "server")
        link(self.public_router, "internet", self.internet, "public")
        link(self.gateway, "internet", self.internet, "gateway")
        link(self.servicenet_router, "api", self.api, "eth0")
        self.servicenet.ip("link add switch type bridge", "link set switch up")
        # The server's port last: if its index is that of the other end, the kernel takes up to a
        # second to pass on that the carrier is there.
        for namespace, port in (
            (self.gateway, "gateway"),
            (self.servicenet_router, "router"),
            (self.server, "server"),
        ):
            link(namespace, "eth1", self.servicenet, port)
            self.servicenet.ip(f"link set {port} master switch")

    def _address(self) -> None:
        network = f"/{SERVICENET.network.prefixlen}"
        self.public_router.ip(
            f"address add {PUBLIC_ROUTER}/{PUBLIC.network.prefixlen} dev server",
            "address add 192.0.2.1/30 dev internet",
            "route add default via 192.0.2.2",
        )
        self.gateway.ip(
            f"address add {GATEWAY}{network} dev eth1",
            "address add 192.0.2.5/30 dev internet",
            "route add default via 192.0.2.6",
        )
        self.servicenet_router.ip(
            f"address add {SERVICENET_ROUTER}{network} dev eth1",
            f"address add {API + 1}/24 dev api",
        )
        self.internet.ip(
            f"address add {INTERNET}/32 dev lo",
            "address add 192.0.2.2/30 dev public",
            "address add 192.0.2.6/30 dev gateway",
            f"route add {PUBLIC.network} via 192.0.2.1",
            f"route add {SERVICENET.network} via 192.0.2.5",
        )
        self.api.ip(
            f"address add {API}/24 dev eth0",
            f"route add default via {API + 1}",
        )
        self.server.ip(
            f"link set eth0 address {PUBLIC_MAC}",
            f"link set eth1 address {SERVICENET_MAC}",
            f"address add {PUBLIC} brd + dev eth0",
            f"address add {SERVICENET} brd + dev eth1",
            f"route add default via {PUBLIC_ROUTER} dev eth0",
            f"route add 10.176.0.0/12 via {SERVICENET_ROUTER} dev eth1",
            f"route add 10.208.0.0/12 via {SERVICENET_ROUTER} dev eth1",
        )


def link(one: Namespace, name: str, other: Namespace, peer: str) -> None:
    """Join two namespaces by a cable (a veth pair), both ends up."""
    # "name" and "dev" spelt out: a link may be called like one of `ip`'s words.
    one.ip(
        f"link add name {name} type veth peer name {peer} netns {other.path}",
        f"link set dev {name} up",
    )
    other.ip(f"link set dev {peer} up")


_libc = ctypes.CDLL(None, use_errno=True)


def _unshare(flags: int) -> None:
    if _libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), f"unshare: {os.strerror(ctypes.get_errno())}")


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f"setns: {os.strerror(ctypes.get_errno())}")
