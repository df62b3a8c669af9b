"""The arithmetic of the request budget."""

from __future__ import annotations

from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rcnetd.store import budget
from rcnetd.store.budget import MAX_BLOCK, MAX_DEADLINE, SLOT_HELD, Budget, Entry, LedgerState

LIMIT = 18


def take(
    book: LedgerState, now: float, *, limit: int = LIMIT, reserve: int = 0
) -> LedgerState | None:
    """One more request of at most 10 s, from the book as a reader sees it at *now*."""
    return budget.take(budget.tidy(book, now), limit, now, deadline=10.0, reserve=reserve)


def test_a_request_under_way_counts_to_its_deadline_and_61_s_more() -> None:
    """A process that was killed gives its slot back only when its request is certainly over."""
    book = take(LedgerState(), 100.0)

    assert book is not None
    assert (10.0 + SLOT_HELD,) == budget.view(book, LIMIT, 100.0).free_in
    assert (0.5,) == budget.view(budget.tidy(book, 170.5), LIMIT, 170.5).free_in
    assert () == budget.tidy(book, 171.0).entries


def test_a_request_that_ended_counts_for_61_s_more() -> None:
    """The server's minute may have begun at any moment until then."""
    book = take(LedgerState(), 100.0)
    assert book is not None
    book = budget.end(book, book.last_number, 101.5)

    assert (SLOT_HELD,) == budget.view(book, LIMIT, 101.5).free_in
    assert 1 == len(budget.tidy(book, 162.4).entries)
    assert () == budget.tidy(book, 162.5).entries


@pytest.mark.parametrize("ended_at", [111.0, 1000.0])
def test_a_request_that_ended_too_late_counts_from_its_real_end(ended_at: float) -> None:
    """A machine that was paused in a request's midst did ask when it went on."""
    book = take(LedgerState(), 100.0)
    assert book is not None
    book = budget.end(budget.tidy(book, ended_at), book.last_number, ended_at)

    assert (SLOT_HELD,) == budget.view(book, LIMIT, ended_at).free_in


def test_the_end_of_one_request_leaves_the_others() -> None:
    """Only the slot that is given back changes."""
    one = take(LedgerState(), 100.0)
    assert one is not None
    two = take(one, 100.0)
    assert two is not None
    book = budget.end(two, one.last_number, 101.0)

    assert (SLOT_HELD, 9.0 + SLOT_HELD) == budget.view(book, LIMIT, 101.0).free_in


def test_the_view_is_sorted_and_counts() -> None:
    """`free_in` says when the next slot is free, and `used` how many are not."""
    book = LedgerState((Entry(1, 30.0), Entry(2, 10.0), Entry(3, 20.0)))
    seen = budget.view(book, LIMIT, 40.0)

    assert Budget(LIMIT, (31.0, 41.0, 51.0)) == seen
    assert 3 == seen.used


@pytest.mark.parametrize(("reserve", "granted"), [(0, 18), (4, 14), (18, 0)])
def test_no_more_than_the_budget_is_granted(reserve: int, granted: int) -> None:
    """A budget of 18 with 4 reserved grants 14."""
    book, count = LedgerState(), 0
    for _ in range(30):
        taken = take(book, 100.0, reserve=reserve)
        if taken is not None:
            book, count = taken, count + 1

    assert granted == count


def test_the_reserve_is_others_to_use() -> None:
    """What the daemon may not have is still there for rcnetctl."""
    book: LedgerState | None = LedgerState()
    for _ in range(14):
        assert book is not None
        book = take(book, 100.0, reserve=4)
    assert book is not None

    assert take(book, 100.0, reserve=4) is None
    assert take(book, 100.0) is not None


def test_a_block_stops_everyone_until_it_is_over() -> None:
    """After a 403 nobody asks, however empty the budget is."""
    book = budget.block(LedgerState(), 61.0, 100.0)

    assert Budget(LIMIT, (), 61.0) == budget.view(book, LIMIT, 100.0)
    assert take(book, 160.9) is None
    assert take(book, 161.0) is not None
    assert 0.0 == budget.view(book, LIMIT, 200.0).blocked_for


def test_of_two_blocks_the_longer_holds() -> None:
    """A second 403 without Retry-After does not shorten the first one's."""
    book = budget.block(budget.block(LedgerState(), 600.0, 100.0), 61.0, 101.0)

    assert 599.0 == budget.view(book, LIMIT, 101.0).blocked_for


def test_no_block_is_longer_than_an_hour() -> None:
    """A Retry-After of a year is no reason to be silent for a year."""
    book = budget.block(LedgerState(), 1e9, 100.0)

    assert MAX_BLOCK == budget.view(book, LIMIT, 100.0).blocked_for


@pytest.mark.parametrize("ahead", [MAX_DEADLINE + 0.1, 1e9, inf, nan])
def test_what_lies_too_far_ahead_is_from_another_boot(ahead: float) -> None:
    """On a disk that outlives a boot, the old boot's clock does not block the new one's."""
    book = LedgerState((Entry(1, 100.0 + ahead),), 100.0 + MAX_BLOCK + ahead, 1)

    assert LedgerState((), 0.0, 1) == budget.tidy(book, 100.0)


