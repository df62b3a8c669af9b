"""Install, upgrade, crash, disable, remove, purge: on a server that is up, and keeps its route."""

from __future__ import annotations

import contextlib
import re
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boot.conftest import INSTALL, MakeGuest
from tests.boot.guest import Guest, write
from tests.boot.test_boot import (
    DAEMON,
    DEPENDENT,
    DEPLOYED,
    GATE,
    check_ready,
    check_route,
    check_untouched,
)
from tests.boot.test_persistence import until_persisted
from tests.boot.trees import RELEASES
from tests.chaos.blows import POLICIES, carry_out
from tests.support.waiting import LONG, until

UPGRADE = {".deb": ("dpkg", "--install"), ".rpm": ("rpm", "--upgrade", "--nodeps")}
REMOVE = {".deb": ("dpkg", "--remove", "rcnetd"), ".rpm": ("rpm", "--erase", "rcnetd")}
INTERFACES = "/etc/network/interfaces"
RESTARTED = 10.0  # seconds within which a start returns on a server that was READY
WATCHDOG = "[Service]\nWatchdogSec=2s\n"


@contextlib.contextmanager
def no_route_lost(guest: Guest) -> Iterator[None]:
    """The kernel reports no default route as deleted meanwhile, and uses ours at the end."""
    with guest.topology.server:
        monitor = subprocess.Popen(
            ["ip", "-4", "-o", "monitor", "route"], stdout=subprocess.PIPE, text=True
        )

    def listens() -> bool:
        """Once it says what we make it see, it does; what came too early for it is made again."""
        guest.topology.server.ip("route add 192.0.2.1 dev lo", "route del 192.0.2.1 dev lo")
        return bool(select.select([monitor.stdout], [], [], 0.1)[0])

    try:
        until(listens, LONG)
        yield
        check_route(guest)
    finally:
        monitor.terminate()
        said = monitor.communicate(timeout=10)[0]
    assert not [line for line in said.splitlines() if line.startswith("Deleted default")]


def next_version(package: Path) -> Path:
    """The same DEB package as a later version."""
    tree, result = package.parent / "next", package.parent / "rcnetd_9_all.deb"
    shutil.rmtree(tree, ignore_errors=True)
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub("(?m)^Version: .*", "Version: 9", control.read_text()))
    subprocess.run(["dpkg-deb", "--build", tree, result], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)
    return result


@pytest.fixture(scope="module")
def later_deb(deb: Path) -> Path:
    """A later version of the package."""
    return next_version(deb)


def give(guest: Guest, package: Path) -> str:
    """Bring a package into the guest."""
    shutil.copy(package, guest.root / "opt")
    return f"/opt/{package.name}"


def enabled(guest: Guest, unit: str) -> str:
    """What `systemctl is-enabled` says; "" for a unit that is not there."""
    return guest.run("systemctl", "is-enabled", unit, check=False).strip()


def start(guest: Guest) -> tuple[str, str]:
    """Start what was installed on a running server; the PIDs of the daemon and the dependent."""
    guest.run("systemctl", "start", DEPENDENT)
    guest.until_active(DAEMON, GATE, DEPENDENT)
    check_route(guest)
    return guest.show(DAEMON, "MainPID"), guest.show(DEPENDENT, "MainPID")


def restarted(guest: Guest, pid: str) -> None:
    """The daemon is another process than *pid*, and ready."""
    guest.until(lambda: guest.show(DAEMON, "MainPID") not in (pid, "0"))
    guest.until_active(DAEMON)


