"""Cases from the field, with the real kernel: a start judges like a running daemon."""

from __future__ import annotations

import json
import signal
import socket
import struct
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from rcnetd.lab.topology import GATEWAY, PUBLIC, PUBLIC_ROUTER, SERVICENET, SERVICENET_ROUTER
from tests.netns.daemons import Cloud
from tests.netns.worlds import Host
from tests.support.waiting import until

pytestmark = pytest.mark.netns

ONCE = "servers: [{timeline: [{at: 0, gateway: 10.180.31.254}, {at: 0, status: DEPLOYED}]}]"


def test_a_restart_does_not_wait_for_the_api(cloud: Cloud) -> None:
    """`systemctl restart`, and so an upgrade: READY as before, with the API dead."""
    cloud.emulate(ONCE)
    daemon = cloud.start()
    daemon.until_ready()
    cloud.api.set_fault("hang")
    daemon.restart(signal.SIGTERM)
    daemon.messages.clear()

    begin = time.monotonic()
    daemon.until_ready(10)
    print(f"READY {time.monotonic() - begin:.2f} s after the restart")
    assert cloud.goes_by_gateway()
    assert "was reported before the restart" in daemon.status["automation"]["source"]


def test_a_server_that_is_not_rackconnected_is_restarted(cloud: Cloud) -> None:
    """There was nothing to do, and the API is dead now: READY as before, and it is asked."""
    metadata = {"version": 1, "roles": ["identity:user-admin"]}
    (cloud.directory / "metadata.json").write_text(json.dumps(metadata))
    cloud.emulate("servers: [{timeline: [{at: 0, fault: not-found}]}]")
    daemon = cloud.start()
    daemon.until_state("NOT_RACKCONNECTED", 60)
    cloud.api.set_fault("hang")
    daemon.restart(signal.SIGTERM)
    daemon.messages.clear()

    daemon.until_ready()
    assert daemon.status["state"] == "NOT_RACKCONNECTED"


def test_a_default_of_our_own_metric_behind_ours_goes(cloud: Cloud) -> None:
    """The kernel would use both."""
    cloud.emulate(ONCE)
    daemon = cloud.start()
    daemon.until_ready()
    cloud.topology.server.ip(f"route append default via {PUBLIC_ROUTER} dev eth0 metric 1")

    with daemon.told():
        until(lambda: len(cloud.defaults()) == 1 and daemon.status["route"]["repairs"] == 1)
    assert cloud.goes_by_gateway()


def test_our_route_by_the_hosts_own_configuration(cloud: Cloud) -> None:
    """netplan, ifupdown or NetworkManager set what we persisted: nothing is lost or taken over."""
    cloud.emulate(ONCE)
    daemon = cloud.start()
    daemon.until_ready()
    server = cloud.topology.server
    server.ip(f"route replace default via {GATEWAY} dev eth1 metric 1 proto static")
    server.ip(f"route add default via {PUBLIC_ROUTER} dev eth1 metric 701 onlink")  # wakes us
    until(lambda: "metric 701" in " ".join(cloud.defaults()))

    with daemon.told():
        until(lambda: daemon.status["route"]["in_effect"])
    assert daemon.status["route"]["repairs"] == 0
    assert "proto static" in " ".join(cloud.defaults())


def test_a_virtual_address_in_front_of_ours(cloud: Cloud) -> None:
    """keepalived's /32 is the first address of the link."""
    cloud.emulate(ONCE)
    server = cloud.topology.server
    server.ip(
        f"address del {SERVICENET} dev eth1",
        "address add 10.180.1.200/32 dev eth1",
        f"address add {SERVICENET} brd + dev eth1",
        f"route replace 10.176.0.0/12 via {SERVICENET_ROUTER} dev eth1",
        f"route replace 10.208.0.0/12 via {SERVICENET_ROUTER} dev eth1",
    )
    daemon = cloud.start()
    daemon.until_ready()

    assert str(SERVICENET) == daemon.status["servicenet"]["address"]
    assert cloud.goes_by_gateway()


