"""Boots of whole guests, watched from outside: the kernel's routes, systemd's units.

Every scenario runs on the newest release with each network manager; those in `ANYWHERE` on all.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from rcnetd.core.model import METRIC, PROTOCOL
from rcnetd.lab.topology import API, GATEWAY, PUBLIC_ROUTER, SERVICENET_ROUTER
from tests.boot.conftest import MakeGuest
from tests.boot.guest import MANAGERS, SERVICES, Guest, write
from tests.boot.trees import RELEASES
from tests.support.waiting import until

NEWEST = RELEASES[-1]
DEPLOYED = "servers: [{timeline: [{at: 0, gateway: 10.180.31.254, status: DEPLOYED}]}]"
FAILED = "servers: [{timeline: [{at: 0, status: FAILED}]}]"
UNPROCESSABLE = "servers: [{timeline: [{at: 0, status: UNPROCESSABLE}]}]"
SLOW = """
servers:
  - start: first-request
    timeline:
      - {at: 3s, gateway: 10.180.31.254}
      - {at: 12s, status: DEPLOYED}
"""
FAILED_LATER = """
servers:
  - start: first-request
    timeline:
      - {at: 0s, gateway: 10.180.31.254}
      - {at: 1s, status: FAILED}
"""
UNMANAGED = """
servers:
  - features: {ConfigureNetworkStack: true}
    timeline: [{at: 0, gateway: 10.180.31.254, status: DEPLOYED}]
"""
DAEMON, GATE, ONLINE = "rcnetd.service", "rcnetd-deployed.service", "rcnetd-wait-online.service"
DEPENDENT, TARGET = "dependent.service", "multi-user.target"


def check_ready(guest: Guest) -> None:
    """The end that every boot should have: units, route, ServiceNet, and nothing failed."""
    guest.until_active(DAEMON, GATE, ONLINE, DEPENDENT, TARGET, "online.service")
    check_route(guest)
    assert guest.show(DAEMON, "StatusText").startswith("ready, guarding the default route")
    assert str(GATEWAY) in guest.run("cat", "/run/online"), "online before the route"
    why = guest.run(
        "systemctl", "status", "--no-pager", "--lines=20", "--state=failed", check=False
    )
    assert "" == guest.run("systemctl", "--failed", "--plain", "--no-legend").strip(), why


def check_route(guest: Guest) -> None:
    """The kernel's own verdict, our one default, and ServiceNet's own routes."""
    assert guest.goes_by_gateway()
    (default,) = guest.defaults()
    assert (GATEWAY, METRIC, PROTOCOL) == (default.gateway, default.metric, default.protocol)
    check_servicenet(guest)


def check_servicenet(guest: Guest) -> None:
    """What was reached through ServiceNet's router still is."""
    for address in (API, IPv4Address("10.176.0.1")):
        verdict = guest.lookup(address)
        assert verdict is not None
        assert SERVICENET_ROUTER == verdict.gateway


def check_untouched(guest: Guest) -> None:
    """No route of ours; the old default is where it was; others are not kept waiting."""
    verdict = guest.lookup()
    assert verdict is not None
    assert PUBLIC_ROUTER == verdict.gateway
    guest.until_active(TARGET, "online.service")
    check_servicenet(guest)


def instant(guest: Guest) -> None:
    """The API answers at once; the manager's own service ends well with rcnetd running."""
    guest.emulate(DEPLOYED)
    with guest.boot():
        check_ready(guest)
        check_the_manager(guest)


def check_the_manager(guest: Guest) -> None:
    """The distribution configures its links again: no error, and our route is back."""
    commands = {
        "netplan": ["networkctl reconfigure eth0 eth1"],
        "network-manager": ["nmcli connection up eth0", "nmcli connection up eth1"],
        "ifupdown": ["ifdown eth0", "ifup eth0", "ifdown eth1", "ifup eth1"],
    }[guest.manager]
    for command in commands:
        guest.run(*command.split())
    guest.until(guest.goes_by_gateway)
    for service in SERVICES[guest.manager]:
        assert "success" == guest.show(service, "Result")
    guest.until(lambda: guest.lookup(API) is not None)


def slow(guest: Guest) -> None:
    """404 for a while, DEPLOYED later: multi-user.target and network-online.target do not wait."""
    guest.emulate(SLOW)
    with guest.boot():
        guest.until_active(TARGET)
        assert not guest.is_active(DAEMON)
        guest.until_active(ONLINE)
        assert guest.goes_by_gateway()
        assert not guest.is_active(GATE)
        check_ready(guest)
        assert guest.since_boot(TARGET) < guest.since_boot(DAEMON)
        assert guest.since_boot(ONLINE) < guest.since_boot(GATE)


