"""The ledger in its file: shared, locked, never over the budget."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnetd.store import ledger as ledger_module
from rcnetd.store.budget import MAX_DEADLINE, SLOT_HELD, Budget
from rcnetd.store.ledger import LOCK_RETRY_DELAY, LOCK_TIMEOUT, Ledger, boottime
from tests.support.fuzzing import fuzz


class Clock:
    """A clock that stands until it is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The time of all ledgers of a test."""
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The ledger's file."""
    return tmp_path / "requests"


def granted(ledger: Ledger, *, reserve: int = 0) -> int:
    """How many requests the ledger still allows; takes them all."""
    count = 0
    while ledger.take(deadline=10.0, reserve=reserve)[0] is not None:
        count += 1
    return count


def test_the_clock_goes_on() -> None:
    """The time since boot is at least the time since the monotonic clock's start."""
    assert boottime() + 1 > time.clock_gettime(time.CLOCK_MONOTONIC)


def test_a_slot_is_taken_and_given_back(path: Path, clock: Clock) -> None:
    """A slot is in use until 61 s after its request's end."""
    ledger = Ledger(path, 18, clock=clock)
    slot, budget = ledger.take(deadline=10.0)

    assert slot is not None
    assert Budget(18, (10.0 + SLOT_HELD,)) == budget
    clock.now += 2
    assert Budget(18, (SLOT_HELD,)) == ledger.end(slot)
    clock.now += 61
    assert Budget(18) == ledger.view()


def test_all_programs_count_together(path: Path, clock: Clock) -> None:
    """The daemon leaves four slots, which rcnetctl gets; then there is none for anybody."""
    daemon, command = Ledger(path, 18, clock=clock), Ledger(path, 18, clock=clock)

    assert 14 == granted(daemon, reserve=4)
    assert 4 == granted(command)
    assert (None, daemon.view()) == daemon.take(deadline=10.0)
    assert 18 == command.view().used


def test_a_restart_changes_nothing(path: Path, clock: Clock) -> None:
    """A process that died in its requests' midst has used them up, to their deadline."""
    granted(Ledger(path, 18, clock=clock))
    clock.now += 10.0 + SLOT_HELD - 0.01
    assert 0 == granted(Ledger(path, 18, clock=clock))
    clock.now += 0.02
    assert 18 == granted(Ledger(path, 18, clock=clock))


def test_a_403_silences_everybody(path: Path, clock: Clock) -> None:
    """A block holds for all programs, and the longer one wins."""
    one, other = Ledger(path, 18, clock=clock), Ledger(path, 18, clock=clock)
    one.block(300.0)
    assert 300.0 == one.block(61.0).blocked_for
    clock.now += 299.9

    assert other.take(deadline=10.0)[0] is None
    clock.now += 0.2
    assert other.take(deadline=10.0)[0] is not None


def test_a_slot_of_a_ledger_that_was_removed_still_counts(path: Path, clock: Clock) -> None:
    """`rcnetctl clean` in a request's midst: its end is noted in the new ledger."""
    ledger = Ledger(path, 18, clock=clock)
    slot, _ = ledger.take(deadline=10.0)
    assert slot is not None
    path.unlink()

    assert 1 == ledger.end(slot).used


def test_the_file_is_private_and_small(path: Path, clock: Clock) -> None:
    """Nobody else reads or locks it; a full budget of 30 stays within half a page."""
    granted(Ledger(path, 30, clock=clock))
    found = path.stat()

    assert 0o600 == stat.S_IMODE(found.st_mode)
    assert found.st_size < 2048
    assert [path.name] == [entry.name for entry in path.parent.iterdir()]


def test_a_shorter_text_leaves_nothing_of_a_longer_one(path: Path, clock: Clock) -> None:
    """The file shrinks with the budget in use."""
    ledger = Ledger(path, 30, clock=clock)
    granted(ledger)
    clock.now += 1000
    ledger.take(deadline=10.0)

    assert path.read_text().startswith("rcnetd1 ")
    assert 1 == path.read_text().count("\n")
    assert path.stat().st_size < 80


def test_a_process_killed_before_it_cut_the_file_has_written(path: Path, clock: Clock) -> None:
    """Only the first line counts: the rest is a longer text's, not yet cut off."""
    ledger = Ledger(path, 18, clock=clock)
    ledger.take(deadline=10.0)
    path.write_bytes(path.read_bytes() + b"234.5 678 901.2\n")

    assert 1 == ledger.view().used


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"rcnetd1", b"rcnetd2"),
        lambda data: data.replace(b" 1", b" 2"),
        lambda data: b"\0" * len(data),
        lambda _: b"\xff\n",
        lambda _: b"rcnetd1 00000000 \n",
        lambda _: b"rcnetd1 %08x one 0.000\n" % zlib.crc32(b"one 0.000"),
        lambda _: b"x" * 100_000,
    ],
)
def test_a_damaged_ledger_allows_nothing_for_a_while(
    path: Path, clock: Clock, damage: Callable[[bytes], bytes]
) -> None:
    """What is lost is taken for used up; the file is repaired by whoever looks first."""
    ledger = Ledger(path, 18, clock=clock)
    ledger.take(deadline=10.0)
    path.write_bytes(damage(path.read_bytes()))

    assert 18 == ledger.view().used
    clock.now += MAX_DEADLINE + SLOT_HELD - 0.1
    assert 0 == granted(ledger)
    clock.now += 0.2
    assert 18 == granted(ledger)