def test_what_may_be_true_stays() -> None:
    """The longest request and the longest block that are allowed are believed."""
    book = LedgerState((Entry(1, 100.0 + MAX_DEADLINE),), 100.0 + MAX_BLOCK, 1)

    assert book == budget.tidy(book, 100.0)


def test_a_book_that_grew_without_end_is_cut() -> None:
    """Of more entries than any budget has, the last ones count."""
    book = LedgerState(tuple(Entry(number, 100.0) for number in range(1000)))

    assert range(1000 - budget.MAX_ENTRIES, 1000) == range(
        budget.tidy(book, 100.0).entries[0].number, 1000
    )


def test_a_full_book_outlasts_every_request_that_may_be_under_way() -> None:
    """What was in a damaged ledger nobody knows, so the worst is assumed."""
    book = budget.full(LIMIT, 100.0)

    assert LIMIT == len(budget.tidy(book, 100.0).entries)
    assert take(book, 100.0 + MAX_DEADLINE + SLOT_HELD - 0.1) is None
    assert take(book, 100.0 + MAX_DEADLINE + SLOT_HELD) is not None


def test_numbers_are_not_given_again_after_a_loss() -> None:
    """The holder of a slot from a book that was lost ends nobody else's request."""
    old = take(LedgerState(), 100.0)
    new = take(LedgerState(), 100.5)
    again = take(budget.full(LIMIT, 100.0), 300.0)

    assert old is not None
    assert new is not None
    assert again is not None
    assert old.last_number < new.last_number < again.last_number


@pytest.mark.parametrize(("deadline", "reserve"), [(-1.0, 0), (MAX_DEADLINE + 1, 0), (1.0, -1)])
def test_a_request_longer_than_the_ledger_can_count_is_a_bug(deadline: float, reserve: int) -> None:
    """The deadline is what a killed process's slot is given back by: it must hold."""
    with pytest.raises(AssertionError):
        budget.take(LedgerState(), LIMIT, 0.0, deadline=deadline, reserve=reserve)


WAITS = st.one_of(
    st.just(0.0),
    st.floats(0.0, 12.0),
    st.just(None),  # until a slot is free, when the danger is greatest
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("take", "take", "end", "kill", "damage")),
        WAITS,
        st.integers(1, 30),  # how many
        st.sampled_from((0, 4)),
    ),
    max_size=30,
)


class Programs:
    """Programs that share a book, and what a server would see of them."""

    def __init__(self, limit: int) -> None:
        self.limit, self.now, self.book = limit, 1000.0, LedgerState()
        self.open: list[tuple[int, float]] = []  # number, start
        self.requests: list[tuple[float, float]] = []  # start, the latest moment of being seen

    def pass_time(self, wait: float | None) -> None:
        """Wait *wait* seconds, None: until a slot is free; nothing outlasts its deadline."""
        self.book = budget.tidy(self.book, self.now)
        free_in = budget.view(self.book, self.limit, self.now).free_in or (0.0,)
        wake_at = self.now + (free_in[0] if wait is None else wait)
        for number, start in [entry for entry in self.open if entry[1] + 10.0 <= wake_at]:
            self.now = start + 10.0
            self.end(number, start)
        self.now = wake_at
        self.book = budget.tidy(self.book, self.now)

    def take(self, count: int, reserve: int) -> None:
        """Send as many requests as the budget allows, at most *count*."""
        for _ in range(count):
            taken = budget.take(self.book, self.limit, self.now, deadline=10.0, reserve=reserve)
            if taken is None:
                return
            self.book = taken
            self.open.append((taken.last_number, self.now))

    def end(self, number: int, start: float) -> None:
        """A request ended and was given back."""
        self.open.remove((number, start))
        self.book = budget.end(budget.tidy(self.book, self.now), number, self.now)
        self.requests.append((start, self.now))

    def kill(self, count: int) -> None:
        """The last *count* programs died; the server may see what they sent until its deadline."""
        for _, start in self.open[-count:]:
            self.requests.append((start, start + 10.0))
        del self.open[-count:]

    def most_in_a_minute(self) -> int:
        """The most requests that were under way at some moment of any window of 60 s."""
        self.kill(len(self.open))
        # A window that ends where a request starts is the fullest around there.
        return max(
            (
                sum(start <= at and end > at - 60.0 for start, end in self.requests)
                for at, _ in self.requests
            ),
            default=0,
        )


@settings(max_examples=200, deadline=None)
@given(limit=st.integers(5, 30), steps=STEPS)
def test_no_sixty_seconds_see_more_than_the_budget(
    limit: int, steps: list[tuple[str, float | None, int, int]]
) -> None:
    """However programs take, end, die and damage: never more than the budget within any 60 s."""
    programs = Programs(limit)
    for what, wait, count, reserve in steps:
        programs.pass_time(wait)
        if what == "take":
            programs.take(count, reserve)
        elif what == "end":
            for number, start in programs.open[:count]:
                programs.end(number, start)
        elif what == "kill":
            programs.kill(count)
        else:
            programs.book = budget.full(limit, programs.now)

    assert programs.most_in_a_minute() <= limit


def test_a_request_that_was_never_sent_gives_its_slot_back() -> None:
    """As if it had not been taken; the numbers go on."""
    taken = take(LedgerState(), 100.0)
    assert taken is not None
    given = budget.give_back(taken, taken.last_number)

    assert () == given.entries
    assert taken.last_number == given.last_number
