"""Is an image fit for its snapshot? Every check, and the command on trees and as a user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from rcnetd.cli import main
from rcnetd.options import PublicIPv6, Settings
from rcnetd.preflight import Image, Level, judge
from rcnetd.values import replace
from tests.conftest import missing

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
    """Not a word of warning."""
    assert {Level.PASS} == {result.level for result in judge(GOOD)}


@pytest.mark.parametrize(
    ("changes", "level", "check", "words"),
    [
        ({"python": (3, 8, 1)}, "FAIL", "python", "3.8.1"),
        ({"libraries": {**GOOD.libraries, "requests": None}}, "FAIL", "libraries", "requests"),
        ({"libraries": {**GOOD.libraries, "pyroute2": "0.5.9"}}, "FAIL", "libraries", "0.5.14"),
        (units(rcnetd="disabled"), "FAIL", "units", "systemctl enable rcnetd.service"),
        ({"units": {}}, "FAIL", "units", "rcnetd.service is not installed"),
        (units(**{"rcnetd-deployed": "masked"}), "WARNING", "units", "is masked"),
        ({"settings": None, "settings_error": "line 1: no"}, "FAIL", "settings", "line 1: no"),
        ({"settings": Settings(endpoint="http://x")}, "WARNING", "settings", "not encrypted"),
        ({"settings": Settings()}, "WARNING", "region", "rcnetctl instance"),
        ({"dependents": ("app.service",)}, "WARNING", "dependents", "app.service requires rcnetd"),
        ({"state": ("/var/lib/rcnetd/gateway.json",)}, "WARNING", "machine-bound", "clean"),
        ({"persisted": True}, "FAIL", "persisted", "rcnetctl revert"),
        ({"machine_id": "0" * 32}, "WARNING", "machine-bound", "/etc/machine-id is not empty"),
        ({"dbus_machine_id": True}, "WARNING", "machine-bound", "is a copy"),
        (units(NetworkManager="enabled"), "WARNING", "network-manager", "and NetworkManager"),
        (units(**{"systemd-networkd": "disabled"}), "WARNING", "network-manager", "neither"),
        ({"cloud_init_network": True}, "WARNING", "cloud-init", "disabled"),
        ({"nova_agent": True}, "WARNING", "nova-agent", "nova-agent"),
        (units(**{"systemd-timesyncd": "disabled"}), "WARNING", "time", "clock"),
        ({"authorities": None}, "FAIL", "authorities", "install ca-certificates"),
        ({"authorities": None, "settings": replace(SETTINGS, ca_file="/ca.pem")}, "WARNING",
         "authorities", "/ca.pem"),
        ({"name_service": "no DNS server is configured"}, "WARNING", "name-service", "no DNS"),
        ({"ipv6_default": "eth0"}, "WARNING", "ipv6", "bypasses"),
        ({"hidden": {"time": "denied"}}, "WARNING", "time", "denied; run as root"),
    ],
)  # fmt: skip
def test_a_fault_is_told(changes: dict[str, Any], level: str, check: str, words: str) -> None:
    """Which, how bad, and what to do."""
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
    """Another way to the same end."""
    assert {Level.PASS} == {result.level for result in judge(replace(GOOD, **changes))}


# The command


def write(root: Path, name: str, text: str = "") -> Path:
    """A file of the image."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The tree of an image, as far as it is looked at."""
    write(tmp_path, "etc/machine-id", "uninitialized\n")
    write(tmp_path, "etc/rcnetd/rcnetd.yaml", "region: dfw\n")
    write(tmp_path, "etc/ssl/certs/ca-certificates.crt", "-----BEGIN CERTIFICATE-----\n")
    write(tmp_path, "etc/nsswitch.conf", "hosts: files dns\n")
    (tmp_path / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    for unit in (*GOOD.units, "networking.service"):
        write(tmp_path, f"usr/lib/systemd/system/{unit}", "[Install]\nWantedBy=multi-user.target\n")
        if unit != "networking.service":
            (wants / unit).symlink_to(f"/usr/lib/systemd/system/{unit}")
    return tmp_path


def checks(image: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What is wrong with an image, by check."""
    code = main(["preflight", "--root", str(image), "--json"])
    content = json.loads(capsys.readouterr().out)
    bad = {r["check"]: r["text"] for r in content["results"] if r["level"] != "PASS"}
    assert code == int("FAIL" in {r["level"] for r in content["results"]})
    return bad


def test_a_tree_that_is_fit(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every line on stdout begins with PASS, nothing is on stderr."""
    assert 0 == main(["preflight", "--root", str(image)])
    out, error = capsys.readouterr()

    assert "" == error
    assert all(line.startswith("PASS: ") for line in out.splitlines())
    assert 12 <= len(out.splitlines())


@pytest.mark.parametrize(
    ("name", "text", "check", "words"),
    [
        ("etc/rcnetd/rcnetd.yaml", "regoin: dfw\n", "settings", "did you mean 'region'?"),
        ("etc/machine-id", "0123456789abcdef0123456789abcdef\n", "machine-bound", "empty it"),
        ("var/lib/dbus/machine-id", "0123\n", "machine-bound", "a copy"),
        ("var/lib/rcnetd/gateway.json", "{}", "machine-bound", "gateway.json"),
        ("var/lib/rcnetd-persist/undo/record.json", "{}", "persisted", "rcnetctl revert"),
        ("usr/bin/cloud-init", "", "cloud-init", "disabled"),
        ("usr/bin/nova-agent", "", "nova-agent", "nova-agent"),
        ("etc/systemd/system/app.service", "[Unit]\nRequires=a.service rcnetd.service",
         "dependents", "app.service"),
        ("etc/systemd/system/app.service.d/x.conf", "[Unit]\nBindsTo=rcnetd.service\n",
         "dependents", "app.service requires"),
        ("etc/ssl/certs/ca-certificates.crt", "", "authorities", "ca-certificates"),
        ("etc/nsswitch.conf", "hosts: files\n", "name-service", "neither dns nor resolve"),
    ],
)  # fmt: skip
def test_a_fault_of_a_tree_is_found(
    image: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, check: str, words: str
) -> None:
    """By what stands in its files."""
    write(image, name, text)
    found = checks(image, capsys)

    assert [check] == list(found)
    assert words in found[check]


@pytest.mark.parametrize(
    ("text", "configures"),
    [
        ("network: {config: disabled}\n", False),
        ("network:\n  config: disabled\n", False),
        ("network: {version: 1}\n", True),
        ("network: [\n", True),
        ("- x\n", True),
    ],
)
def test_cloud_inits_network(
    image: Path, capsys: pytest.CaptureFixture[str], text: str, configures: bool
) -> None:
    """As Rackspace's own images tell it."""
    write(image, "usr/bin/cloud-init")
    write(image, "etc/cloud/cloud.cfg.d/10_rackspace.cfg", text)

    assert configures is ("cloud-init" in checks(image, capsys))


def test_a_disabled_cloud_init_configures_nothing(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever its configuration says."""
    write(image, "usr/bin/cloud-init")
    write(image, "etc/cloud/cloud-init.disabled")

    assert {} == checks(image, capsys)


def test_a_missing_resolv_conf(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And one without a server."""
    (image / "etc/resolv.conf").unlink()
    assert "no DNS server" in checks(image, capsys)["name-service"]
    write(image, "etc/resolv.conf", "nameserver 72.3.128.240\n")
    assert {} == checks(image, capsys)


def test_this_machine_is_looked_at_too() -> None:
    """Whatever it is like: lines, an exit code, no traceback; also without any privilege."""
    command = [sys.executable, "-m", "rcnetd.cli", "preflight"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1)
    assert all(line.startswith("PASS: ") for line in done.stdout.splitlines())
    assert all(line.startswith(("WARNING: ", "FAIL: ")) for line in done.stderr.splitlines())


def test_what_a_user_cannot_see_is_told(image: Path) -> None:
    """The state directory is the daemon's."""
    if os.geteuid() != 0:
        missing("netns", "changing to another user needs root")
    write(image, "var/lib/rcnetd/gateway.json")
    (image / "var/lib/rcnetd").chmod(0o700)
    program = (
        "import os, sys; from pathlib import Path; from rcnetd.commands import preflight\n"
        f"run = lambda: preflight.run([], Path({str(image)!r}), as_json=False)\n"
        "run()  # imports what that user may not read\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "print('AS A USER', file=sys.stderr)\n"
        "sys.exit(run())"
    )
    for path in (image, *image.parents):
        if path == image or path.name.startswith("pytest"):
            path.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    said = done.stderr.partition("AS A USER")[2]
    assert "Traceback" not in said
    assert "could not be looked at: '" in said
    assert "run as root" in said


def test_a_directory_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """The command line is wrong."""
    with pytest.raises(SystemExit) as caught:
        main(["preflight", "--root", "/nonexistent"])

    assert 2 == caught.value.code
    assert "'/nonexistent' is not a directory" in capsys.readouterr().err