def test_an_earlier_boots_ledger_does_not_count(path: Path, clock: Clock) -> None:
    """On a directory that outlives a boot the old clock's future is dropped."""
    clock.now = 1e6
    Ledger(path, 18, clock=clock).block(600.0)
    granted(Ledger(path, 18, clock=clock))
    clock.now = 5.0

    assert 18 == granted(Ledger(path, 18, clock=clock))


def test_a_link_is_not_followed(path: Path, clock: Clock) -> None:
    """The daemon's user cannot have root's rcnetctl write elsewhere by a symbolic link."""
    victim = path.with_name("victim")
    victim.write_text("precious")
    path.symlink_to(victim)

    with pytest.raises(OSError, match="symbolic links"):
        Ledger(path, 18, clock=clock).take(deadline=10.0)
    assert "precious" == victim.read_text()


def test_what_is_no_file_is_refused_at_once(path: Path, clock: Clock) -> None:
    """A pipe in its place blocks nobody."""
    os.mkfifo(path)

    with pytest.raises(OSError, match="Not a ledger"):
        Ledger(path, 18, clock=clock).view()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_owner_is_refused(path: Path, clock: Clock) -> None:
    """Nor by a hard link to a file of root's in the daemon's directory."""
    path.write_text("precious")
    os.chown(path.parent, 4711, 4711)

    with pytest.raises(OSError, match="Not a ledger"):
        Ledger(path, 18, clock=clock).view()
    assert "precious" == path.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_makes_the_daemons_file(path: Path, clock: Clock) -> None:
    """`rcnetctl` as root before the daemon's first request: the daemon can still use it."""
    os.chown(path.parent, 4711, 4712)
    Ledger(path, 18, clock=clock).take(deadline=10.0)

    assert (4711, 4712) == (path.stat().st_uid, path.stat().st_gid)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("exists", [True, False])
def test_without_the_privilege_there_is_a_permission_error(tmp_path: Path, exists: bool) -> None:
    """rcnetctl then prints the daemon's last answer."""
    tmp_path.chmod(0o755)
    path = tmp_path / "requests"
    if exists:
        Ledger(path, 18).view()
    descriptor = os.open(tmp_path, os.O_RDONLY)  # the way there may be closed to others
    child = os.fork()
    if child == 0:
        try:
            os.fchdir(descriptor)
            os.setresuid(4711, 4711, 4711)
            Ledger(Path("requests"), 18).take(deadline=10.0)
        except PermissionError:
            os._exit(0)
        finally:
            os._exit(1)
    os.close(descriptor)
    assert 0 == os.waitpid(child, 0)[1]


def test_without_its_directory_it_says_so(tmp_path: Path) -> None:
    """Other errors are for the caller, too."""
    with pytest.raises(FileNotFoundError):
        Ledger(tmp_path / "none" / "requests", 18).view()


def test_a_ledger_that_stays_locked_blocks_nobody(path: Path, clock: Clock) -> None:
    """A stopped holder of the lock: nothing is allowed, and what was to be noted is not lost."""
    ledger = Ledger(path, 18, clock=clock)
    slot, _ = ledger.take(deadline=10.0)
    assert slot is not None
    with path.open() as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        began = time.monotonic()
        assert (None, Budget(18, (LOCK_RETRY_DELAY,) * 18)) == ledger.take(deadline=10.0)
        assert time.monotonic() - began < LOCK_TIMEOUT + 1
        clock.now += 1
        assert 18 == ledger.end(slot).used
        assert 18 == ledger.block(100.0).used
    clock.now += 1

    assert Budget(18, (SLOT_HELD - 1,), 99.0) == ledger.view()
    clock.now += 1
    assert 98.0 == Ledger(path, 18, clock=clock).view().blocked_for


