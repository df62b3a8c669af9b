"""Boots of whole machines: cloud-init configures the network, and everything arrives late."""

from __future__ import annotations

import contextlib
import re

import pytest

from tests.vm.checks import (
    FIREWALL,
    PAST_THE_FIREWALL,
    check_boot,
    check_persisted,
    check_route,
    lost,
    timeline,
    wait_for_the_end_of_the_boot,
    ways,
)
from tests.vm.conftest import MakeMachine
from tests.vm.drive import ONMETAL, PUBLIC_VLAN, SERVICENET_VLAN, SLAVES
from tests.vm.machine import Machine
from tests.vm.sntp import TimeServer
from tests.vm.table import AGAIN, API_DEAD, BOND, CLOCK, FIRST, REMOVED, SLOW
from tests.vm.trunk import Trunk

# RackConnect takes its time, as it does with real servers.
LATE = """
servers:
  - start: first-request
    timeline:
      - {at: 8s, gateway: 10.180.31.254}
      - {at: 20s, status: DEPLOYED}
"""
FALL_BACK_SOON = "echo fallback_after: 10s >/etc/rcnetd/conf.d/lab.yaml"  # not two minutes
BACKOFF = 7.5  # seconds, the least after five failures
DEPLOYED = "servers: [{timeline: [{at: 0, gateway: 10.180.31.254, status: DEPLOYED}]}]"


def first_boot(machine: Machine, renderer: str, at_the_end: str = FALL_BACK_SOON) -> None:
    """The gateway is assigned late: the route, network-online.target, READY, the files."""
    machine.emulate(LATE)
    with machine.boot():
        check_boot(machine)
        assert [PAST_THE_FIREWALL, FIREWALL] == ways(machine)
        assert [] == lost(machine)
        check_persisted(machine, renderer)
        machine.sh(at_the_end)
        machine.power_off()
        assert not machine.red, machine.red
    machine.shown(FIRST)


def boot_without_the_api(machine: Machine) -> None:
    """Nothing answers: the files have the route at once, and what is remembered is READY."""
    machine.silence()
    with machine.boot():
        check_boot(machine)
        assert [FIREWALL] == ways(machine)
        machine.run("dpkg", "--remove", "rcnetd")
        machine.power_off()
    machine.shown(API_DEAD)


def boot_without_rcnetd(machine: Machine) -> None:
    """The route is there, and cloud-init has not undone it."""
    with machine.boot():
        wait_for_the_end_of_the_boot(machine, gate=False)
        check_route(machine)
        assert [FIREWALL] == ways(machine)
    machine.shown(REMOVED)


@pytest.mark.parametrize(
    ("release", "manager"),
    [
        pytest.param("bookworm", "netplan", marks=pytest.mark.first),
        ("bullseye", "netplan"),
        ("bookworm", "ifupdown"),
        ("trixie", "network-manager"),
    ],
)
def test_three_boots(make_machine: MakeMachine, release: str, manager: str) -> None:
    """First boot, with what cloud-init has written; the API is dead; rcnetd is removed."""
    machine = make_machine(release, manager)
    first_boot(machine, manager)
    boot_without_the_api(machine)
    boot_without_rcnetd(machine)


def test_cloud_init_writes_the_network_again(make_machine: MakeMachine) -> None:
    """Predictable interface names; after `cloud-init clean` the files are edited once more."""
    machine = make_machine("trixie", "netplan")
    machine.arguments = ""
    first_boot(machine, "netplan", "cloud-init clean")
    with machine.boot():
        check_boot(machine)
        assert FIREWALL == ways(machine)[-1]
        check_persisted(machine, "netplan")
    machine.shown(AGAIN)


def test_vlan_over_a_bond(make_machine: MakeMachine) -> None:
    """OnMetal: a slave is lost, then ServiceNet's VLAN is deleted and made again."""
    machine = make_machine("bookworm", "netplan", ONMETAL)
    machine.macs = SLAVES
    taps = {PUBLIC_VLAN: "tap0", SERVICENET_VLAN: "tap1"}
    with contextlib.closing(Trunk(machine.place, machine.topology.server, taps)) as trunk:
        machine.trunk = trunk
        machine.emulate(LATE)
        with machine.boot():
            check_boot(machine)
            assert [PAST_THE_FIREWALL, FIREWALL] == ways(machine)
            check_persisted(machine, "netplan")

            machine.monitor("set_link", name="card0", up=False)
            count = len(machine.receiver.packets)
            machine.until(lambda: len(machine.receiver.packets) > count + 4)
            assert FIREWALL == ways(machine)[-1]

            machine.sh("ip link delete dev bond0.401; netplan apply")
            machine.until(lambda: machine.status["route"]["in_effect"])
            count = len(machine.receiver.packets)
            machine.until(lambda: len(machine.receiver.packets) > count + 4)
            assert [PAST_THE_FIREWALL, FIREWALL] == ways(machine)
            check_route(machine)
    machine.shown(BOND)


@pytest.mark.first
def test_clock_in_1980(make_machine: MakeMachine) -> None:
    """The API's certificate is not valid yet; it is asked at once when the clock has been set."""
    machine = make_machine("bookworm", "netplan")
    machine.clock = "1980-01-01"
    machine.emulate(DEPLOYED)
    with machine.boot():
        # Again after a backoff; no longer than network-online.target waits.
        machine.until(lambda: clock_failures(machine) > 1)
        assert "is not yet valid" in machine.status["requests"]["last_failure"]["reason"]
        assert [PAST_THE_FIREWALL] == ways(machine)
        with contextlib.closing(TimeServer(machine.topology.internet)):
            check_boot(machine)
        assert [PAST_THE_FIREWALL, FIREWALL] == ways(machine)
        assert [] == lost(machine)
        check_persisted(machine, "netplan")
        assert asked_after(machine) < BACKOFF, "the clock was set, and the backoff went on"
    machine.shown(CLOCK)


def clock_failures(machine: Machine) -> int:
    """How many requests have failed because of the clock."""
    return sum(entry.get("kind") == "clock" for entry in timeline(machine))


def asked_after(machine: Machine) -> float:
    """How long after the clock was set the API was asked again, by the machine's own seconds."""
    said = machine.run("journalctl", "-b", "-u", "systemd-timesyncd", "-o", "short-monotonic")
    synchronised = re.search(r"^\[ *([\d.]+)\].* Initial ", said, re.MULTILINE)
    assert synchronised, said
    at = float(synchronised[1])
    return next(
        float(entry["at"]) - at
        for entry in timeline(machine)
        if entry["event"] == "request" and entry["at"] > at - 0.1
    )


def test_everything_is_slow(make_machine: MakeMachine) -> None:
    """Every service is 20 s later than it might be, ours and those that ours come after."""
    machine = make_machine("bookworm", "netplan")
    machine.arguments += " lab.slow=20"
    machine.emulate(LATE)
    with machine.boot():
        check_boot(machine)
        assert [PAST_THE_FIREWALL, FIREWALL] == ways(machine)
        assert [] == lost(machine)
        check_persisted(machine, "netplan")
    machine.shown(SLOW)
