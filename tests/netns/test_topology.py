"""The small cloud: its ways, and that nothing of it stays."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from rcnetd.lab.topology import (
    API,
    GATEWAY,
    INTERNET,
    PUBLIC,
    SERVICENET,
    SERVICENET_ROUTER,
    Namespace,
    Topology,
    link,
)
from tests.netns.namespaces import open_descriptors
from tests.support.waiting import LONG

pytestmark = pytest.mark.netns


def seen_from(host: Namespace, sender: Namespace, address: IPv4Address) -> IPv4Address:
    """The source address that *host* sees when *sender* sends it something."""
    with host:
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with receiver:
        receiver.settimeout(LONG)
        receiver.bind((str(address), 9999))
        with sender, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as packets:
            packets.sendto(b"hello", receiver.getsockname())
        return IPv4Address(receiver.recvfrom(16)[1][0])


def reaches(sender: Namespace, host: Namespace, address: IPv4Address, patience: float) -> bool:
    """Whether *sender* gets an answer from *address* of *host* within *patience* seconds."""
    with host:
        listener = socket.create_server((str(address), 0))
    with sender:
        client = socket.socket()
    with listener, client:
        client.settimeout(patience)
        try:
            client.connect(listener.getsockname())
        except OSError:
            return False
        return True


def test_a_fresh_server_goes_by_its_public_address(topology: Topology) -> None:
    """The internet sees the public address, the API's host the ServiceNet one."""
    assert seen_from(topology.internet, topology.server, INTERNET) == PUBLIC.ip
    assert seen_from(topology.api, topology.server, API) == SERVICENET.ip


def test_the_gateway_leads_to_the_internet(topology: Topology) -> None:
    """With the RackConnect gateway as its default the server is seen by its ServiceNet address."""
    topology.server.ip(f"route replace default via {GATEWAY} dev eth1")
    assert seen_from(topology.internet, topology.server, INTERNET) == SERVICENET.ip
    assert reaches(topology.server, topology.internet, INTERNET, LONG)


def test_the_servicenet_router_leads_nowhere_else(topology: Topology) -> None:
    """A default route to the ServiceNet router does not reach the internet."""
    topology.server.ip(f"route replace default via {SERVICENET_ROUTER} dev eth1")
    assert not reaches(topology.server, topology.internet, INTERNET, 1)
    assert reaches(topology.server, topology.api, API, LONG)


def test_a_failing_command_is_an_error(namespace: Namespace) -> None:
    """Of one program, and of any line of several."""
    with pytest.raises(subprocess.CalledProcessError):
        namespace.run("false")
    assert namespace.run("false", check=False) == ""
    with pytest.raises(subprocess.CalledProcessError):
        namespace.ip("link show lo", "link show nothing", "link add switch type bridge")
    assert "switch" not in namespace.ip("link")


def test_namespaces_nest(namespaces: None) -> None:
    """Leaving one leads back to where one came from."""
    outside = Path("/proc/self/ns/net").readlink()
    one, two = Namespace(), Namespace()
    with one:
        inside = Path("/proc/self/ns/net").readlink()
        with two, one:
            assert Path("/proc/self/ns/net").readlink() == inside
        assert Path("/proc/self/ns/net").readlink() == inside
    assert outside == Path("/proc/self/ns/net").readlink() != inside
    link(one, "a", two, "b")
    assert "a@" in one.ip("link")
    one.close()
    two.close()


def test_kernel_settings(namespace: Namespace) -> None:
    """They are the namespace's own."""
    namespace.set(ipv4__ip_forward=1, ipv4__conf__lo__rp_filter=2)
    assert Path("/proc/sys/net/ipv4/conf/lo/rp_filter").read_text(encoding="ascii") == "2\n"


def test_nothing_stays(namespaces: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No descriptor and no link, also when the building fails half-way."""
    links = socket.if_nameindex()
    descriptors = open_descriptors()
    with Topology():
        assert socket.if_nameindex() == links

    def fail(_: Topology) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Topology, "_address", fail)
    with pytest.raises(KeyboardInterrupt):
        Topology()
    assert open_descriptors() == descriptors
    assert socket.if_nameindex() == links


def test_it_needs_no_root() -> None:
    """In a user namespace of its own a process is root enough, of that and nothing else."""
    program = """
from rcnetd.lab.topology import INTERNET, Topology, become_root_of_nothing, may_make_namespaces
become_root_of_nothing()
assert may_make_namespaces()
from tests.netns.test_topology import reaches
with Topology() as topology:
    assert reaches(topology.server, topology.internet, INTERNET, 5)
print("reached")
"""
    before = os.readlink("/proc/self/ns/net")  # noqa: PTH115
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)},
    )
    assert done.stdout == "reached\n"
    assert before == os.readlink("/proc/self/ns/net")  # noqa: PTH115
