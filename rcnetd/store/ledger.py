"""The ledger of the request budget: one locked file that all programs of this server share.

"There is a limit of 30 requests per minute from each of your cloud servers" (the API page): per
server, so the daemon, its restarts and every `rcnetctl` count together.

The file (mode 0600) is locked while it is looked at, and rewritten in place: the lock is on the
file itself, so there is no second file to lose or to race for. The content is far smaller than a
page and is written by one call; a process that is killed meanwhile leaves the old line or the new
one. It is born whole (written aside, then linked), so an empty file is no fresh one. Whatever else
the checksum refuses is taken for a budget that is used up to the last slot, and written anew.

The clock is CLOCK_BOOTTIME: no step of the wall clock moves it, and it goes on in suspend, as the
server's minute does.

Form, one line of words: `rcnetd1 CRC32 LAST_NUMBER BLOCKED_UNTIL [NUMBER ENDS_AT]...`, the
checksum being that of the words after it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rcnetd.basic.dataclass import dataclass
from rcnetd.store import budget
from rcnetd.store.budget import Budget, Entry, LedgerState

MAX_SIZE = 16 * 1024  # bytes
MAGIC = "rcnetd1"
LOCK_TIMEOUT = 0.5  # seconds; the lock is held for microseconds, unless its holder was stopped
LOCK_INTERVAL = 0.002  # seconds between tries
LOCK_RETRY_DELAY = 1.0  # seconds, after which a ledger that stayed locked is worth another look


def boottime() -> float:
    """Seconds since boot, suspend included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True)
class Slot:
    """A request that the budget allows; give it back by `Ledger.end`."""

    number: int


