"""What has to be so in every boot in which all goes well, from inside and from outside."""

from __future__ import annotations

import itertools
import json
from ipaddress import IPv4Address
from typing import Any

from rcnetd.core.model import METRIC
from rcnetd.lab.topology import GATEWAY, PUBLIC, SERVICENET, SERVICENET_ROUTER
from tests.vm.machine import BOOT, Machine

OURS = (
    "rcnetd.service", "rcnetd-metadata.service", "rcnetd-persist.service",
    "rcnetd-wait-online.service", "rcnetd-deployed.service",
)  # fmt: skip
FIREWALL, PAST_THE_FIREWALL = SERVICENET.ip, PUBLIC.ip
IN_EFFECT = ("WAITING_FOR_DEPLOYED", "READY")  # the route is, in these states
GATE_SECONDS = 300  # the machine's own


def wait_for_the_end_of_the_boot(machine: Machine, *, gate: bool = True) -> None:
    """READY, the gate, and every unit that the boot wants."""
    if gate:
        machine.sh(f"rcnetctl status --wait deployed --timeout {GATE_SECONDS}", patience=BOOT)
    # Not its exit code: a unit of cloud-init's may fail for want of the internet.
    machine.sh("systemctl is-system-running --wait", check=False, patience=BOOT)


def check_boot(machine: Machine) -> None:
    """No unit of ours has failed or was restarted; the network was online with the route."""
    wait_for_the_end_of_the_boot(machine)
    check_units(machine)
    assert "config drive" == machine.status["metadata"]["sources"]["region"]
    check_route(machine)
    assert str(GATEWAY) in machine.run("cat", "/run/online"), "online before the route"
    assert in_effect_since(machine) <= machine.since_boot("network-online.target")
    assert ready_since(machine) <= machine.since_boot("rcnetd-deployed.service")
    for unit in ("dependent.service", "online.service", "multi-user.target"):
        assert machine.is_active(unit), f"{unit} is not active\n{machine.journal}"


def check_units(machine: Machine) -> None:
    """Each did what it should at the first attempt; nothing of ours is red on the console."""
    said = machine.run("journalctl", "-b", "-o", "short-monotonic", *(f"-u{one}" for one in OURS))
    assert not machine.red, f"{machine.red}\n{said}"
    assert "Failed with result" not in said, said  # nor one that was started again
    for unit in OURS:
        shown = dict(
            line.split("=", 1)
            for line in machine.run(
                "systemctl", "show", "-p", "ActiveState,Result,NRestarts", unit
            ).splitlines()
            if line
        )
        assert shown["ActiveState"] != "failed", f"{unit}\n{said}"
        assert ("success", "0") == (shown["Result"], shown["NRestarts"]), f"{unit}\n{said}"


def check_route(machine: Machine) -> None:
    """One default, by the gateway; ServiceNet is reached by its own router."""
    (default,) = routes(machine, "default")
    assert (str(GATEWAY), METRIC) == (default["gateway"], default.get("metric"))
    for network in ("10.176.0.0/12", "10.208.0.0/12"):
        assert [str(SERVICENET_ROUTER)] == [one["gateway"] for one in routes(machine, network)]


def routes(machine: Machine, to: str) -> list[dict[str, Any]]:
    """The machine's routes to this prefix."""
    found: list[dict[str, Any]] = json.loads(machine.run("ip", "-j", "-4", "route", "show", to))
    return found


def timeline(machine: Machine) -> list[dict[str, Any]]:
    """What rcnetd has noted since boot."""
    return [
        json.loads(line)
        for line in machine.run("cat", "/run/rcnetd/timeline.jsonl").splitlines()
        if line
    ]


def in_effect_since(machine: Machine) -> float:
    """When the route came into effect, in CLOCK_MONOTONIC seconds of the machine."""
    return since_state(machine, *IN_EFFECT)


def ready_since(machine: Machine) -> float:
    """When DEPLOYED was known, too."""
    return since_state(machine, "READY")


def since_state(machine: Machine, *states: str) -> float:
    """When the first of these states began."""
    return next(
        float(entry["at"])
        for entry in timeline(machine)
        if entry["event"] == "state" and entry["state"] in states
    )


def ways(machine: Machine) -> list[IPv4Address]:
    """By which ways its packets have come to the internet in this boot, one after the other."""
    return [source for source, _ in itertools.groupby(one.source for one in list_of(machine))]


def lost(machine: Machine) -> list[int]:
    """The numbers of packets that were sent after the first that came, and did not come."""
    numbers = [packet.number for packet in list_of(machine)]
    return sorted({*range(numbers[0], numbers[-1])} - {*numbers}) if numbers else []


def list_of(machine: Machine) -> list[Any]:
    """The packets so far."""
    return [*machine.receiver.packets]


def persisted(machine: Machine) -> dict[str, Any]:
    """How `rcnetctl persist` went last."""
    text = machine.run("cat", "/run/rcnetd-persist/persist.json", check=False)
    found: dict[str, Any] = json.loads(text) if text else {}
    return found


def check_persisted(machine: Machine, renderer: str) -> None:
    """The host's own configuration has the route; writing it again changes nothing."""
    machine.until(lambda: persisted(machine).get("ok"))
    assert renderer == persisted(machine)["renderer"]
    assert "nothing to write" in machine.run("rcnetctl", "persist")
