"""How far a wait is: counts, rate and the time left. Pure; the time is an argument."""

from __future__ import annotations

from collections import deque

from rcnetd.basic.text import duration
from rcnetd.fleet.gate import Goal
from rcnetd.fleet.servers import Automation, Counts

RATE_WINDOW = 600.0  # seconds over which the rate is taken
MIN_SPAN = 20.0  # seconds before a rate is told


class Progress:
    """Remembers how many servers were DEPLOYED when."""

    def __init__(self, goal: Goal, end: float) -> None:
        self.goal, self.end = goal, end
        self.counts = Counts({})
        self._history: deque[tuple[float, int]] = deque()

    def update(self, counts: Counts, now: float) -> None:
        """Take in new numbers."""
        self.counts = counts
        self._history.append((now, counts[Automation.DEPLOYED]))
        while len(self._history) > 2 and self._history[0][0] < now - RATE_WINDOW:
            self._history.popleft()

    def rate(self, now: float) -> float | None:
        """Servers that become DEPLOYED in a minute; None while nothing can be told."""
        if not self._history:
            return None
        (first, before), (_, deployed) = self._history[0], self._history[-1]
        if now - first < MIN_SPAN or deployed <= before:
            return None
        return (deployed - before) / (now - first) * 60

    @property
    def done(self) -> int:
        """How many servers are DEPLOYED."""
        return self.counts[Automation.DEPLOYED]

    @property
    def needed(self) -> int:
        """How many have to be."""
        return self.goal.share.of(self.goal.counted(self.counts))

    def expectation(self, now: float) -> str:
        """The rate, the expected end, and the time until the timeout."""
        parts, rate = [], self.rate(now)
        if rate is not None:
            parts.append(f"{rate:.0f}/min" if rate >= 2 else f"{rate:.1f}/min")
            parts.append(f"about {duration((self.needed - self.done) / rate * 60)} more")
        return ", ".join([*parts, f"timeout in {duration(self.end - now)}"])

    def line(self, now: float) -> str:
        """All of it in one line."""
        share = f" ({self.done * 100 // self.needed}%)" if self.needed else ""
        return (
            f"{self.done} of {self.needed} DEPLOYED{share}; {self.counts}; {self.expectation(now)}"
        )
