"""The whole daemon in namespaces: boots, faults, ends, the guard, all asserted on the kernel."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import statistics
import threading
import time
from pathlib import Path

import pytest

from rcnetd.lab.topology import API, GATEWAY, PUBLIC_ROUTER, SERVICENET, SERVICENET_ROUTER
from tests.netns.daemons import ASSIGNED, NEVER, ONCE, Cloud, Daemon
from tests.support.nameserver import name_server
from tests.support.waiting import until

pytestmark = pytest.mark.netns

OURS = f"default via {GATEWAY} dev eth1 proto 82 metric 1"


def is_ours(line: str) -> bool:
    """Whether a line of `ip route` is our route; the protocol may have a name here."""
    return line.split("proto")[0] == OURS.split("proto")[0] and line.split()[-1] == "1"


def test_a_whole_boot(cloud: Cloud) -> None:
    """404s, then a gateway, then DEPLOYED: READY=1 comes, and the kernel uses the route."""
    cloud.emulate(
        "servers: [{address: 10.180.1.2, region: dfw, start: first-request, timeline: ["
        "{at: 2s, gateway: 10.180.31.254}, {at: 6s, status: DEPLOYED}]}]"
    )
    daemon = cloud.start()
    daemon.until_ready(30)

    assert [line for line in cloud.defaults() if not is_ours(line)] == []
    assert cloud.goes_by_gateway()
    heard = daemon.hear()
    assert any(line.startswith("STATUS=waiting for the gateway") for line in heard)
    assert "EXTEND_TIMEOUT_USEC=30000000" in heard
    assert {request.source for request in cloud.api.requests} == {"10.180.1.2"}
    assert {request.host for request in cloud.api.requests} == {"dfw.api.rackconnect.rackspace.com"}
    states = [entry["state"] for entry in daemon.timeline if entry["event"] == "state"]
    assert states[0] == "WAITING_FOR_FEATURES"
    assert states[-1] == "READY"
    answers = [entry for entry in daemon.timeline if entry["event"] == "answer"]
    outcomes = [entry["outcome"] for entry in answers if entry["operation"] == "gateway_ip"]
    assert (outcomes[0], outcomes[-1]) == ("not-assigned", "ok")
    assert [entry["status"] for entry in answers if "status" in entry][-1] == "DEPLOYED"
    route = json.loads((daemon.run / "route.json").read_text())
    assert (route["interface"], route["gateway"]) == ("eth1", str(GATEWAY))


def test_servicenet_that_comes_late_is_noticed_at_once(cloud: Cloud) -> None:
    """Event-driven: from the address to the first packet in milliseconds (printed)."""
    server = cloud.topology.server
    cloud.emulate(NEVER)
    delays = []
    for _ in range(15):
        server.ip("address flush dev eth1")
        daemon = cloud.start()
        daemon.until_state("WAITING_FOR_SERVICENET")
        _until_fetcher_is_idle(daemon)
        delays.append(_address_to_packet(cloud))
        daemon.close()
        (daemon.run / "requests").unlink(missing_ok=True)
        (daemon.run / "status.json").unlink()
    delays.sort()
    print(f"\naddress to first packet: median {statistics.median(delays) * 1000:.1f} ms,"
          f" worst {delays[-1] * 1000:.1f} ms of {len(delays)}")  # fmt: skip
    assert statistics.median(delays) < 1.0


def _until_fetcher_is_idle(daemon: Daemon) -> None:
    """Wait until the fetcher has loaded what it needs and waits for its first request."""
    until(
        lambda: any(
            b"ssl" in Path(f"/proc/{pid}/maps").read_bytes() and _has_slept(pid)
            for pid in daemon.children()
        )
    )


def _has_slept(pid: int) -> bool:
    """Whether a process uses no CPU any more: twice the same ticks, a moment apart."""

    def ticks() -> list[str]:
        return Path(f"/proc/{pid}/stat").read_text().split()[13:15]

    before = ticks()
    threading.Event().wait(0.15)
    return before == ticks()


def _address_to_packet(cloud: Cloud) -> float:
    """Seconds from the kernel's word of the new address to the first TCP packet on ServiceNet."""
    with cloud.topology.server:
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))
        wire.bind(("eth1", 0x0003))
        news = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        news.bind((0, 0x10))  # RTMGRP_IPV4_IFADDR
    with wire, news:
        wire.settimeout(10)
        news.settimeout(10)
        heard: list[float] = []
        thread = threading.Thread(
            target=lambda: (news.recv(65536), heard.append(time.monotonic()))  # type: ignore[func-returns-value]
        )
        thread.start()
        cloud.topology.server.ip(
            f"address add {SERVICENET} brd + dev eth1",
            f"route add 10.208.0.0/12 via {SERVICENET_ROUTER} dev eth1",
        )
        while True:
            packet = wire.recv(2048)
            if packet[0] >> 4 == 4 and packet[9] == socket.IPPROTO_TCP:
                end = time.monotonic()
                break
        thread.join(10)
    return end - heard[0]