@pytest.mark.parametrize("release", RELEASES)
def test_from_install_to_purge(
    make_guest: MakeGuest, deb: Path, later_deb: Path, release: str
) -> None:
    """The whole life of the DEB on a server that is up."""
    guest = make_guest(release, "ifupdown", package=None)
    guest.emulate(DEPLOYED)
    with guest.boot():
        guest.until_active("multi-user.target")
        before = guest.run("ip", "route")
        interfaces = guest.run("cat", INTERFACES)

        guest.run(*INSTALL[".deb"], give(guest, deb))
        assert ("inactive", "inactive") == (
            guest.show(DAEMON, "ActiveState"), guest.show(GATE, "ActiveState"))  # fmt: skip
        assert {"enabled"} == {enabled(guest, unit) for unit in (DAEMON, GATE)}
        assert before == guest.run("ip", "route")
        assert guest.run("find", "/usr/lib/python3/dist-packages/rcnetd", "-name", "*.pyc")

        pid, dependent = start(guest)
        until_persisted(guest)
        persisted = guest.run("cat", INTERFACES)
        assert interfaces != persisted

        with no_route_lost(guest):  # an upgrade
            guest.run(*UPGRADE[".deb"], give(guest, later_deb))
            restarted(guest, pid)
            assert dependent == guest.show(DEPENDENT, "MainPID")
            assert guest.is_active(GATE)

        pid = guest.show(DAEMON, "MainPID")
        with no_route_lost(guest):  # a crash
            guest.run("kill", "-SEGV", pid)
            restarted(guest, pid)
            assert dependent == guest.show(DEPENDENT, "MainPID")
            assert guest.is_active(GATE)

        with no_route_lost(guest):
            guest.run("systemctl", "disable", "--now", DAEMON)
            assert "disabled" == enabled(guest, DAEMON)
            assert not guest.is_active(DAEMON)
            assert dependent == guest.show(DEPENDENT, "MainPID")

        write(guest.root, "/etc/rcnetd/conf.d/mine.yaml", "persist: none\n")
        with no_route_lost(guest):
            said = guest.run(*REMOVE[".deb"])
            assert "the default route stays" in said
            assert dependent == guest.show(DEPENDENT, "MainPID")
            assert "" == enabled(guest, GATE) or "not-found" in enabled(guest, GATE)
            assert "persist: none\n" == guest.run("cat", "/etc/rcnetd/conf.d/mine.yaml")
            assert "gateway.json" in guest.run("ls", "/var/lib/rcnetd")

        with no_route_lost(guest):
            guest.run("dpkg", "--purge", "rcnetd")
            for path in (
                "/etc/rcnetd",
                "/var/lib/rcnetd",
                "/var/lib/rcnetd-persist",
                "/run/rcnetd",
            ):
                assert "gone" == guest.run("sh", "-c", f"[ -e {path} ] || printf gone")
            assert persisted == guest.run("cat", INTERFACES)
        assert "" == guest.run("systemctl", "--failed", "--plain", "--no-legend").strip()


def full_tunnel(guest: Guest) -> None:
    """A VPN takes both halves of the internet."""
    carry_out(guest.topology, *POLICIES["VPN of two halves"])


def dead_api(guest: Guest) -> None:
    """It takes connections and never answers."""
    guest.api.set_fault("hang")


def full_run(guest: Guest) -> None:
    """No byte is left under /run."""
    guest.run("mount", "-o", "remount,size=4m", "/run")
    guest.run("sh", "-c", "cat /dev/zero > /run/fill", check=False)