def second_boot(guest: Guest) -> None:
    """The API is dead: the remembered gateway at once, the remembered DEPLOYED after a while."""
    guest.set("fallback_after: 20s\n")
    guest.emulate(DEPLOYED)
    with guest.boot():
        check_ready(guest)
    guest.silence()
    with guest.boot():
        guest.until_active(TARGET, "online.service", ONLINE)
        assert str(GATEWAY) in guest.run("cat", "/run/online"), "online before the route"
        assert not guest.is_active(DAEMON)  # within fallback_after, on a busy machine too
        check_ready(guest)
        assert "DEPLOYED is remembered from an earlier boot" in guest.show(DAEMON, "StatusText")


def metric_100(guest: Guest) -> None:
    """The public default was at metric 100."""
    guest.emulate(DEPLOYED)
    with guest.boot():
        check_ready(guest)


def failed_before_the_route(guest: Guest) -> None:
    """Exit 69, tried again; nothing is held up, nothing touched; a late DEPLOYED heals it all."""
    guest.emulate(FAILED)
    with guest.boot():
        guest.until(lambda: guest.result(DAEMON)[1] == 69)
        guest.until(lambda: guest.result(GATE)[1] == 69)
        check_untouched(guest)
        assert not guest.is_active(DEPENDENT)

        guest.emulate(DEPLOYED)
        guest.until_active(DEPENDENT, DAEMON)
        check_route(guest)


def failed_after_the_route(guest: Guest) -> None:
    """The daemon stays and guards; the gate fails at once."""
    guest.emulate(FAILED_LATER)
    with guest.boot():
        guest.until(lambda: guest.status.get("state") == "FAILED")
        guest.until(lambda: guest.result(GATE)[1] == 69)
        assert guest.show(DAEMON, "StatusText").startswith("automation FAILED, guarding")
        check_route(guest)
        guest.until_active(TARGET, "online.service")
        assert not guest.is_active(DEPENDENT)


def unprocessable(guest: Guest) -> None:
    """Exit 76, not tried again; the gate gives up too."""
    guest.emulate(UNPROCESSABLE)
    with guest.boot():
        guest.until(lambda: guest.result(DAEMON) == ("failed", 76))
        guest.until(lambda: guest.result(GATE) == ("failed", 76))
        check_untouched(guest)


def wrong_settings(guest: Guest) -> None:
    """Exit 78, not tried again; who waits for it is let go with the line that is wrong."""
    guest.set("regoin: dfw\n")
    with guest.boot():
        guest.until(lambda: guest.result(DAEMON) == ("failed", 78))
        guest.until(lambda: guest.result(GATE) == ("failed", 78))
        check_untouched(guest)
        assert "line 1: regoin" in guest.run("rcnetctl", "status", check=False)


def no_servicenet(guest: Guest) -> None:
    """Exit 69 in time; ServiceNet comes later, and with it the route."""
    guest.set("servicenet: {timeout: 3s}\n")
    guest.emulate(DEPLOYED)
    with guest.boot(servicenet=False):
        guest.until(lambda: guest.result(DAEMON)[1] == 69)
        guest.until_active(TARGET, "online.service")
        guest.topology.servicenet.ip("link set server up")
        guest.until_active(DEPENDENT)
        guest.until(guest.goes_by_gateway)


def platform(guest: Guest, content: object) -> None:
    """Have cloud-init's data say this of the server, before it is asked."""
    write(
        guest.root, "/etc/tmpfiles.d/cloud-init.conf",
        "d /run/cloud-init 0755\n"
        f"f /run/cloud-init/instance-data.json 0644 - - - {json.dumps(content)}\n",
    )  # fmt: skip
    write(
        guest.root,
        "/etc/systemd/system/rcnetd-metadata.service.d/lab.conf",
        "[Unit]\nAfter=systemd-tmpfiles-setup.service\n",
    )


def region_of_the_platform(guest: Guest) -> None:
    """No setting: the platform names the region; `rcnetctl` says which source did."""
    guest.set("region: auto\n")
    platform(guest, {"v1": {"region": "DFW"}})
    guest.emulate(DEPLOYED)
    with guest.boot():
        check_ready(guest)
        assert "dfw (cloud-init)" in guest.run("rcnetctl", "status")


def rackconnect_v3(guest: Guest) -> None:
    """Not ours: ready, nothing touched, nothing asked."""
    platform(guest, {"ds": {"vendordata": {"roles": ["rackconnect:v3-network"]}}})
    guest.emulate(DEPLOYED)
    with guest.boot():
        guest.until_active(DEPENDENT)
        assert guest.show(DAEMON, "StatusText").startswith("ready, nothing to do: RackConnect v3")
        check_untouched(guest)
        assert [] == guest.api.requests