def test_from_answer_to_route(cloud: Cloud) -> None:
    """From "the API answers 200" to "the route is in the kernel" in milliseconds (printed)."""
    cloud.emulate(ASSIGNED)
    took = []
    for _ in range(10):
        cloud.topology.server.ip("route flush default", f"neigh flush {GATEWAY} dev eth1")
        cloud.topology.server.ip(f"route add default via {PUBLIC_ROUTER} dev eth0")
        daemon = cloud.start()
        daemon.until_state("WAITING_FOR_DEPLOYED")
        entries = daemon.timeline
        answered = next(entry["at"] for entry in entries if entry.get("answer") == str(GATEWAY))
        added = next(entry["at"] for entry in entries if entry["event"] == "change")
        took.append(added - answered)
        daemon.close()
        for name in ("requests", "timeline.jsonl", "status.json"):
            (daemon.run / name).unlink()
        (cloud.directory / "gateway.json").unlink(missing_ok=True)  # each is a first boot
    took.sort()
    print(f"\nanswer to route: median {statistics.median(took) * 1000:.1f} ms,"
          f" worst {took[-1] * 1000:.1f} ms of {len(took)}")  # fmt: skip
    assert took[-1] < 2.0


DOUBTFUL = {
    "own address": "10.180.1.2",
    "network address": "10.180.0.0",
    "broadcast address": "10.180.31.255",
    "off the subnet": "10.180.32.1",
    "multicast": "224.0.0.5",
    "loopback": "127.0.0.1",
}


@pytest.mark.parametrize("gateway", DOUBTFUL.values(), ids=list(DOUBTFUL))
def test_a_doubtful_gateway_changes_no_route(cloud: Cloud, gateway: str) -> None:
    """The old default stays, and the status says why."""
    before = cloud.defaults()
    cloud.emulate(f"servers: [{{timeline: [{{at: 0, gateway: {gateway}}}]}}]")
    daemon = cloud.start()

    until(lambda: gateway in str(daemon.status.get("gateway", {}).get("rejected")))

    assert before == cloud.defaults()
    assert f"the API's gateway {gateway}" in daemon.status["status"]


def test_a_dead_gateway_changes_no_route(cloud: Cloud) -> None:
    """A gateway that does not answer on the link is never switched to; when it does, it is."""
    before = cloud.defaults()
    cloud.emulate("servers: [{timeline: [{at: 0, gateway: 10.180.30.77}]}]")
    daemon = cloud.start()

    until(lambda: "10.180.30.77 does not answer on 'eth1'" in daemon.log.read_text(), 20)
    assert before == cloud.defaults()

    cloud.topology.gateway.ip("address add 10.180.30.77/19 dev eth1")
    daemon.until_state("WAITING_FOR_DEPLOYED", 20)