def test_a_file_removed_while_it_is_waited_for_counts_no_more(path: Path, clock: Clock) -> None:
    """Who waited for the lock of a file that is gone takes its successor's."""
    Ledger(path, 18, clock=clock).view()
    script = (
        "import fcntl, os, sys, time\n"
        f"file = open({str(path)!r}); fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print('locked', flush=True); sys.stdin.readline()\n"
        f"time.sleep(0.1); os.unlink({str(path)!r})\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-I", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert b"locked\n" == holder.stdout.readline()
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        slot, _ = Ledger(path, 18, clock=clock).take(deadline=10.0)

    assert slot is not None
    assert 1 == Ledger(path, 18, clock=clock).view().used


def test_two_who_begin_at_once_share_one_file(path: Path, clock: Clock) -> None:
    """The file that was linked first counts; the other's is thrown away."""
    one, other = Ledger(path, 18, clock=clock), Ledger(path, 18, clock=clock)
    one.take(deadline=10.0)
    other._create()  # as if it had not been there a moment ago

    assert 1 == other.view().used
    assert [path.name] == [entry.name for entry in path.parent.iterdir()]


def test_a_full_disk_is_an_error_not_a_slot(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that cannot be counted is not allowed."""
    ledger = Ledger(path, 18)
    ledger.view()
    monkeypatch.setattr(os, "pwrite", lambda _, data, __: len(data) - 1)

    with pytest.raises(OSError, match="No space left"):
        ledger.take(deadline=10.0)


# Several processes. Their clock runs a hundred times as fast: 61 s are 0.61 s.

HAMMER = """
import sys, time
from pathlib import Path
from rcnetd.store.ledger import Ledger, boottime
path, limit, seconds, sleepy = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
clock = lambda: boottime() * 100
ledger = Ledger(path, limit, clock=clock)
end_at = time.monotonic() + seconds
while time.monotonic() < end_at:
    slot, budget = ledger.take(deadline=30.0)
    if slot is None:
        if sleepy == "yes":
            time.sleep(0.001)
        continue
    start = clock()
    print("take", slot.number, start, flush=True)
    time.sleep(0.0005)
    if slot.number % 5:
        print("end", slot.number, clock(), flush=True)
        ledger.end(slot)
"""


def hammer(path: Path, limit: int, seconds: float, sleepy: str = "yes") -> subprocess.Popen[str]:
    """A program that asks as often as it may."""
    return subprocess.Popen(
        [sys.executable, "-c", HAMMER, str(path), str(limit), str(seconds), sleepy],
        stdout=subprocess.PIPE,
        text=True,
    )


def most_in_a_minute(outputs: list[str]) -> tuple[int, int]:
    """The most requests that any window of 60 s saw, and how many there were in all."""
    starts: dict[str, float] = {}
    ends: dict[str, float] = {}
    for line in "".join(outputs).splitlines():
        words = line.split()
        if len(words) == 3:  # not the last line of one that was killed
            (starts if words[0] == "take" else ends)[words[1]] = float(words[2])
    requests = [(start, ends.get(number, start)) for number, start in starts.items()]
    windows = (
        sum(start <= at and end > at - 60.0 for start, end in requests) for at, _ in requests
    )
    return max(windows, default=0), len(requests)


def test_processes_that_hammer_stay_within_the_budget(path: Path) -> None:
    """Three programs at once, several minutes long: the budget is used, never exceeded."""
    processes = [hammer(path, 18, 2.0) for _ in range(3)]
    outputs = [process.communicate(timeout=30)[0] for process in processes]
    most, count = most_in_a_minute(outputs)

    assert most <= 18
    assert count >= 36  # more than two minutes' worth
    assert [path.name] == [entry.name for entry in path.parent.iterdir()]


def test_processes_killed_anywhere_leave_a_whole_ledger(path: Path) -> None:
    """kill -9 at any step: no damage, no slot too many, the lock is free."""
    outputs = []
    for turn in range(12):
        process = hammer(path, 18, 30.0, sleepy="no")
        assert process.stdout is not None
        time.sleep(0.12 + 0.007 * turn)
        process.send_signal(signal.SIGKILL)
        outputs.append(process.communicate(timeout=30)[0])
        data = path.read_bytes() if path.exists() else b""
        assert data == b"" or ledger_module._decode(data) is not None
    most, _ = most_in_a_minute(outputs)

    assert most <= 18
    Ledger(path, 18).view()


@fuzz(200)
@given(data=st.binary(max_size=400), cut=st.integers(0, 400), take=st.booleans())
def test_no_content_breaks_it_or_frees_a_slot(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, cut: int, take: bool
) -> None:
    """Damaged, cut, or not a ledger at all: full for a minute, and then in order again."""
    path, clock = tmp_path_factory.getbasetemp() / "fuzzed-ledger", Clock()
    path.unlink(missing_ok=True)
    ledger = Ledger(path, 18, clock=clock)
    if take:
        ledger.take(deadline=5.0)
        whole = path.read_bytes()
        data = whole[: cut % len(whole)] + data
    path.write_bytes(data)

    _, budget = ledger.take(deadline=5.0)
    assert len(budget.free_in) <= 18
    clock.now += MAX_DEADLINE + 200.0
    assert ledger.take(deadline=5.0)[0] is not None


def test_the_longest_request_counts_at_once(path: Path, clock: Clock) -> None:
    """The file keeps each point in time as it is: none moves further ahead than can be true."""
    clock.now = 1000.0006
    Ledger(path, 18, clock=clock).take(deadline=MAX_DEADLINE)

    assert 1 == Ledger(path, 18, clock=clock).view().used