class Ledger:
    """The budget of *limit* requests a minute in the file *path*.

    All methods raise `OSError`; `PermissionError` means that this process may not ask in the
    server's name. None waits longer than half a second: a ledger that stays locked allows nothing
    for the moment, and what was to be noted in it is noted at the next call.
    """

    def __init__(self, path: Path, limit: int, *, clock: Callable[[], float] = boottime) -> None:
        self._path = path
        self._limit = limit
        self._clock = clock
        self._notes: list[Callable[[LedgerState], LedgerState]] = []  # not yet in the file

    def take(self, *, deadline: float, reserve: int = 0) -> tuple[Slot | None, Budget]:
        """Take a slot for a request of at most *deadline* seconds; None while there is none.

        *reserve* slots are left to others. A request that is never ended, because its process was
        killed, counts as ended at its deadline (at most `budget.MAX_DEADLINE`).
        """
        with self._locked() as descriptor:
            if descriptor is None:
                return None, self._unknown()
            now = self._clock()
            book = self._read(descriptor, now)
            taken = budget.take(book, self._limit, now, deadline=deadline, reserve=reserve)
            if taken is None:
                return None, budget.view(book, self._limit, now)
            self._write(descriptor, taken)
            return Slot(taken.last_number), budget.view(taken, self._limit, now)

    def end(self, slot: Slot) -> Budget:
        """The request of *slot* has ended now, however it went."""
        now = self._clock()
        self._notes.append(lambda book: budget.end(book, slot.number, now))
        return self.view()

    def give_back(self, slot: Slot) -> Budget:
        """The request of *slot* never got a connection: the API has not seen it."""
        self._notes.append(lambda book: budget.give_back(book, slot.number))
        return self.view()

    def block(self, seconds: float) -> Budget:
        """The API's rate limit is reached: no request for *seconds*, or longer if it was longer."""
        now = self._clock()
        self._notes.append(lambda book: budget.block(book, seconds, now))
        return self.view()

    def view(self) -> Budget:
        """The budget as it stands."""
        with self._locked() as descriptor:
            if descriptor is None:
                return self._unknown()
            now = self._clock()
            return budget.view(self._read(descriptor, now), self._limit, now)

    def _unknown(self) -> Budget:
        return Budget(self._limit, (LOCK_RETRY_DELAY,) * self._limit)

    # The lock

    @contextmanager
    def _locked(self) -> Iterator[int | None]:
        """The locked file; None if it stays locked by another."""
        give_up_at = time.monotonic() + LOCK_TIMEOUT
        while True:
            descriptor = self._open()
            try:
                locked = _lock(descriptor, give_up_at)
                # A file that was removed meanwhile counts no more: its successor does.
                if not locked or os.fstat(descriptor).st_nlink > 0:
                    yield descriptor if locked else None
                    return
            finally:
                os.close(descriptor)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            descriptor = os.open(self._path, flags)
        except FileNotFoundError:
            self._create()
            descriptor = os.open(self._path, flags)
        found, owner = os.fstat(descriptor), self._path.parent.stat().st_uid
        if not stat.S_ISREG(found.st_mode) or found.st_uid != owner:
            # Root writes here in the daemon's directory: what is not the daemon's, such as a link
            # to a file of root's, was put there to have it overwritten.
            os.close(descriptor)
            raise OSError(errno.EINVAL, "Not a ledger, remove it", str(self._path))
        return descriptor

    def _create(self) -> None:
        """Make the file, whole at once, and the daemon's even if root comes first."""
        temporary = self._path.with_name(f".{self._path.name}.{os.urandom(4).hex()}.tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(temporary, flags, 0o600)
        try:
            owner = self._path.parent.stat()
            if owner.st_uid != os.fstat(descriptor).st_uid:
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            self._write(descriptor, LedgerState())
            with suppress(FileExistsError):  # another was faster: its file counts
                os.link(temporary, self._path)
        finally:
            os.close(descriptor)
            temporary.unlink()

    # The content

    def _read(self, descriptor: int, now: float) -> LedgerState:
        """What the file says, tidy, with our notes; written back if that is anything new."""
        book = _decode(os.pread(descriptor, MAX_SIZE, 0))
        repaired = book is None
        if book is None:
            book = budget.full(self._limit, now)
        for note in self._notes:
            book = note(book)
        book = budget.tidy(book, now)
        if repaired or self._notes:
            self._write(descriptor, book)
            self._notes.clear()
        return book

    def _write(self, descriptor: int, book: LedgerState) -> None:
        data = _encode(book)
        # What is left of a longer text is cut off after it: until then only the first line counts.
        if os.pwrite(descriptor, data, 0) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        os.ftruncate(descriptor, len(data))


class PrivateLedger(Ledger):
    """The same in memory, for a daemon that cannot use the file: it goes on without the others.

    *cautious*: an earlier daemon of this boot may have sent requests within the last minute.
    """

    def __init__(
        self, limit: int, *, cautious: bool, clock: Callable[[], float] = boottime
    ) -> None:
        super().__init__(Path(), limit, clock=clock)
        state = LedgerState()
        self._state = budget.block(state, budget.SLOT_HELD, clock()) if cautious else state

    @contextmanager
    def _locked(self) -> Iterator[int | None]:
        yield 0

    def _read(self, _: int, now: float) -> LedgerState:
        for note in self._notes:
            self._state = note(self._state)
        self._notes.clear()
        self._state = budget.tidy(self._state, now)
        return self._state

    def _write(self, _: int, book: LedgerState) -> None:
        self._state = book


def _lock(descriptor: int, give_up_at: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up_at:
                return False
            time.sleep(LOCK_INTERVAL)
        else:
            return True


def _encode(book: LedgerState) -> bytes:
    # To the last digit: rounded up, the longest deadline would be too far ahead to be true.
    words = [f"{book.last_number} {book.blocked_until!r}"]
    words += [f"{entry.number} {entry.ends_at!r}" for entry in book.entries]
    text = " ".join(words)
    return f"{MAGIC} {zlib.crc32(text.encode()):08x} {text}\n".encode()


def _decode(data: bytes) -> LedgerState | None:
    """The book in *data*, None if it is damaged."""
    line, end, _ = data.partition(b"\n")
    magic, _, rest = line.partition(b" ")
    checksum, _, text = rest.partition(b" ")
    if not end or magic != MAGIC.encode() or checksum != b"%08x" % zlib.crc32(text):
        return None
    try:
        last_number, blocked_until, *words = text.split()
        pairs = zip(words[::2], words[1::2])
        entries = tuple(Entry(int(number), float(ends_at)) for number, ends_at in pairs)
        return LedgerState(entries, float(blocked_until), int(last_number))
    except ValueError:
        return None