@pytest.mark.parametrize("fault", ["ipv6", "html", "two-addresses", "empty", "garbage", "oversize"])
def test_a_senseless_answer_changes_no_route(cloud: Cloud, fault: str) -> None:
    """Whatever comes instead of an address: nothing changes, and the status says what came."""
    before = cloud.defaults()
    cloud.emulate(ASSIGNED)
    cloud.api.set_fault(fault, on="gateway_ip")
    daemon = cloud.start()

    until(lambda: daemon.status.get("requests", {}).get("last_failure"))

    assert before == cloud.defaults()
    assert daemon.status["state"] == "WAITING_FOR_GATEWAY"
    assert "last failure" in daemon.status["status"]


STOPS = {
    "WAITING_FOR_SERVICENET": (NEVER, None),
    "WAITING_FOR_FEATURES": (NEVER, "hang"),
    "WAITING_FOR_GATEWAY": (NEVER, None),
    "CHECKING_GATEWAY": ("servers: [{timeline: [{at: 0, gateway: 10.180.30.77}]}]", None),
    "WAITING_FOR_DEPLOYED": (ASSIGNED, None),
    "READY": (ONCE, None),
    "FAILED": (
        "servers: [{timeline: [{at: 0, gateway: 10.180.31.254}, {at: 0, status: FAILED}]}]",
        None,
    ),
}


@pytest.mark.parametrize("state", STOPS)
def test_sigterm_at_any_point(cloud: Cloud, state: str) -> None:
    """Exit 0 within a second, no child left, and the routes are as they were."""
    timeline, fault = STOPS[state]
    cloud.emulate(timeline)
    if fault is not None:
        cloud.api.set_fault(fault)
    if state == "WAITING_FOR_SERVICENET":
        cloud.topology.server.ip("address flush dev eth1")
    daemon = cloud.start()
    daemon.until_state(state)
    before, children = cloud.defaults(), daemon.children()

    assert daemon.stop() < 1.0

    assert before == cloud.defaults()
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)
    assert "STOPPING=1" in daemon.hear()
    assert daemon.status["pid"] is None
    assert list(daemon.run.glob(".*.tmp")) == []


@pytest.mark.parametrize("fault", ["hang", "drip", "drip-body"])
def test_a_slow_api_delays_nothing(cloud: Cloud, fault: str) -> None:
    """While a request hangs: a lost route is back, the watchdog is fed, SIGTERM is obeyed."""
    cloud.emulate(ASSIGNED)
    daemon = cloud.start(WATCHDOG_USEC="1000000")
    daemon.until_state("WAITING_FOR_DEPLOYED")
    cloud.api.set_fault(fault)
    until(lambda: any(request.fault == fault for request in cloud.api.requests), 20)

    daemon.hear()
    heard = len(daemon.messages)
    for _ in range(5):
        cloud.topology.server.ip(f"route del default via {GATEWAY}")
        assert until(cloud.goes_by_gateway) < 1.0
    until(lambda: daemon.hear()[heard:].count("WATCHDOG=1") >= 3)
    fed = [at for at, line in daemon.messages[heard:] if line == "WATCHDOG=1"]
    assert max(later - earlier for earlier, later in zip(fed, fed[1:])) < 1.0
    assert daemon.stop() < 1.0


def test_a_busy_service_manager_delays_nothing(cloud: Cloud) -> None:
    """systemd reads nothing for a while: the route is guarded, and READY=1 comes afterwards."""
    cloud.emulate(ONCE)
    daemon = cloud.start(WATCHDOG_USEC="20000")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as others:
        others.connect(daemon.socket.getsockname())
        others.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                others.send(b"X=1")
    daemon.until_state("READY")

    cloud.topology.server.ip(f"route del default via {GATEWAY}")
    assert until(cloud.goes_by_gateway) < 1.0
    until(lambda: "READY=1" in daemon.hear())
    assert daemon.stop() < 1.0


