"""`rcnetctl preflight`: an image's tree, looked at by the command itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rcnetd.ctl.main import main
from tests.conftest import missing

UNITS = (
    "rcnetd.service",
    "rcnetd-deployed.service",
    "rcnetd-wait-online.service",
    "systemd-networkd.service",
    "systemd-timesyncd.service",
)


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
    for unit in (*UNITS, "networking.service"):
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
    command = [sys.executable, "-m", "rcnetd.ctl.main", "preflight"]
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
        "import os, sys; from pathlib import Path; from rcnetd.ctl import preflight\n"
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