TROUBLES = {
    "a full-tunnel VPN": (full_tunnel, "is diverted by a /1 route of table main via 10.98.0.1"),
    "the API is dead": (dead_api, "DEPLOYED was reported before the restart"),
    "/run is full": (full_run, "ready, guarding the default route via 10.180.31.254 dev eth1"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_an_upgrade_waits_for_nothing(make_guest: MakeGuest, later_deb: Path, trouble: str) -> None:
    """The new daemon is READY as the old one was, and dpkg returns, whatever is wrong."""
    guest = make_guest(RELEASES[-1], "ifupdown")
    guest.emulate(DEPLOYED)
    come, word = TROUBLES[trouble]
    with guest.boot():
        check_ready(guest)
        pid, dependent = guest.show(DAEMON, "MainPID"), guest.show(DEPENDENT, "MainPID")
        package = give(guest, later_deb)
        come(guest)
        begin = time.monotonic()
        guest.run(*UPGRADE[".deb"], package)
        took = time.monotonic() - begin
        assert guest.is_active(DAEMON)
        assert pid != guest.show(DAEMON, "MainPID")
        started = guest.show(DAEMON, "ExecMainStartTimestampMonotonic")
        ready_in = guest.since_boot(DAEMON) - int(started) / 1e6
        text = guest.show(DAEMON, "StatusText")
        print(f"{trouble}: dpkg returned after {took:.1f} s, READY after {ready_in:.2f} s: {text}")

        assert ready_in < RESTARTED
        assert word in text
        said = guest.run("sh", "-c", "rcnetctl status 2>&1", check=False)
        assert ("is running, but could not write" if come is full_run else "rcnetd: ready") in said
        assert dependent == guest.show(DEPENDENT, "MainPID")
        assert guest.is_active(GATE)


def test_a_hung_daemon_is_started_again(make_guest: MakeGuest) -> None:
    """The watchdog notices a daemon that does not turn any more; the route and the gate stay."""
    guest = make_guest(RELEASES[-1], "ifupdown")
    write(guest.root, "/etc/systemd/system/rcnetd.service.d/watchdog.conf", WATCHDOG)
    guest.emulate(DEPLOYED)
    with guest.boot():
        check_ready(guest)
        pid, dependent = guest.show(DAEMON, "MainPID"), guest.show(DEPENDENT, "MainPID")
        with no_route_lost(guest):
            guest.run("kill", "-STOP", pid)
            restarted(guest, pid)
        assert dependent == guest.show(DEPENDENT, "MainPID")


@pytest.mark.parametrize("release", RELEASES)
def test_the_way_back(make_guest: MakeGuest, release: str) -> None:
    """Masked and reverted, as the README says: at once, and in the next boot, as if it were not
    there; none waits for it."""
    guest = make_guest(release, "ifupdown")
    guest.emulate(DEPLOYED)
    before = (guest.root / INTERFACES[1:]).read_bytes()
    with guest.boot():
        check_ready(guest)
        until_persisted(guest)
        guest.run("systemctl", "mask", "--now", DAEMON)
        assert guest.goes_by_gateway()
        guest.run("rcnetctl", "revert")
        assert not guest.goes_by_gateway()
        check_untouched(guest)
        assert before == (guest.root / INTERFACES[1:]).read_bytes()
    with guest.boot():
        guest.until_active("multi-user.target", "online.service")
        check_untouched(guest)
        guest.until(lambda: guest.result(GATE) == ("failed", 3))
        assert not guest.is_active(DAEMON)
        assert not guest.is_active(DEPENDENT)


@pytest.mark.parametrize("release", RELEASES)
def test_reload(make_guest: MakeGuest, release: str) -> None:
    """New settings without a restart, also in the host's files; wrong ones fail the reload, and are
    said in the journal."""
    guest = make_guest(release, "ifupdown")
    guest.emulate(DEPLOYED)
    interfaces = guest.root / "etc/network/interfaces"
    with guest.boot():
        check_ready(guest)
        pid = guest.show(DAEMON, "MainPID")
        guest.until(lambda: b"#rcnetd#     gateway" in interfaces.read_bytes())
        guest.run("sh", "-c", "echo 'fallback_after: 1min' > /etc/rcnetd/conf.d/lab.yaml")
        guest.run("systemctl", "reload", DAEMON)
        guest.until(lambda: "the settings were read again" in guest.journal)

        guest.run("sh", "-c", "echo 'public_interface: down' > /etc/rcnetd/conf.d/lab.yaml")
        guest.run("systemctl", "reload", DAEMON)
        guest.until(lambda: b"#rcnetd# auto lo eth0 eth1" in interfaces.read_bytes())

        guest.run("sh", "-c", "echo 'regoin: dfw' > /etc/rcnetd/conf.d/lab.yaml")
        with pytest.raises(AssertionError):
            guest.run("systemctl", "reload", DAEMON)
        assert "regoin: is not a setting; did you mean 'region'?" in guest.journal
        assert guest.is_active(DAEMON)
        assert pid == guest.show(DAEMON, "MainPID")
        check_route(guest)


def test_the_rpm_is_upgraded_and_removed(make_guest: MakeGuest, rpm: Path) -> None:
    """The same promises: enabled and not started, no route lost, configuration stays."""
    guest = make_guest(RELEASES[-1], "ifupdown", package=None)
    guest.emulate(DEPLOYED)
    with guest.boot():
        guest.until_active("multi-user.target")
        guest.run(*INSTALL[".rpm"], give(guest, rpm))
        assert not guest.is_active(DAEMON)
        assert {"enabled"} == {enabled(guest, unit) for unit in (DAEMON, GATE)}
        assert guest.run("find", "/usr/lib/python3/dist-packages/rcnetd", "-name", "*.pyc")

        pid, dependent = start(guest)
        with no_route_lost(guest):
            guest.run(*UPGRADE[".rpm"], "--replacepkgs", "--force", give(guest, rpm))
            restarted(guest, pid)
            assert dependent == guest.show(DEPENDENT, "MainPID")

        with no_route_lost(guest):
            guest.run(*REMOVE[".rpm"])
            assert not guest.is_active(DAEMON)
            assert dependent == guest.show(DEPENDENT, "MainPID")
            assert "" == guest.run(
                "find", "/usr/lib/python3/dist-packages", "-path", "*/rcnetd/*", check=False
            )
            assert "gateway.json" in guest.run("ls", "/var/lib/rcnetd")