def test_a_resolver_that_hangs_delays_nothing(cloud: Cloud) -> None:
    """getaddrinfo cannot be cut off from within: the fetcher is killed, the daemon goes on."""
    cloud.emulate(ASSIGNED)
    resolv = cloud.directory / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:5\n")
    settings = f"region: dfw\nca_file: {cloud.api.ca_file}\n"
    with name_server(cloud.topology.server, "127.0.0.1", None):
        daemon = Daemon(cloud, settings, {}, instead_of={"/etc/resolv.conf": resolv})
        cloud.callback(daemon.close)
        until(lambda: "asking automation_features" in str(daemon.status.get("status")))
        child = daemon.children()
        until(lambda: "resolver" in str(daemon.status["requests"]["last_failure"]), 75)
        assert child != daemon.children()
        assert daemon.stop() < 1.0


@pytest.mark.parametrize("options", ["timeout:2", "timeout:10"])
def test_a_silent_name_server_before_a_good_one(cloud: Cloud, options: str) -> None:
    """The look-up goes on until the next server is asked; the others go without one."""
    cloud.emulate(ONCE)
    name = "dfw.api.rackconnect.rackspace.com"
    resolv, hosts = cloud.directory / "resolv.conf", cloud.directory / "hosts"
    resolv.write_text(f"nameserver 127.0.0.2\nnameserver 127.0.0.1\noptions {options}\n")
    hosts.write_text("127.0.0.1 localhost\n")
    server = cloud.topology.server
    settings = f"region: dfw\nca_file: {cloud.api.ca_file}\n"
    files = {"/etc/resolv.conf": resolv, "/etc/hosts": hosts}
    with (
        name_server(server, "127.0.0.2", None) as unanswered,
        name_server(server, "127.0.0.1", {name: API}) as answered,
    ):
        daemon = Daemon(cloud, settings, {}, instead_of=files)
        cloud.callback(daemon.close)
        daemon.until_ready(30)

        assert 1 == len(unanswered), "a second look-up waited for its time-out"
        assert 1 == len(answered)
    assert "Failed to ask" not in daemon.log.read_text()


def test_the_name_fails_the_last_address_answers(cloud: Cloud) -> None:
    """A reboot whose resolver is only reached by the route: with the certificate of the name."""
    cloud.emulate(ONCE)
    name = "dfw.api.rackconnect.rackspace.com"
    hosts, resolv = cloud.directory / "hosts", cloud.directory / "resolv.conf"
    hosts.write_text(f"{API} {name}\n")
    resolv.write_text("nameserver 127.0.0.1\n")  # nobody listens
    settings = f"region: dfw\nca_file: {cloud.api.ca_file}\n"
    files = {"/etc/resolv.conf": resolv, "/etc/hosts": hosts}
    first = Daemon(cloud, settings, {}, instead_of=files)
    cloud.callback(first.close)
    first.until_ready()
    first.stop()
    assert str(API) in (cloud.directory / "gateway.json").read_text()

    hosts.write_text("")
    (first.run / "ready.json").unlink()  # as after a reboot
    second = Daemon(cloud, settings, {}, instead_of=files)
    cloud.callback(second.close)
    second.until_ready()
    assert "cannot resolve" in second.log.read_text()
    assert f"asking {API}, where the API was last" in second.log.read_text()
    assert second.status["automation"]["source"] is None


@pytest.mark.parametrize(
    ("status", "code"), [("FAILED", 69), ("UNPROCESSABLE", 76)], ids=["FAILED", "UNPROCESSABLE"]
)
def test_an_automation_that_ended_ends_the_daemon(cloud: Cloud, status: str, code: int) -> None:
    """Before a route is in effect, with the exit code that systemd understands."""
    before = cloud.defaults()
    cloud.emulate(f"servers: [{{timeline: [{{at: 0, status: {status}}}]}}]")
    daemon = cloud.start()

    assert daemon.until_end() == code
    assert before == cloud.defaults()
    assert any(line.startswith("STATUS=") and status in line for line in daemon.hear())
    assert daemon.status["exit"]["code"] == code


