"""The power goes while files are written: each file is old or new, and `revert` works.

A snapshot of the disk after each flush is what a power cut at that moment leaves behind.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.waiting import until
from tests.vm.checks import FIREWALL, check_boot, check_units, ways
from tests.vm.conftest import MakeMachine
from tests.vm.machine import BOOT, Machine
from tests.vm.table import CUT
from tests.vm.test_machines import DEPLOYED

CONFIGURATION = "etc/netplan"
MIN_MOMENTS = 5
Tree = dict[str, tuple[int, bytes]]  # by name: mode, content


@contextlib.contextmanager
def mounted(image: Path, place: Path) -> Iterator[Path]:
    """What the next boot finds on a disk; the journal is replayed."""
    raw, root = place / "frozen.raw", place / "frozen"
    subprocess.run(["qemu-img", "convert", "-O", "raw", str(image), str(raw)], check=True)
    root.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", str(raw), str(root)], check=True)
    try:
        yield root
    finally:
        subprocess.run(["umount", str(root)], check=True)
        raw.unlink()


def tree(root: Path) -> Tree:
    """The host's network configuration on a mounted disk, as netplan reads it."""
    return {
        path.name: (path.stat().st_mode, path.read_bytes())
        for path in sorted((root / CONFIGURATION).glob("*.yaml"))
    }


def freeze_while(machine: Machine, command: str) -> list[Path]:
    """Run a command; the disk before it, and after each flush meanwhile."""
    flushes = machine.flushes
    frozen = [machine.freeze()]
    machine.start(command)
    while not machine.has_finished(0.0):
        if machine.flushes != flushes:
            frozen.append(machine.freeze())
            flushes = machine.flushes
    machine.finish()
    machine.sh("sync")
    frozen.append(machine.freeze())
    return frozen


def revert(root: Path) -> None:
    """Put the files of a mounted disk back."""
    subprocess.run(
        [sys.executable, "-m", "rcnetd.ctl.main", "revert", "--root", str(root)],
        check=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip


def check_moments(frozen: list[Path], place: Path) -> tuple[Tree, Tree]:
    """Each file is as before or as after, and `revert` gives the files of before rcnetd."""
    with mounted(frozen[0], place) as root:
        before = tree(root)
    with mounted(frozen[-1], place) as root:
        after = tree(root)
    assert before != after
    for image in frozen:
        with mounted(image, place) as root:
            for name, found in tree(root).items():
                assert found in (before.get(name), after.get(name)), f"{image.name}: {name}"
            revert(root)
            assert tree(root) in (before, after), image.name
    return before, after


def test_power_cuts(make_machine: MakeMachine) -> None:
    """On a small machine: while the files are written, and while they are put back."""
    machine = make_machine("bookworm", "netplan")
    machine.memory = 256
    machine.arguments += " systemd.mask=rcnetd-persist.path"
    machine.emulate(DEPLOYED)
    with machine.boot():
        until(lambda: FIREWALL in ways(machine), BOOT)
        check_boot(machine)
        writing = freeze_while(machine, "rcnetctl persist")
        # The power is cut, right after the files were written.
    before, after = check_moments(writing, machine.place)
    assert MIN_MOMENTS < len(writing)
    with mounted(writing[-1], machine.place) as root:
        revert(root)
        assert before == tree(root)

    with machine.boot():
        check_boot(machine)
        check_units(machine)
        assert [FIREWALL] == ways(machine)
        machine.sh("systemctl mask --now rcnetd")
        reverting = freeze_while(machine, "rcnetctl revert")
        machine.power_off()
    assert (after, before) == check_moments(reverting, machine.place)
    machine.shown(CUT)