def configured_by_rackconnect(guest: Guest) -> None:
    """Configure Network Stack is enabled: RackConnect sets the route, rcnetd waits for DEPLOYED."""
    guest.emulate(UNMANAGED)
    with guest.boot():
        guest.until_active(DEPENDENT)
        assert guest.show(DAEMON, "StatusText").startswith(
            "ready, unmanaged: RackConnect configures"
        )
        check_untouched(guest)
        assert not any("gateway_ip" in request.target for request in guest.api.requests)


def wrong_clock(guest: Guest, when: str) -> None:
    """The service's clock is wrong (the machine's is never set): said so, no crash, no route."""
    library = next(guest.root.glob("usr/lib/*/faketime/libfaketime.so.1"))
    write(
        guest.root,
        "/etc/systemd/system/rcnetd.service.d/clock.conf",
        f"""\
[Service]
Environment=LD_PRELOAD=/{library.relative_to(guest.root)} "FAKETIME=@{when}-01-01 00:00:00"
Environment=FAKETIME_DONT_FAKE_MONOTONIC=1
""",
    )
    guest.emulate(DEPLOYED)
    with guest.boot():
        guest.until(lambda: "clock" in guest.show(DAEMON, "StatusText"))
        assert "certificate" in guest.show(DAEMON, "StatusText")
        assert "0" == guest.show(DAEMON, "NRestarts")
        verdict = guest.lookup()
        assert verdict is not None
        assert PUBLIC_ROUTER == verdict.gateway


def clock_in_1980(guest: Guest) -> None:
    """The certificate is not valid yet."""
    wrong_clock(guest, "1980")


def clock_in_2040(guest: Guest) -> None:
    """The certificate has expired."""
    wrong_clock(guest, "2040")


SCENARIOS: dict[str, Callable[[Guest], None]] = {
    "the API answers at once": instant,
    "404s, and DEPLOYED is slow": slow,
    "the old default is at metric 100": metric_100,
    "a second boot, the API is dead": second_boot,
    "FAILED before the route, then DEPLOYED": failed_before_the_route,
    "FAILED after the route": failed_after_the_route,
    "UNPROCESSABLE": unprocessable,
    "the settings are wrong": wrong_settings,
    "no ServiceNet, then it comes": no_servicenet,
    "the platform names the region": region_of_the_platform,
    "RackConnect v3": rackconnect_v3,
    "RackConnect configures": configured_by_rackconnect,
    "the clock is in 1980": clock_in_1980,
    "the clock is in 2040": clock_in_2040,
}
# The table in tests/boot/README.md: what has a test of its own below.
DOWN, RPM = "the API is down for the first minute", "the API answers at once; from the RPM"
Note = Callable[[str, object], None]
METRICS = {"the old default is at metric 100": 100}
ANYWHERE = (instant, slow, failed_before_the_route, clock_in_1980)


@pytest.mark.parametrize(
    ("name", "release", "manager"),
    [
        (name, release, manager)
        for name, scenario in SCENARIOS.items()
        for release in RELEASES
        for manager in MANAGERS
        if release == NEWEST or scenario in ANYWHERE
    ],
)
def test_boot(
    make_guest: MakeGuest, record_property: Note, name: str, release: str, manager: str
) -> None:
    """One scenario on one host."""
    record_property("boot", (name, release, manager))
    SCENARIOS[name](make_guest(release, manager, METRICS.get(name, 0)))


@pytest.mark.parametrize("manager", MANAGERS)
def test_the_rpm_boots(
    make_guest: MakeGuest, record_property: Note, rpm: Path, manager: str
) -> None:
    """Installed by rpm, enabled by its preset, and the same boot."""
    record_property("boot", (RPM, NEWEST, manager))
    instant(make_guest(NEWEST, manager, package=rpm))


def test_the_api_is_down_for_a_minute(make_guest: MakeGuest, record_property: Note) -> None:
    """The boot goes on without it; when it comes, so does the route. All managers side by side."""
    for manager in MANAGERS:
        record_property("boot", (DOWN, NEWEST, manager))
    guests = [make_guest(NEWEST, manager) for manager in MANAGERS]
    with contextlib.ExitStack() as stack:
        for guest in guests:
            stack.enter_context(guest.boot())
        began = time.monotonic()
        for guest in guests:
            guest.until_active(TARGET)
            assert not guest.is_active(DAEMON)
        until(lambda: time.monotonic() >= began + 60, 70)
        for guest in guests:
            failure = guest.status["requests"]["last_failure"]
            assert "connect" in failure["kind"], failure
            assert not guest.goes_by_gateway()
            guest.emulate(DEPLOYED)
        for guest in guests:
            check_ready(guest)