def test_failed_with_our_route_stays_and_guards(cloud: Cloud) -> None:
    """The daemon stays, not ready, and puts a lost route back."""
    timeline, _ = STOPS["FAILED"]
    cloud.emulate(timeline)
    daemon = cloud.start()
    daemon.until_state("FAILED")

    cloud.topology.server.ip("link set eth1 down", "link set eth1 up")
    until(cloud.goes_by_gateway)
    assert "READY=1" not in daemon.hear()


def test_no_servicenet_ends_with_69(cloud: Cloud) -> None:
    """By `servicenet.timeout`."""
    cloud.emulate(NEVER)
    cloud.topology.server.ip("address flush dev eth1")

    assert cloud.start("servicenet: {timeout: 1s}").until_end() == 69


def test_not_deployed_in_time_ends_with_75_and_the_route_stays(cloud: Cloud) -> None:
    """By `deploy_timeout`."""
    cloud.emulate(ASSIGNED)

    assert cloud.start("deploy_timeout: 3s").until_end() == 75
    assert cloud.goes_by_gateway()


@pytest.mark.parametrize("settings", ["regoin: dfw", "gateway: {check: 5}"])
def test_wrong_settings_end_with_78(cloud: Cloud, settings: str) -> None:
    """One line says where and what."""
    cloud.emulate(NEVER)
    daemon = cloud.start(settings)

    assert daemon.until_end() == 78
    log = daemon.log.read_text()
    assert len(log.splitlines()) == 1
    assert "line 4" in log


def test_hands_off_touches_nothing(cloud: Cloud) -> None:
    """With Configure Network Stack enabled, READY comes with DEPLOYED and no route of ours."""
    before = cloud.defaults()
    cloud.emulate(
        "servers: [{features: {ConfigureNetworkStack: true}, timeline: ["
        "{at: 0, gateway: 10.180.31.254}, {at: 0, status: DEPLOYED}]}]"
    )
    daemon = cloud.start()
    daemon.until_ready()

    assert before == cloud.defaults()
    assert daemon.status["state"] == "READY_UNMANAGED"


def test_rackconnect_v3_is_not_ours(cloud: Cloud) -> None:
    """Ready at once, and the API is never asked."""
    cloud.emulate(ONCE)
    (cloud.directory / "metadata.json").write_text('{"roles": ["rackconnect:v3"]}')
    daemon = cloud.start()
    daemon.until_ready()

    assert daemon.status["state"] == "NOT_OURS"
    assert cloud.api.requests == []
    assert cloud.defaults()[0].startswith(f"default via {PUBLIC_ROUTER}")


def test_a_second_daemon_is_refused(cloud: Cloud) -> None:
    """Two writers of one route are one too many."""
    cloud.emulate(ONCE)
    first = cloud.start()
    first.until_ready()
    second = cloud.start()

    assert second.until_end() == 1
    assert "already running" in second.log.read_text()


def test_a_crash_leaves_the_route_and_the_restart_finds_it(cloud: Cloud) -> None:
    """kill -9 of daemon and fetcher: nothing is lost, nothing is added twice."""
    cloud.emulate(ONCE)
    daemon = cloud.start()
    daemon.until_ready()
    children = daemon.children()

    daemon.restart(signal.SIGKILL)
    assert cloud.goes_by_gateway()
    daemon.hear()
    daemon.messages.clear()
    daemon.until_ready()

    assert len(cloud.defaults()) == 1
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))


def test_a_killed_fetcher_costs_one_request(cloud: Cloud) -> None:
    """The daemon starts another one and goes on."""
    cloud.emulate(ASSIGNED)
    daemon = cloud.start()
    daemon.until_state("WAITING_FOR_DEPLOYED")
    for _ in range(3):
        until(lambda: len(daemon.children()) == 1)
        asked = len(cloud.api.requests)
        os.kill(daemon.children()[0], signal.SIGKILL)
        until(lambda before=asked: len(cloud.api.requests) > before, 20)  # type: ignore[misc]


def test_the_fetcher_goes_when_it_is_idle(cloud: Cloud) -> None:
    """After READY its memory is free again."""
    cloud.emulate(ONCE)
    daemon = cloud.start()
    daemon.until_ready()

    until(lambda: daemon.children() == [])


