"""The request budget: which requests count, and whether one more may go out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rcnetd.budget import (
    BLOCK_MOST,
    DEADLINE_MOST,
    ENTRIES_MOST,
    SLOT_HELD,
    Book,
    Budget,
    Entry,
    block,
    end,
    full,
    take,
    tidy,
    view,
)


def taken(book: Book, count: int, now: float = 0.0, limit: int = 18) -> Book:
    """A book with *count* more requests, each ended at once."""
    for _ in range(count):
        more = take(book, limit, now, deadline=12.0, reserve=0)
        assert more is not None
        book = end(more, more.last_number, now)
    return book


def test_a_slot_is_free_again_61_seconds_after_its_end() -> None:
    """The server counts the request somewhere between its start and its end."""
    book = take(Book(), 18, 0.0, deadline=12.0, reserve=0)
    assert book is not None
    assert view(book, 18, 0.0).free_in == (12.0 + SLOT_HELD,)

    book = end(book, 1, 5.0)

    assert view(book, 18, 5.0).free_in == (SLOT_HELD,)
    assert tidy(book, 5.0 + SLOT_HELD - 0.1).entries
    assert not tidy(book, 5.0 + SLOT_HELD).entries


def test_a_request_that_is_never_ended_ends_at_its_deadline() -> None:
    """A process that was killed does not hold its slot for ever; nor can it end later."""
    book = take(Book(), 18, 0.0, deadline=12.0, reserve=0)
    assert book is not None

    assert not tidy(book, 12.0 + SLOT_HELD).entries
    assert end(book, 1, 99.0).entries == (Entry(1, 12.0),)
    assert end(book, 7, 1.0) == book


def test_the_reserve_is_left_to_others() -> None:
    """The daemon gets 14 of 18 slots, rcnetctl the rest, and then nobody any."""
    book = taken(Book(), 14)

    assert take(book, 18, 0.0, deadline=12.0, reserve=4) is None
    book = taken(book, 4)
    assert take(book, 18, 0.0, deadline=12.0, reserve=0) is None
    assert view(book, 18, 0.0).used == 18


def test_a_block_stops_everybody_and_is_bounded() -> None:
    """After a 403 there is no slot until the window has passed; a longer block stays."""
    book = block(Book(), 61.0, 10.0)

    assert take(tidy(book, 70.9), 18, 70.9, deadline=1.0, reserve=0) is None
    assert take(tidy(book, 71.0), 18, 71.0, deadline=1.0, reserve=0) is not None
    assert view(book, 18, 20.0).blocked_for == 51.0
    assert view(book, 18, 99.0).blocked_for == 0.0
    assert block(book, 5.0, 10.0) == book
    assert block(Book(), 1e9, 0.0).blocked_until == BLOCK_MOST


def test_what_cannot_be_true_is_dropped() -> None:
    """A ledger of another boot, on a disk, has points in time that are far ahead."""
    book = Book((Entry(1, 1e6), Entry(2, 5.0)), blocked_until=1e6, last_number=2)

    assert tidy(book, 10.0) == Book((Entry(2, 5.0),), 0.0, 2)


def test_the_book_is_bounded() -> None:
    """However many entries a file claims, only the last ones are looked at."""
    many = Book(tuple(Entry(number, 0.0) for number in range(1000)), 0.0, 1000)

    assert len(tidy(many, 1.0).entries) == ENTRIES_MOST


def test_a_deadline_is_bounded() -> None:
    """No request holds a slot longer than any request can last."""
    book = take(Book(), 18, 0.0, deadline=1e9, reserve=0)
    assert book is not None
    assert tidy(book, 0.0) == book
    assert book.entries[0].ends_at == DEADLINE_MOST


def test_a_damaged_ledger_counts_as_used_up_just_now() -> None:
    """Never over the budget, whatever happened to the file; a minute later all is well."""
    book = full(18, 100.0)

    assert take(tidy(book, 100.0), 18, 100.0, deadline=1.0, reserve=0) is None
    assert view(tidy(book, 161.0), 18, 161.0) == Budget(18)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0.0, 15.0),  # seconds until the next event
            st.floats(0.0, 12.0),  # how long this request takes
            st.booleans(),  # whether its process is killed before it ends
            st.integers(0, 4),  # the reserve that it leaves
        ),
        min_size=30,
        max_size=120,
    ),
    st.integers(5, 30),
)
def test_never_more_than_the_limit_in_any_minute(
    steps: list[tuple[float, float, bool, int]], limit: int
) -> None:
    """However requests, crashes and reserves mix: in any 60 s at most *limit* are under way."""
    book, now = Book(), 0.0
    spans: list[tuple[float, float]] = []
    open_ones: list[tuple[float, int]] = []
    for pause, takes, killed, reserve in steps:
        now += pause
        for ends_at, number in [one for one in open_ones if one[0] <= now]:
            book = end(tidy(book, ends_at), number, ends_at)
            open_ones.remove((ends_at, number))
        book = tidy(book, now)
        more = take(book, limit, now, deadline=12.0, reserve=reserve)
        if more is None:
            continue
        book = more
        spans.append((now, now + takes))
        if not killed:
            open_ones.append((now + takes, book.last_number))
    for begin in [end_ for _, end_ in spans]:
        # The server may have counted each anywhere in its span.
        inside = [span for span in spans if span[1] >= begin and span[0] < begin + 60.0]
        assert len(inside) <= limit


@pytest.mark.parametrize("reserve", [0, 4])
def test_a_burst_gets_as_many_as_there_are(reserve: int) -> None:
    """No slot is lost either."""
    book, count = Book(), 0
    while True:
        more = take(book, 18, 0.0, deadline=1.0, reserve=reserve)
        if more is None:
            break
        book, count = more, count + 1
    assert count == 18 - reserve
