"""The request budget: which requests still count, and whether one more may go out. Pure.

A request counts from its start until 61 s after its end: the server counts it somewhere between
the two, in a minute whose beginning nobody knows.
"""

from __future__ import annotations

from rcnetd.basic.dataclass import dataclass

SLOT_HELD = 61.0  # seconds after its end for which a request still counts
MAX_ENTRIES = 64  # more than any budget; a ledger with more is not ours
MAX_DEADLINE = 60.0  # seconds: no request is allowed to last longer
MAX_BLOCK = 3600.0  # seconds: no 403 silences longer


@dataclass(frozen=True)
class Entry:
    """One request: its *number*, and when it has ended, at the latest if it is under way."""

    number: int
    ends_at: float


@dataclass(frozen=True)
class LedgerState:
    """The ledger's content. Points in time are CLOCK_BOOTTIME seconds."""

    entries: tuple[Entry, ...] = ()
    blocked_until: float = 0.0
    last_number: int = 0


@dataclass(frozen=True)
class Budget:
    """The ledger as seen at one moment.

    *free_in* has, sorted, the seconds until each used slot is free again; *blocked_for* the
    seconds until a 403 is over.
    """

    limit: int
    free_in: tuple[float, ...] = ()
    blocked_for: float = 0.0

    @property
    def used(self) -> int:
        """How many slots are in use."""
        return len(self.free_in)


def tidy(book: LedgerState, now: float) -> LedgerState:
    """The book without what no longer counts, and without what cannot be true.

    Points in time too far ahead are another boot's (the file lies on a disk).
    """
    return LedgerState(
        entries=tuple(
            entry
            for entry in book.entries[-MAX_ENTRIES:]
            if now < entry.ends_at + SLOT_HELD <= now + MAX_DEADLINE + SLOT_HELD
        ),
        blocked_until=book.blocked_until if book.blocked_until <= now + MAX_BLOCK else 0.0,
        last_number=book.last_number,
    )


def view(book: LedgerState, limit: int, now: float) -> Budget:
    """The budget as it stands; *book* is tidy."""
    free_in = tuple(sorted(entry.ends_at + SLOT_HELD - now for entry in book.entries))
    return Budget(limit, free_in, max(0.0, book.blocked_until - now))


def take(
    book: LedgerState, limit: int, now: float, *, deadline: float, reserve: int
) -> LedgerState | None:
    """The book with one more request, which ends within *deadline* seconds; None without a slot.

    *reserve* slots are left to others; *deadline* is at most `MAX_DEADLINE`. *book* is tidy.
    """
    assert 0 <= deadline <= MAX_DEADLINE
    assert reserve >= 0
    if now < book.blocked_until or len(book.entries) >= limit - reserve:
        return None
    # The clock in the number: a book begun anew never gives a number again that another program
    # still holds from the one before.
    number = max(book.last_number + 1, int(now * 1_000_000))
    return LedgerState((*book.entries, Entry(number, now + deadline)), book.blocked_until, number)


def end(book: LedgerState, number: int, now: float) -> LedgerState:
    """The book in which request *number* has ended now, even if that is later than it should."""
    others = tuple(entry for entry in book.entries if entry.number != number)
    return LedgerState((*others, Entry(number, now)), book.blocked_until, book.last_number)


def give_back(book: LedgerState, number: int) -> LedgerState:
    """The book in which request *number* was never sent."""
    others = tuple(entry for entry in book.entries if entry.number != number)
    return LedgerState(others, book.blocked_until, book.last_number)


def block(book: LedgerState, seconds: float, now: float) -> LedgerState:
    """The book in which nobody asks for *seconds*; an earlier, longer block stays."""
    until = max(book.blocked_until, now + min(seconds, MAX_BLOCK))
    return LedgerState(book.entries, until, book.last_number)


def full(limit: int, now: float) -> LedgerState:
    """A book in which everything is under way: what a damaged ledger is taken for.

    Of the requests in it nobody knows, so each may still take as long as any may.
    """
    entries = tuple(Entry(number, now + MAX_DEADLINE) for number in range(1, limit + 1))
    return LedgerState(entries, last_number=limit)