GUARDED = {
    "deleted": [f"route del default via {GATEWAY}"],
    "flap": ["link set eth1 down", "link set eth1 up"],
    "lower metric": [f"route add default via {PUBLIC_ROUTER} dev eth0"],
    "replaced": [f"route replace default via {SERVICENET_ROUTER} dev eth1 metric 1"],
    "flushed": [
        "address flush dev eth1",
        f"address add {SERVICENET} brd + dev eth1",
    ],
    "renamed": ["link set eth1 down", "link set eth1 name snet0", "link set snet0 up"],
}


@pytest.mark.parametrize("case", GUARDED)
def test_the_guard_puts_the_route_back(cloud: Cloud, case: str) -> None:
    """Whoever takes it, and however silently."""
    cloud.emulate(ONCE)
    daemon = cloud.start()
    daemon.until_ready()

    cloud.topology.server.ip(*GUARDED[case])

    until(cloud.goes_by_gateway)
    # The file comes after the route.
    until(lambda: daemon.status["route"]["repairs"] and daemon.status["route"]["in_effect"])


def test_an_interface_with_a_new_name_is_asked_by(cloud: Cloud) -> None:
    """The link is the same: what is said and asked from then on is by its new name."""
    cloud.emulate(ONCE)
    daemon = cloud.start("gateway: {recheck_interval: 2s}")
    daemon.until_ready()
    cloud.topology.server.ip(*GUARDED["renamed"])
    until(cloud.goes_by_gateway)

    asked = len(cloud.api.requests)
    with daemon.told():
        until(lambda: len(cloud.api.requests) > asked)
    assert "snet0" == daemon.status["servicenet"]["interface"]
    assert daemon.status["requests"]["last_failure"] is None


def test_an_address_that_moves_takes_the_route_with_it(cloud: Cloud) -> None:
    """To where the gateway is another: asked for at once, and the old route goes."""
    cloud.emulate(
        f"servers: [{{timeline: [{{at: 0, gateway: {GATEWAY}}}, {{at: 0, status: DEPLOYED}},"
        " {at: 4s, gateway: 10.180.63.254}]}]"
    )
    daemon = cloud.start()
    daemon.until_ready()
    until(lambda: time.monotonic() > daemon.messages[0][0] + 4)
    cloud.topology.gateway.ip("address add 10.180.63.254/19 dev eth1")
    cloud.topology.servicenet_router.ip("address add 10.180.32.1/19 dev eth1")
    cloud.topology.server.ip(
        "address add 10.180.33.7/19 brd + dev eth1",
        "route replace 10.176.0.0/12 via 10.180.32.1 dev eth1",
        "route replace 10.208.0.0/12 via 10.180.32.1 dev eth1",
        f"address del {SERVICENET} dev eth1",
    )

    with daemon.told():
        until(lambda: any("via 10.180.63.254 dev eth1" in line for line in cloud.defaults()))
    until(lambda: not any(f"via {GATEWAY}" in line for line in cloud.defaults()))
    until(lambda: daemon.status["servicenet"]["address"] == "10.180.33.7/19")


def test_what_the_route_stands_on_is_repaired_too(cloud: Cloud) -> None:
    """A flush takes the connected route too, which ours stands on: both are back, as one repair."""
    cloud.emulate(ONCE)
    daemon = cloud.start()
    daemon.until_ready()
    server = cloud.topology.server
    server.ip("route flush table main")

    until(cloud.goes_by_gateway)
    until(lambda: f"{SERVICENET.network} dev eth1" in server.run("ip", "route"))
    until(lambda: daemon.status["route"]["repairs"] == 1)
    assert "has invalid gateway" not in daemon.log.read_text()


