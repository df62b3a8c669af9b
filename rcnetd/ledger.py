"""The ledger of the request budget: one locked file that all programs of this server share.

"There is a limit of 30 requests per minute from each of your cloud servers" (the API page): per
server, so the daemon, its restarts and every `rcnetctl` count together. The file (mode 0600) is
locked while it is looked at, and rewritten in place: a process that is killed meanwhile leaves
either the old text, the new text, or one that the checksum refuses, which counts as a budget that
is used up just now. The clock is CLOCK_BOOTTIME: no step of the wall clock moves it, and it goes
on in suspend, as the server's minute does.

Form: one line of JSON, `[checksum, text]`, the text being the JSON of `[last_number, blocked_until,
[[number, ends_at], …]]`.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rcnetd import budget
from rcnetd.budget import Book, Budget, Entry

SIZE_MOST = 16 * 1024  # bytes


def boottime() -> float:
    """Seconds since boot, suspend included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True)
class Slot:
    """A request that the budget allows; give it back by `Ledger.end`."""

    number: int


class Ledger:
    """The budget of *limit* requests a minute in the file *path*. Raises `OSError`.

    `PermissionError` means that this process may not ask in the server's name.
    """

    def __init__(self, path: Path, limit: int, *, clock: Callable[[], float] = boottime) -> None:
        self._path = path
        self._limit = limit
        self._clock = clock

    def take(self, *, deadline: float, reserve: int = 0) -> tuple[Slot | None, Budget]:
        """Take a slot for a request of at most *deadline* seconds; None while there is none.

        *reserve* slots are left to others. A request that is never ended, because its process was
        killed, counts as ended at its deadline.
        """
        with self._open() as descriptor:
            now = self._clock()
            book = self._read(descriptor, now)
            taken = budget.take(book, self._limit, now, deadline=deadline, reserve=reserve)
            if taken is None:
                return None, budget.view(book, self._limit, now)
            self._write(descriptor, taken)
            return Slot(taken.last_number), budget.view(taken, self._limit, now)

    def end(self, slot: Slot) -> Budget:
        """The request of *slot* has ended now, however it went."""
        return self._change(lambda book, now: budget.end(book, slot.number, now))

    def block(self, seconds: float) -> Budget:
        """The API said 403: nobody asks for *seconds*."""
        return self._change(lambda book, now: budget.block(book, seconds, now))

    def view(self) -> Budget:
        """The budget as it stands."""
        with self._open() as descriptor:
            now = self._clock()
            return budget.view(self._read(descriptor, now), self._limit, now)

    def _change(self, change: Callable[[Book, float], Book]) -> Budget:
        with self._open() as descriptor:
            now = self._clock()
            book = change(self._read(descriptor, now), now)
            self._write(descriptor, book)
            return budget.view(book, self._limit, now)

    @contextmanager
    def _open(self) -> Iterator[int]:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._path, flags, 0o600)
        try:
            # Held for microseconds, and only by who may write the file: waiting is no harm.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def _read(self, descriptor: int, now: float) -> Book:
        data = os.pread(descriptor, SIZE_MOST, 0)
        if not data:
            return Book()
        book = _decode(data)
        return budget.tidy(book, now) if book is not None else budget.full(self._limit, now)

    def _write(self, descriptor: int, book: Book) -> None:
        data = _encode(book)
        # One write beyond whatever was there; what is left of a longer text is cut off after it.
        # Between the two the first line is whole already, and only the first line is read.
        written = os.pwrite(descriptor, data, 0)
        if written != len(data):
            raise OSError(f"Failed to write '{self._path}': the disk is full")
        os.ftruncate(descriptor, len(data))


def _encode(book: Book) -> bytes:
    entries = [[entry.number, round(entry.ends_at, 3)] for entry in book.entries]
    content = json.dumps([book.last_number, round(book.blocked_until, 3), entries])
    return json.dumps([zlib.crc32(content.encode()), content]).encode() + b"\n"


def _decode(data: bytes) -> Book | None:
    """The book in *data*, None if it is damaged."""
    try:
        checksum, content = json.loads(data.partition(b"\n")[0])
        if zlib.crc32(content.encode()) != checksum:
            return None
        last_number, blocked_until, entries = json.loads(content)
        return Book(
            tuple(Entry(int(number), float(ends_at)) for number, ends_at in entries),
            float(blocked_until),
            int(last_number),
        )
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError):
        return None
