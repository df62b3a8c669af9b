"""The ledger's file: shared, locked, and safe against crashes and damage."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rcnetd.budget import SLOT_HELD
from rcnetd.ledger import SIZE_MOST, Ledger, boottime


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger is."""
    return tmp_path / "requests"


def use_up(ledger: Ledger, reserve: int = 0) -> int:
    """Take slots until there is none; returns how many there were."""
    count = 0
    while True:
        slot, _ = ledger.take(deadline=5.0, reserve=reserve)
        if slot is None:
            return count
        ledger.end(slot)
        count += 1


def test_the_budget_outlives_a_restart(path: Path) -> None:
    """A new daemon, or an rcnetctl, sees what was used before."""
    assert use_up(Ledger(path, 18), reserve=4) == 14
    assert Ledger(path, 18).view().used == 14
    assert use_up(Ledger(path, 18)) == 4


def test_the_file_is_for_its_owner_only(path: Path) -> None:
    """A reader without privilege can neither hold the lock nor change the book."""
    Ledger(path, 18).view()

    assert path.stat().st_mode & 0o777 == 0o600


def test_a_link_in_its_place_is_not_followed(path: Path, tmp_path: Path) -> None:
    """Nobody's file is overwritten."""
    (tmp_path / "victim").write_text("precious")
    path.symlink_to(tmp_path / "victim")

    with pytest.raises(OSError, match="[Ss]ymbolic"):
        Ledger(path, 18).take(deadline=1.0)
    assert (tmp_path / "victim").read_text() == "precious"


def test_time_frees_the_slots(path: Path) -> None:
    """61 s after their end, on a clock that counts suspend."""
    now = [1000.0]
    ledger = Ledger(path, 5, clock=lambda: now[0])
    assert use_up(ledger) == 5

    now[0] += SLOT_HELD + 0.01

    assert use_up(ledger) == 5


def test_a_403_is_told_to_everybody(path: Path) -> None:
    """The block is in the file."""
    Ledger(path, 18).block(61.0)

    slot, budget = Ledger(path, 18).take(deadline=1.0)
    assert slot is None
    assert 60.0 < budget.blocked_for < 61.01


@pytest.mark.parametrize(
    "damage",
    [b"\n", b"{", b"[1, 2]\n", b"\x00" * 100, b'[0, "[0, 0, []]"]\n', b"x" * 50_000, b"[1]\n" * 9],
)
def test_a_damaged_ledger_is_taken_for_used_up(path: Path, damage: bytes) -> None:
    """Never over the budget; and it repairs itself."""
    path.write_bytes(damage)
    now = [50.0]
    ledger = Ledger(path, 18, clock=lambda: now[0])

    assert ledger.take(deadline=1.0)[0] is None
    ledger.block(0.0)
    now[0] += SLOT_HELD + 0.01
    assert use_up(ledger) == 18


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_no_content_breaks_it(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Whatever bytes there are, the ledger answers."""
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    path.write_bytes(data)

    Ledger(path, 18).take(deadline=1.0)
    assert Ledger(path, 18).view().used <= 18


def test_a_shorter_text_over_a_longer_one_is_whole(path: Path) -> None:
    """A process that is killed between writing and cutting leaves a file that can be read."""
    now = [0.0]
    ledger = Ledger(path, 18, clock=lambda: now[0])
    use_up(ledger)
    long = path.read_bytes()
    now[0] = 100.0
    ledger.take(deadline=1.0)
    short = path.read_bytes()
    assert len(short) < len(long)

    path.write_bytes(short + long[len(short) :])

    assert ledger.view().used == 1


def test_a_full_disk_is_an_error_and_no_slot(path: Path) -> None:
    """What cannot be written down is not sent."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            Ledger(path, 18).take(deadline=1.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert Ledger(path, 18).view().used == 0


def test_the_file_stays_small(path: Path) -> None:
    """After a long time of use it is as small as its content."""
    now = [0.0]
    ledger = Ledger(path, 30, clock=lambda: now[0])
    for _ in range(500):
        slot, _ = ledger.take(deadline=5.0)
        if slot is not None:
            ledger.end(slot)
        now[0] += 1.0

    assert path.stat().st_size < SIZE_MOST / 4


def test_many_processes_share_one_budget(path: Path) -> None:
    """Eight processes that all want everything get 18 slots together."""
    program = (
        "import sys, pathlib\n"
        "from rcnetd.ledger import Ledger\n"
        "ledger = Ledger(pathlib.Path(sys.argv[1]), 18)\n"
        "print(sum(ledger.take(deadline=5.0)[0] is not None for _ in range(30)))\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(8)
    ]
    counts = [int(process.communicate(timeout=30)[0]) for process in processes]

    assert sum(counts) == 18


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_without_the_privilege_it_says_so(tmp_path: Path) -> None:
    """`PermissionError`: rcnetctl then shows the daemon's last answer."""
    path = tmp_path / "requests"
    Ledger(path, 18).view()
    child = os.fork()
    if child == 0:
        os.setresuid(65534, 65534, 65534)
        try:
            Ledger(path, 18).view()
        except PermissionError:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_clock_counts_from_boot() -> None:
    """CLOCK_BOOTTIME, which no step of the wall clock moves."""
    assert 0 < boottime() <= boottime()