def test_a_bridge_whose_mac_changes(cloud: Cloud) -> None:
    """A container joins ServiceNet's bridge: the link is still known, the route still guarded."""
    cloud.emulate(ONCE)
    server = cloud.topology.server
    mac = json.loads(server.run("ip", "-j", "link", "show", "eth1"))[0]["address"]
    (cloud.directory / "metadata.json").write_text(json.dumps({"servicenet_mac": mac}))
    server.ip(
        "link add br-snet type bridge",
        "link set br-snet up",
        f"address del {SERVICENET} dev eth1",
        "link set eth1 master br-snet",
        f"address add {SERVICENET} brd + dev br-snet",
        f"route replace 10.176.0.0/12 via {SERVICENET_ROUTER} dev br-snet",
        f"route replace 10.208.0.0/12 via {SERVICENET_ROUTER} dev br-snet",
    )
    daemon = cloud.start()
    daemon.until_ready()
    assert "br-snet" == daemon.status["servicenet"]["interface"]

    server.ip(
        "link add v0 type veth peer name v1", "link set v0 address 02:00:00:00:00:01",
        "link set v0 master br-snet", "link set v0 up",
    )  # fmt: skip
    server.ip("route del default")
    with daemon.told():
        until(cloud.goes_by_gateway)


def test_an_alternative_name(cloud: Cloud) -> None:
    """udev's other names are names of the link, too."""
    cloud.emulate(ONCE)
    cloud.topology.server.ip("link property add dev eth1 altname enp1s0")
    cloud.start("servicenet: {interface: enp1s0}").until_ready()

    assert cloud.goes_by_gateway()


def test_the_public_interface_is_decided_before_the_switch(cloud: Cloud) -> None:
    """A Cloud Network with a losing default is neither public now nor at a restart."""
    cloud.emulate(ONCE)
    server = cloud.topology.server
    server.ip(
        "link add eth2 type veth peer name far2", "link set far2 up", "link set eth2 up",
        "address add 192.168.3.10/24 dev eth2",
        "route add default via 192.168.3.1 dev eth2 metric 1000",
    )  # fmt: skip
    daemon = cloud.start("public_interface: down")
    daemon.until_ready()
    until(lambda: "DOWN" in server.run("ip", "link", "show", "eth0"))
    daemon.restart(signal.SIGTERM)
    daemon.messages.clear()
    daemon.until_ready()

    assert "192.168.3.10" in server.run("ip", "address", "show", "eth2")
    assert any("via 192.168.3.1 dev eth2" in line for line in cloud.defaults())
    assert daemon.status["public"]["interface"] == "eth0"


def test_an_ipv6_default_that_comes_back_goes_again(cloud: Cloud) -> None:
    """A policy is watched like our own route: router advertisements bring it back."""
    cloud.emulate(ONCE)
    server = cloud.topology.server
    daemon = cloud.start("public_ipv6: no-default")
    daemon.until_ready()
    for _ in range(3):
        server.run(
            "ip", "-6", *["route", "add", "default", "dev", "eth0", "expires", "500", "proto", "ra"]
        )
        with daemon.told():
            until(lambda: "default" not in server.run("ip", "-6", "route", "show", "default"))


def test_a_full_run_directory_stops_nothing(cloud: Cloud) -> None:
    """No ledger, no record, no status: the route comes all the same."""
    cloud.emulate(ONCE)
    with cloud.topology.server:
        daemon = cloud.start(RUNTIME_DIRECTORY="/dev/full/rcnetd")
    assert 1 == daemon.until_end()
    blocked = Path(cloud.directory / "run")
    (blocked / "requests").mkdir(parents=True)
    (blocked / "requests" / "in-the-way").touch()
    (blocked / "removed.json").mkdir()
    (blocked / "public.json").mkdir()
    cloud.start().until_ready(90)

    assert cloud.goes_by_gateway()


