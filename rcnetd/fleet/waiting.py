"""`--wait`: lists at an interval until it is decided, by a full list at the end."""

from __future__ import annotations

import os
from collections.abc import Callable
from math import inf
from typing import Protocol

from rcnetd.fleet.collect import Collector
from rcnetd.fleet.gate import Goal, Verdict, evaluate, pending
from rcnetd.fleet.progress import Progress
from rcnetd.fleet.servers import count

JITTER = 0.2  # share of the interval by which it varies, so that clients do not fall into step


class View(Protocol):
    """What is shown meanwhile; it is drawn again every *redraw* seconds."""

    redraw: float

    def show(self, progress: Progress, collector: Collector, now: float) -> None:
        """Show how far it is."""


def judge(collector: Collector, goal: Goal) -> Verdict | None:
    """How it ends with what is known; None while it is open."""
    return evaluate(collector.counts(), goal, complete=not collector.troubles())


def wait(
    collector: Collector,
    goal: Goal,
    view: View,
    *,
    end: float,
    interval: float,
    clock: Callable[[], float],
    jitter: Callable[[], float],
) -> Verdict:
    """Ask until it is decided, reached or no longer possible; at the latest until *end*.

    Success takes an answer from every region, and the end takes a full list from every region that
    answers: RackConnect changes the access address, and the removal of a metadata key is not
    reported as a change.
    """
    progress, next_at, verdict = Progress(goal, end), -inf, None
    while True:
        now = clock()
        if verdict and collector.is_all_full():
            return verdict
        if now >= end:
            return verdict if verdict and verdict.code else _too_late(collector)
        if verdict:
            collector.start_final()
        elif now >= next_at:
            collector.start()
            next_at = now + interval * (1 + JITTER * (jitter() - 0.5))
        if collector.wait(min(end, now + view.redraw, inf if verdict else next_at)):
            verdict = judge(collector, goal)
            if verdict is None and is_hopeless(collector, goal):
                return Verdict(os.EX_TEMPFAIL)
            progress.update(collector.counts(), clock())
        view.show(progress, collector, clock())


def is_hopeless(collector: Collector, goal: Goal) -> bool:
    """Whether a failure that will not pass keeps the wait open, and nothing else does."""
    troubles = collector.troubles()
    if not troubles or any(one.failure.transient for one in troubles):
        return False
    alive = (one for watch in collector.alive() for one in watch.servers.values())
    return not pending(count(alive), goal)


def _too_late(collector: Collector) -> Verdict:
    return Verdict(os.EX_TEMPFAIL, f"not in time: {collector.counts()}")
