"""A day after READY: asked every 15 minutes, nothing said, nothing that grows."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from rcnetd.core.model import Operation
from rcnetd.core.states import State
from tests.support.playbook import ASSIGNED, DEPLOYED, MANAGED, Playbook, boot

pytestmark = pytest.mark.long

HOUR = 3600.0


def live(book: Playbook, hours: int) -> int:
    """Let so many hours pass, with an answer to each request; how many were asked."""
    asked = 0
    end = book.now + hours * HOUR
    while book.now < end:
        book.actions.clear()
        book.wait(60)
        for operation in book.asked:
            assert Operation.GATEWAY is operation
            asked += 1
            book.tell(ASSIGNED)
    book.actions.clear()
    return asked


def test_a_day_after_ready() -> None:
    """24 hours: 96 requests, no line in the log, no memory kept."""
    book = boot(MANAGED, ASSIGNED, DEPLOYED)
    live(book, 6)  # whatever is made once is made
    book.said.clear()
    tracemalloc.start()
    try:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        asked = live(book, 24)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert 95 <= asked <= 97
    assert [] == book.said
    assert State.READY is book.machine.state
    assert grown < 20_000, f"{grown} bytes"