def test_what_a_full_disk_kept_from_being_written_is_written_later(
    cloud: Cloud, tmp_path: Path
) -> None:
    """The persister, the gate, `rcnetctl` and the next start live by these files."""
    host = Host(cloud, tmp_path)
    host.fill_run()
    host.start()
    host.daemon.until_ready()
    assert not (host.run / "route.json").exists()

    (host.run / "fill").unlink()
    host.wake()
    with host.daemon.told():
        until(lambda: all((host.run / f"{name}.json").exists() for name in ("route", "ready")))
        until(lambda: host.daemon.status.get("pid") == host.daemon.process.pid)
    removed = json.loads((host.run / "removed.json").read_text())
    assert [f"default via {PUBLIC_ROUTER} dev eth0 proto boot metric 0"] == [
        entry["text"] for entry in removed["routes"]
    ]


def test_no_file_can_be_made_under_run(cloud: Cloud, tmp_path: Path) -> None:
    """Not even the daemon's lock: the route comes all the same."""
    host = Host(cloud, tmp_path, run="nr_inodes=1")
    host.start()
    host.daemon.until_ready(90)

    assert cloud.goes_by_gateway()


def test_the_public_interface_is_a_bridge(cloud: Cloud, tmp_path: Path) -> None:
    """The platform names its port's MAC, and a container has changed the bridge's."""
    cloud.emulate(ONCE)
    server = cloud.topology.server
    mac = json.loads(server.run("ip", "-j", "link", "show", "eth0"))[0]["address"]
    (cloud.directory / "metadata.json").write_text(json.dumps({"public_mac": mac}))
    server.ip(
        "link add br-pub type bridge", "link set br-pub up", f"address del {PUBLIC} dev eth0",
        "link set eth0 master br-pub", f"address add {PUBLIC} brd + dev br-pub",
        "link add v0 type veth peer name v1", "link set v0 address 02:00:00:00:00:01",
        "link set v0 master br-pub", "link set v0 up",
        f"route add default via {PUBLIC_ROUTER} dev br-pub metric 100",
    )  # fmt: skip
    daemon = cloud.start("public_interface: down")
    daemon.until_ready()

    assert daemon.status["public"]["interface"] == "br-pub"
    until(lambda: "state DOWN" in server.run("ip", "link", "show", "br-pub"))
    assert len(cloud.defaults()) == 1


def test_half_of_the_internet_is_diverted(cloud: Cloud) -> None:
    """The half that a single address of the other one does not show."""
    cloud.emulate(ONCE)
    cloud.topology.server.ip(f"route add 0.0.0.0/1 via {PUBLIC_ROUTER} dev eth0")
    daemon = cloud.start()
    daemon.until_ready()

    assert daemon.status["route"]["diversions"] == [
        "traffic to 0.0.0.0/1 is diverted by a /1 route of table main via 203.0.113.1 dev eth0"
    ]
    assert not daemon.status["route"]["in_effect"]
    for verb, effect in (("del", True), ("add", False)):  # each is seen when it happens
        cloud.topology.server.ip(f"route {verb} 0.0.0.0/1 via {PUBLIC_ROUTER} dev eth0")
        until(partial(lambda want: daemon.status["route"]["in_effect"] is want, effect))


def test_a_diversion_by_a_nexthop_object_that_vanishes(cloud: Cloud) -> None:
    """The kernel says nothing of the route that goes with it."""
    cloud.emulate(ONCE)
    daemon = cloud.start()
    daemon.until_ready()
    server = cloud.topology.server
    server.ip(f"nexthop add id 7 via {PUBLIC_ROUTER} dev eth0", "route add 0.0.0.0/1 nhid 7")
    until(lambda: daemon.status["route"]["diversions"])
    server.ip("nexthop del id 7")
    until(lambda: daemon.status["route"]["in_effect"])