def test_public_interface_down(cloud: Cloud) -> None:
    """Flushed and set down once our route is in effect; what was there is recorded."""
    cloud.emulate(ONCE)
    daemon = cloud.start("public_interface: down")
    daemon.until_ready()

    shown = cloud.topology.server.run("ip", "-4", "address", "show", "eth0")
    until(lambda: "DOWN" in cloud.topology.server.run("ip", "link", "show", "eth0"))
    assert "203.0.113.10" not in cloud.topology.server.run("ip", "-4", "address", "show", "eth0"), (
        shown
    )
    removed = json.loads((daemon.run / "removed.json").read_text())
    assert removed["links"][0]["addresses"] == ["203.0.113.10/24"]
    assert "via 203.0.113.1" in removed["routes"][0]["text"]
    assert cloud.goes_by_gateway()


def test_missing_servicenet_routes_are_added(cloud: Cloud) -> None:
    """By the router that the metadata names: what was on ServiceNet stays there."""
    cloud.emulate(ONCE)
    server = cloud.topology.server
    server.ip("route del 10.176.0.0/12")
    (cloud.directory / "metadata.json").write_text(
        json.dumps({"servicenet_router": str(SERVICENET_ROUTER)})
    )
    cloud.start().until_ready()

    until(lambda: f"via {SERVICENET_ROUTER}" in server.run("ip", "route", "get", "10.190.1.1"))


def test_a_diversion_is_reported_and_not_fought(cloud: Cloud) -> None:
    """A VPN's halves of the Internet: the status names them, readiness stays."""
    cloud.emulate(ONCE)
    daemon = cloud.start()
    daemon.until_ready()

    cloud.topology.server.ip(
        f"route add 0.0.0.0/1 via {PUBLIC_ROUTER} dev eth0",
        f"route add 128.0.0.0/1 via {PUBLIC_ROUTER} dev eth0",
        f"route add default via {PUBLIC_ROUTER} dev eth0 metric 500",  # wakes the guard
    )

    until(lambda: daemon.status["route"]["diversions"])
    assert daemon.status["ready"]
    assert daemon.status["route"]["repairs"] == 0


def test_a_reload_takes_new_settings_and_keeps_the_route(cloud: Cloud) -> None:
    """SIGHUP: RELOADING=1, then READY=1 again; the public interface goes down, as is set now."""
    cloud.emulate(ONCE)
    daemon = cloud.start()
    daemon.until_ready()
    before = cloud.defaults()
    with (daemon.directory / "rcnetd.yaml").open("a") as config:
        config.write("public_interface: down\n")
    daemon.process.send_signal(signal.SIGHUP)

    until(lambda: daemon.hear().count("READY=1") == 2)
    assert daemon.hear().index("RELOADING=1") > daemon.hear().index("READY=1")
    until(lambda: "state DOWN" in cloud.topology.server.run("ip", "link", "show", "eth0"))
    assert before == cloud.defaults()
    assert daemon.status["ready"] is True


def test_wrong_new_settings_are_not_taken(cloud: Cloud) -> None:
    """One line in the log; all goes on as before, READY=1 ends the reload."""
    cloud.emulate(ONCE)
    daemon = cloud.start()
    daemon.until_ready()
    (daemon.directory / "rcnetd.yaml").write_text("regoin: dfw\n")
    daemon.process.send_signal(signal.SIGHUP)

    until(lambda: daemon.hear().count("READY=1") == 2)
    assert "keeping the previous settings" in daemon.log.read_text()
    cloud.topology.server.ip(f"route del default via {GATEWAY}")
    until(cloud.goes_by_gateway)


def test_public_routes_stay_by_the_old_gateway(cloud: Cloud) -> None:
    """What is named in the settings is not drawn through the RackConnect gateway."""
    cloud.emulate(ONCE)
    daemon = cloud.start("public_routes: [192.0.2.0/24]\n")
    daemon.until_ready()
    found = cloud.topology.server.run("ip", "-4", "route", "show", "192.0.2.0/24")
    assert found.startswith(f"192.0.2.0/24 via {PUBLIC_ROUTER} dev eth0 proto ")
    assert cloud.goes_by_gateway()
