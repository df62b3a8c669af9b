"""Every check of `rcnetctl preflight`, on values."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest

from rcnetd.basic.dataclass import replace
from rcnetd.core.settings import PublicIPv6, Settings
from rcnetd.ctl.access import Obstacle
from rcnetd.ctl.checks import Image, Level, judge

SETTINGS = Settings(region="dfw")
GOOD = Image(
    python=(3, 9, 2),
    libraries={
        "pyroute2": "0.5.14", "requests": "2.25.1", "PyYAML": "5.3.1", "systemd-python": "234"
    },
    units={
        "rcnetd.service": "enabled",
        "rcnetd-deployed.service": "enabled",
        "rcnetd-wait-online.service": "enabled",
        "systemd-networkd.service": "enabled",
        "systemd-timesyncd.service": "enabled",
    },
    settings=SETTINGS,
    machine_id="",
    authorities="/etc/ssl/certs/ca-certificates.crt",
    cloud_init=True,
    cloud_init_network=False,
)  # fmt: skip


def units(**states: str) -> dict[str, Any]:
    """The good image's units, with other states."""
    return {"units": {**GOOD.units, **{f"{name}.service": state for name, state in states.items()}}}


def test_a_good_image_passes() -> None:
    """There is no warning."""
    assert {Level.PASS} == {result.level for result in judge(GOOD)}


@pytest.mark.parametrize(
    ("changes", "level", "check", "words"),
    [
        ({"python": (3, 8, 1)}, "FAIL", "python", "3.8.1"),
        ({"libraries": {**GOOD.libraries, "requests": None}}, "FAIL", "libraries", "requests"),
        ({"libraries": {**GOOD.libraries, "pyroute2": "0.5.9"}}, "FAIL", "libraries", "0.5.14"),
        (units(rcnetd="disabled"), "FAIL", "units", "systemctl enable rcnetd.service"),
        ({"units": {}}, "FAIL", "units", "rcnetd.service is not installed; install the package"),
        (units(rcnetd="not-found"), "FAIL", "units", "rcnetd.service is not installed; install"),
        (units(**{"rcnetd-deployed": "masked"}), "WARNING", "units",
         "is masked; 'systemctl unmask rcnetd-deployed.service'"),
        ({"settings": None, "settings_error": "line 1: no"}, "FAIL", "settings", "line 1: no"),
        ({"python": None}, "FAIL", "python", "python3 is not installed"),
        ({"python": None, "hidden": {"python": "no"}}, "WARNING", "python", "could not check"),
        ({"unreadable": (Obstacle("/etc/rcnetd/rcnetd.yaml", 0o600),)}, "FAIL",
         "settings-access", "(mode 0600): the daemon would fail; 'chmod o+r /etc/rcnetd/"),
        ({"unreadable": (Obstacle("/etc/rcnetd", 0o700, is_directory=True),)}, "FAIL",
         "settings-access", "'chmod o+rx /etc/rcnetd'"),
        ({"settings": Settings(endpoint="http://x")}, "WARNING", "settings", "use https"),
        ({"settings": Settings()}, "WARNING", "region", "rcnetctl metadata"),
        ({"dependents": ("app.service",)}, "WARNING", "dependents", "app.service requires rcnetd"),
        ({"state": ("/var/lib/rcnetd/gateway.json",)}, "WARNING", "machine-bound", "clean"),
        ({"persisted": True}, "FAIL", "persisted", "rcnetctl revert"),
        ({"machine_id": "0" * 32}, "WARNING", "machine-bound", "/etc/machine-id is not empty"),
        ({"dbus_machine_id": True}, "WARNING", "machine-bound", "is a copy"),
        (units(NetworkManager="enabled"), "WARNING", "network-manager", "and NetworkManager"),
        (units(**{"systemd-networkd": "disabled"}), "WARNING", "network-manager", "none of"),
        ({"cloud_init_network": True}, "WARNING", "cloud-init", "disabled"),
        ({"nova_agent": True}, "WARNING", "nova-agent", "nova-agent"),
        ({"lost_routes": ("/etc/network/interfaces",)}, "WARNING", "lost-routes",
         "'/etc/network/interfaces' sets routes with the command 'route', which is not installed"),
        (units(**{"systemd-timesyncd": "disabled"}), "WARNING", "time", "clock"),
        ({"authorities": None}, "FAIL", "authorities", "install ca-certificates"),
        ({"authorities": None, "settings": replace(SETTINGS, ca_file="/ca.pem")}, "WARNING",
         "authorities", "/ca.pem"),
        ({"name_service": "no DNS server is configured"}, "WARNING", "name-service", "no DNS"),
        ({"ipv6_default": "eth0"}, "WARNING", "ipv6", "bypasses"),
        ({"hidden": {"time": "denied"}}, "WARNING", "time", "could not check 'time': denied"),
    ],
)  # fmt: skip
def test_a_fault_is_told(changes: dict[str, Any], level: str, check: str, words: str) -> None:
    """The result has its check, its level and a remedy."""
    bad = [result for result in judge(replace(GOOD, **changes)) if result.level is not Level.PASS]

    assert (level, check) == (bad[0].level.value, bad[0].check)
    assert words in bad[0].text


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": Settings(), "region_of_platform": "ord"},
        {"settings": Settings(endpoint="https://10.0.0.1")},
        {"settings": replace(SETTINGS, api_address=IPv4Address("10.208.0.1")), "name_service": "x"},
        {"settings": replace(SETTINGS, public_ipv6=PublicIPv6.NO_DEFAULT), "ipv6_default": "eth0"},
        {"libraries": {**GOOD.libraries, "pyroute2": "unknown"}},
        {"cloud_init": False, "cloud_init_network": True},
    ],
)
def test_what_is_no_fault(changes: dict[str, Any]) -> None:
    """These images are ready, too."""
    assert {Level.PASS} == {result.level for result in judge(replace(GOOD, **changes))}
