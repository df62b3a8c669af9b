"""`rcnetctl preflight` on the tree of an image, in a chroot and on this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from rcnetd.ctl.main import main
from tests.conftest import missing

LIBRARIES = {"pyroute2": "0.7.2", "requests": "2.28.1", "PyYAML": "6.0", "systemd_python": "235"}
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
    """The tree of an image, as far as it is checked."""
    write(tmp_path, "etc/machine-id", "uninitialized\n")
    write(tmp_path, "etc/rcnetd/rcnetd.yaml", "region: dfw\n")
    write(tmp_path, "etc/ssl/certs/ca-certificates.crt", "-----BEGIN CERTIFICATE-----\n")
    write(tmp_path, "etc/nsswitch.conf", "hosts: files dns\n")
    write(tmp_path, "etc/passwd", "root:x:0:0::/root:/bin/sh\nrcnetd:x:990:990::/:/bin/false\n")
    write(tmp_path, "usr/bin/python3.11")
    (tmp_path / "usr/bin/python3").symlink_to("python3.11")
    for name, version in LIBRARIES.items():
        place = f"usr/lib/python3/dist-packages/{name}-{version}.dist-info"
        write(tmp_path, f"{place}/METADATA", f"Name: {name}\nVersion: {version}\n")
    (tmp_path / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    for unit in (*UNITS, "networking.service"):
        write(tmp_path, f"usr/lib/systemd/system/{unit}", "[Install]\nWantedBy=multi-user.target\n")
        if unit != "networking.service":
            (wants / unit).symlink_to(f"/usr/lib/systemd/system/{unit}")
    return tmp_path


def checks(image: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """The warnings and failures of an image, by check."""
    code = main(["preflight", "--root", str(image), "--json"])
    content = json.loads(capsys.readouterr().out)
    bad = {r["check"]: r["text"] for r in content["results"] if r["level"] != "PASS"}
    assert code == int("FAIL" in {r["level"] for r in content["results"]})
    return bad


def test_a_tree_that_is_fit(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every line on stdout begins with PASS, stderr is empty, and versions are the tree's."""
    assert 0 == main(["preflight", "--root", str(image)])
    out, error = capsys.readouterr()

    assert "" == error
    assert all(line.startswith("PASS: ") for line in out.splitlines())
    assert 12 <= len(out.splitlines())
    for text in ("Python 3.11", "pyroute2 0.7.2", "systemd-python 235"):
        assert f"PASS: {text}\n" in out