@pytest.mark.parametrize("ignored", [0, 1])
def test_without_a_carrier(cloud: Cloud, ignored: int) -> None:
    """Whether the kernel still uses such a route or not: ServiceNet is gone, and comes back."""
    cloud.emulate(ONCE)
    server, switch = cloud.topology.server, cloud.topology.servicenet
    server.run("sysctl", "-qw", f"net.ipv4.conf.eth1.ignore_routes_with_linkdown={ignored}")
    daemon = cloud.start()
    daemon.until_ready()
    switch.ip("link set server down")
    until(lambda: "ServiceNet is gone" in str(daemon.status["status"]))
    assert not daemon.status["route"]["in_effect"]
    switch.ip("link set server up")
    until(lambda: daemon.status["route"]["in_effect"])
    assert 0 == daemon.status["route"]["repairs"]


def test_an_icmp_redirect_is_for_one_destination(cloud: Cloud) -> None:
    """The kernel sends that one elsewhere, and all else by our route, as the status says."""
    cloud.emulate(ONCE)
    daemon = cloud.start()
    daemon.until_ready()
    topology = cloud.topology
    with topology.server:
        traffic = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with topology.gateway:
        gateway = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    with traffic, gateway:
        traffic.connect(("198.51.100.99", 9))
        traffic.send(b"x")
        gateway.bind((str(GATEWAY), 0))
        gateway.sendto(redirect(traffic), (str(SERVICENET.ip), 0))
        until(lambda: "redirected" in topology.server.run("ip", "route", "get", "198.51.100.99"))
    assert "via 10.180.31.254" in topology.server.run("ip", "route", "get", "198.51.100.98")
    topology.server.ip("rule add priority 9 lookup 9")  # look again
    assert cloud.goes_by_gateway()
    assert daemon.status["route"]["in_effect"]


def redirect(traffic: socket.socket) -> bytes:
    """The message (RFC 792) that packets of this socket should go by ServiceNet's router."""
    (source, port), (target, to) = traffic.getsockname(), traffic.getpeername()
    addresses = socket.inet_aton(source) + socket.inet_aton(target)
    packet = struct.pack("!BBHHHBBH", 0x45, 0, 28, 1, 0, 64, socket.IPPROTO_UDP, 0) + addresses
    rest = SERVICENET_ROUTER.packed + packet + struct.pack("!4H", port, to, 8, 0)
    total = sum(struct.unpack(f"!{len(rest) // 2}H", rest)) + 0x0501
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!BBH", 5, 1, ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF) + rest


def test_a_request_from_an_address_that_is_gone_is_cut_off(cloud: Cloud) -> None:
    """Nothing comes back to it. The next one is sent at once, from the address that counts."""
    cloud.emulate(ONCE)
    cloud.api.set_fault("hang")
    daemon = cloud.start()
    until(lambda: cloud.api.requests)
    cloud.topology.server.ip(
        f"address del {SERVICENET} dev eth1", "address add 10.180.1.3/19 dev eth1"
    )

    until(lambda: [one for one in daemon.timeline if one["event"] == "request"][1:])
    assert [] == [one for one in daemon.timeline if one["event"] == "answer"]
    until(lambda: "10.180.1.3/19" in str(daemon.status["servicenet"]))


def churn(server_ip: Callable[..., object], number: int) -> None:
    """Make and remove links, as container runtimes do."""
    for index in range(number):
        server_ip(f"link add c{index} type veth peer name d{index}", f"link del c{index}")


def test_links_that_come_and_go_delay_no_repair(cloud: Cloud) -> None:
    """While links are made and removed the route is back at once: nothing needs the whole list."""
    cloud.emulate(ONCE)
    server = cloud.topology.server
    server.ip(*(f"link add many{index} type veth peer name other{index}" for index in range(100)))
    daemon = cloud.start()
    daemon.until_ready()
    daemon.until_state("READY")
    worst = 0.0
    for _ in range(10):
        churn(server.ip, 3)
        begin = time.monotonic()
        server.ip("route del default")
        churn(server.ip, 3)
        with daemon.told():
            until(cloud.goes_by_gateway)
        worst = max(worst, time.monotonic() - begin)
    print(f"worst repair with 200 links, and some made and removed: {worst * 1000:.0f} ms")
    assert "keeps changing" not in daemon.log.read_text()
    assert daemon.status["route"]["repairs"] == 10
