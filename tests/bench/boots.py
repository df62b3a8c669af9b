"""In whole guests: unit start to READY, and memory beside what else runs there."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from pathlib import Path

from rcnetd.emulator.certificates import Authority
from rcnetd.lab.topology import Topology
from tests.bench.figures import Figure, Measure
from tests.bench.lab import Options
from tests.bench.waiting import sizes
from tests.boot.conftest import build, disk, install, locked
from tests.boot.guest import Guest, Overlay, bake, chroot, configure, write
from tests.boot.test_boot import DAEMON, check_ready
from tests.boot.test_cost import DEPLOYED, SHELL, costs
from tests.boot.trees import RELEASES, cache, tree

RELEASE = "bookworm"  # for the peers; it has all of them
PEERS = ("systemd-networkd", "networkd-dispatcher", "walinuxagent", "google-guest-agent")
PACKAGES = {"walinuxagent": "waagent"}  # where it is called otherwise
SETTLE = 45.0  # seconds; an agent looks for its cloud for half a minute first


class Workshop:
    """Makes guests; everything goes at the end."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._authority = Authority()
        self._place = Path(tempfile.mkdtemp(prefix="run-", dir=cache()))
        stack.callback(subprocess.run, ["rm", "-rf", str(self._place)], check=False)
        stack.enter_context(locked(self._place))
        self._deb = build("packaging/build-deb", "rcnetd_*.deb", self._place)

    def guest(self, release: str, manager: str, *packages: str) -> tuple[Guest, list[str]]:
        """A guest of a release with these packages, and which could not be had."""
        overlay = Overlay(self._place / release, [tree(release)])
        try:
            lacking = [name for name in packages if not _fetched(overlay.root, name)]
            for unit in set(PEERS[1:]) if packages else ():  # they would delay the boot
                with contextlib.suppress(AssertionError):
                    chroot(overlay.root, "systemctl", "disable", unit)
            chroot(overlay.root, "sh", "-c", "rm -f /etc/systemd/system/*/google-*")
            install(overlay.root, self._deb)
            bake(overlay.root, self._authority)
        finally:
            overlay.close()
        lower = [overlay.changes, tree(release)]
        root = self._stack.enter_context(disk(self._place, lower)).root
        configure(root, manager, 0)
        topology = self._stack.enter_context(Topology())
        guest = Guest(root, manager, topology, self._authority)
        self._stack.callback(guest.close)
        return guest, lacking


def _fetched(root: Path, package: str) -> bool:
    try:
        chroot(root, "sh", "-c", "apt-get -qq update;"
               f" DEBIAN_FRONTEND=noninteractive apt-get -qq --yes --no-install-recommends install"
               f" {package}")  # fmt: skip
    except AssertionError:
        return False
    return True


def boots(options: Options) -> list[Measure]:
    """Unit start to READY with an API that answers at once, on each release."""
    found = []
    for release in RELEASES:
        with contextlib.ExitStack() as stack:
            guest, _ = Workshop(stack).guest(release, "ifupdown")
            in_the_boot, measured = costs(guest, options.times(15))
        figures = [
            Figure("rcnetd", measured[DAEMON]),
            Figure("shell, curl and ip", measured[SHELL]),
        ]
        notes = [f"in the boot itself {in_the_boot:.0f} ms"]
        found.append(Measure(f"unit start to READY, {release}", "250 ms", figures, notes))
    return found


def peers(_: Options) -> list[Measure]:
    """Resident memory in a guest, rcnetd after READY."""
    with contextlib.ExitStack() as stack:
        packages = [PACKAGES.get(name, name) for name in PEERS[1:]]
        guest, lacking = Workshop(stack).guest(RELEASE, "netplan", *packages)
        _let_them_run(guest.root)
        guest.emulate(DEPLOYED)
        with guest.boot():
            check_ready(guest)
            guest.run("systemctl", "start", "--no-block", *PEERS, check=False)
            time.sleep(SETTLE)
            found = {name: _resident(guest, name) for name in (DAEMON, *PEERS)}
    figures = []
    for kind in ("Rss", "Pss"):
        for name, used in found.items():
            who = f"{name.removesuffix('.service')}, {kind}"
            if used is not None:
                figures.append(Figure(who, [used[kind]], "MB"))
            elif kind == "Rss":
                absent = PACKAGES.get(name, name) in lacking
                why = "its package could not be fetched" if absent else "it does not stay running"
                figures.append(Figure(name, text=why))
    return [
        Measure(
            f"resident memory in a {RELEASE} guest", "Rss 20 MB, below every Python peer", figures
        )
    ]


def _let_them_run(root: Path) -> None:
    """One wants a hook to run, another a machine of Microsoft's; neither starts without."""
    write(root, "/etc/networkd-dispatcher/routable.d/hook", "#!/bin/true\n", 0o755)
    anywhere = "/etc/systemd/system/walinuxagent.service.d/anywhere.conf"
    write(root, anywhere, "[Unit]\nConditionVirtualization=\n")


def _resident(guest: Guest, unit: str) -> dict[str, float] | None:
    """What its main process has; None if it has none."""
    main = int(guest.show(unit, "MainPID") or 0)
    text = guest.run("cat", f"/proc/{main}/smaps_rollup", check=False) if main else ""
    return sizes(text) if text else None