def test_a_tree_without_python_or_libraries(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Python of the machine that builds the image does not count."""
    (image / "usr/bin/python3").unlink()
    shutil.rmtree(image / "usr/lib/python3")
    found = checks(image, capsys)

    assert {"python", "libraries"} == found.keys()
    (image / "usr/bin/python3").symlink_to("pypy3")
    assert "which names no version" in checks(image, capsys)["python"]


@pytest.mark.parametrize(
    ("path", "mode", "remedy"),
    [
        ("etc/rcnetd/rcnetd.yaml", 0o600, "o+r /etc/rcnetd/rcnetd.yaml"),
        ("etc/rcnetd/rcnetd.yaml", 0o640, "o+r /etc/rcnetd/rcnetd.yaml"),
        ("etc/rcnetd/conf.d/lab.yaml", 0o640, "o+r /etc/rcnetd/conf.d/lab.yaml"),
        ("etc/rcnetd/conf.d", 0o700, "o+rx /etc/rcnetd/conf.d"),
        ("etc/rcnetd/conf.d", 0o711, "o+rx /etc/rcnetd/conf.d"),
        ("etc/rcnetd", 0o700, "o+rx /etc/rcnetd"),
        ("etc/pki/ca.pem", 0o640, "o+r /etc/pki/ca.pem"),
        ("etc/pki", 0o700, "o+rx /etc/pki"),
    ],
)
def test_settings_that_the_daemon_cannot_read(
    image: Path, capsys: pytest.CaptureFixture[str], path: str, mode: int, remedy: str
) -> None:
    """A builder with umask 077 or 027 gets a FAIL with a remedy."""
    write(image, "etc/rcnetd/conf.d/lab.yaml", "ca_file: /etc/pki/ca.pem\n")
    write(image, "etc/pki/ca.pem")
    for name in ("etc", "etc/rcnetd", "etc/rcnetd/conf.d", "etc/pki"):
        (image / name).chmod(0o755)
    assert {} == checks(image, capsys)

    (image / path).chmod(mode)
    found = checks(image, capsys)
    assert {"settings-access"} == found.keys()
    assert f"(mode {mode:04o})" in found["settings-access"]
    assert found["settings-access"].endswith(f"'chmod {remedy}'")


def test_links_lead_where_they_do_at_boot(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An absolute link begins at the root of the image."""
    bundle = image / "etc/ssl/certs/ca-certificates.crt"
    bundle.unlink()
    bundle.symlink_to(__file__)  # which has the words below, outside of the image
    (image / "etc/nsswitch.conf").rename(image / "etc/real.conf")
    (image / "etc/nsswitch.conf").symlink_to("/etc/real.conf")
    assert {"authorities"} == checks(image, capsys).keys()

    write(image, __file__.lstrip("/"), "-----BEGIN CERTIFICATE-----\n")
    assert {} == checks(image, capsys)


def test_settings_that_the_daemon_reads_by_its_group(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The ids and the links of the image count."""
    file = image / "etc/rcnetd/rcnetd.yaml"
    file.chmod(0o640)
    write(image, "etc/passwd", f"rcnetd:x:990:{os.getgid()}::/:/bin/false\n")
    assert {} == checks(image, capsys)

    file.rename(image / "etc/settings.yaml")
    file.symlink_to("../settings.yaml")
    (image / "etc/settings.yaml").chmod(0o600)
    assert {"settings-access"} == checks(image, capsys).keys()


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
    """The files of the image tell."""
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
    """Rackspace's own images disable it like this."""
    write(image, "usr/bin/cloud-init")
    write(image, "etc/cloud/cloud.cfg.d/10_rackspace.cfg", text)

    assert configures is ("cloud-init" in checks(image, capsys))


def test_a_disabled_cloud_init_configures_nothing(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its configuration does not matter then."""
    write(image, "usr/bin/cloud-init")
    write(image, "etc/cloud/cloud-init.disabled")

    assert {} == checks(image, capsys)


@pytest.mark.parametrize(
    ("path", "text", "is_lost"),
    [
        (
            "etc/network/interfaces",
            "iface eth1\n    post-up route add -net 10.0.0.0/8 || true\n",
            1,
        ),
        (
            "etc/network/interfaces.d/50-cloud-init",
            "    up /sbin/route add default gw 10.0.0.1\n",
            1,
        ),
        (
            "etc/network/interfaces",
            "    up ip route add default via 10.0.0.1\n#  up route add x\n",
            0,
        ),
        ("usr/lib/python3/dist-packages/cloudinit/net/eni.py", 'up = "post-up route add"\n', 1),
        (
            "usr/lib/python3/dist-packages/cloudinit/net/eni.py",
            'up = "post-up ip"\nup = "post-up route add"\n',
            0,
        ),
    ],
)
def test_route_commands_without_net_tools(
    image: Path, capsys: pytest.CaptureFixture[str], path: str, text: str, is_lost: int
) -> None:
    """No route comes up, and nothing fails; with net-tools, or without ifupdown, all is well."""
    write(image, path, text)
    assert "lost-routes" not in checks(image, capsys)
    write(image, "sbin/ifup")
    found = checks(image, capsys).get("lost-routes", "")
    assert bool(is_lost) is (f"'/{path}' sets routes with the command 'route'" in found)
    write(image, "sbin/route")
    assert "lost-routes" not in checks(image, capsys)


def test_a_missing_resolv_conf(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A resolv.conf without a server is the same."""
    (image / "etc/resolv.conf").unlink()
    assert "no DNS server" in checks(image, capsys)["name-service"]
    write(image, "etc/resolv.conf", "nameserver 72.3.128.240\n")
    assert {} == checks(image, capsys)


@pytest.mark.netns
@pytest.mark.parametrize("without", ["nothing", "/proc", "/run"])
def test_in_a_chroot_the_machine_that_builds_is_not_looked_at(tmp_path: Path, without: str) -> None:
    """Its IPv6 default route does not matter, whichever of its directories are mounted."""
    if os.geteuid() != 0:
        missing("netns", "needs root")
    root, preflight = tmp_path / "root", f"{sys.executable} -m rcnetd.ctl.main preflight || true"
    script = f"""
        set -e
        mount --make-rprivate /
        mount -t tmpfs tmpfs /run
        mkdir -p /run/systemd/system
        ip link add eth0 type veth peer name eth1
        ip link set eth0 up; ip link set eth1 up
        ip -6 route add default dev eth0
        for name in /*; do
            [ "$name" = {without} ] && continue
            if [ -L "$name" ]; then cp -a "$name" {root}; continue; fi
            [ -d "$name" ] || continue
            mkdir {root}"$name"
            mount --rbind "$name" {root}"$name"
        done
        {preflight}
        echo CHROOT >&2
        cd /
        chroot {root} {preflight}
    """
    root.mkdir()
    done = subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", script],
        capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    here, _, chroot = done.stderr.partition("CHROOT\n")

    assert "an IPv6 default route on 'eth0' bypasses" in here
    assert "IPv6" not in chroot
    assert "Traceback" not in chroot


def test_this_machine_is_looked_at_too() -> None:
    """There are lines and an exit code, without any privilege."""
    command = [sys.executable, "-m", "rcnetd.ctl.main", "preflight"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1)
    assert all(line.startswith("PASS: ") for line in done.stdout.splitlines())
    assert all(line.startswith(("WARNING: ", "FAIL: ")) for line in done.stderr.splitlines())


def test_what_a_user_cannot_see_is_told(image: Path) -> None:
    """The state directory can be read by the daemon only."""
    if os.geteuid() != 0:
        missing("netns", "changing to another user needs root")
    write(image, "var/lib/rcnetd/gateway.json")
    (image / "var/lib/rcnetd").chmod(0o700)
    program = (
        "import os, sys; from rcnetd.ctl.main import main\n"
        "run = lambda: main(['preflight', '--root', sys.argv[1]])\n"
        "run()  # imports what that user may not read\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "print('AS A USER', file=sys.stderr)\n"
        "sys.exit(run())"
    )
    with tempfile.TemporaryDirectory() as name:  # pytest's own directories are root's alone
        Path(name).chmod(0o755)
        shutil.copytree(image, Path(name) / "image", symlinks=True)
        (Path(name) / "image").chmod(0o755)
        done = subprocess.run(
            [sys.executable, "-c", program, f"{name}/image"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    said = done.stderr.partition("AS A USER")[2]
    assert "Traceback" not in said, said
    assert "WARNING: could not check 'machine-bound': '" in said
    assert "Permission denied; run it as root" in said


def test_a_directory_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """This is a mistake on the command line."""
    with pytest.raises(SystemExit) as caught:
        main(["preflight", "--root", "/nonexistent"])

    assert 2 == caught.value.code
    assert "'/nonexistent' is not a directory" in capsys.readouterr().err
