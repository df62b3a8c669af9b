"""Repairs that repeat themselves: a fight for the default route, and losses in a row. Pure values.

A loss is always repaired at once. A *fight* is a foreign route that wins again within 2 s of each
repair, more than five times in a row: then two programs take the route from each other as fast as
they can, and ours waits between two repairs.
"""

from __future__ import annotations

from math import inf

from rcnetd.basic.dataclass import dataclass, replace

WINDOW = 2.0  # seconds: a takeover that comes so soon after a repair continues the row
MAX_TAKEOVERS = 5  # in a row; one more is a fight
PAUSE = 10.0  # seconds between repairs while a fight lasts
FIRST_SILENCE, MAX_SILENCE = 1.0, 60.0  # seconds between lines about losses that repeat
MAX_REPEATED = 64  # more keys at once are news, not repetitions


@dataclass(frozen=True)
class Fight:
    """How often the route was taken over in a row, and when it was taken back last."""

    takeovers: int = 0
    repaired_at: float = -inf
    is_declared: bool = False

    def takeover(self, now: float) -> tuple[Fight, bool]:
        """Note a foreign route that wins at *now*; True if it may be removed at once."""
        since = now - self.repaired_at
        in_row = min(self.takeovers + 1, 100) if since <= WINDOW else 0
        still_on = self.is_declared and since <= PAUSE + WINDOW
        declared = still_on or in_row > MAX_TAKEOVERS
        at = now if not declared or since >= PAUSE else self.repaired_at
        return Fight(in_row, at, declared), at >= now

    def is_on(self, now: float) -> bool:
        """Whether the fight still lasts."""
        return self.is_declared and now - self.repaired_at <= PAUSE + WINDOW

    @property
    def repair_at(self) -> float:
        """When the next repair is due while the fight lasts."""
        return self.repaired_at + PAUSE


@dataclass(frozen=True)
class Losses:
    """Which losses have been logged: the first, then at growing intervals how many there were."""

    unsaid: int = 0
    silence: float = 0.0
    said_at: float = -inf

    def loss(self, now: float) -> tuple[Losses, int | None]:
        """Note a loss; how many before it were not logged if this one is, None if it is not."""
        quiet = now - self.said_at
        if quiet > 2 * max(self.silence, FIRST_SILENCE):
            return Losses(0, FIRST_SILENCE, now), 0
        if quiet < self.silence:
            return replace(self, unsaid=self.unsaid + 1), None
        return Losses(0, min(2 * self.silence, MAX_SILENCE), now), self.unsaid


class Repeats:
    """Which repeated events are noted: of each key the first, then fewer and fewer."""

    def __init__(self) -> None:
        self._losses: dict[str, Losses] = {}

    def is_noted(self, key: str, now: float) -> bool:
        """Count an event of *key*; whether it is to be noted."""
        if len(self._losses) >= MAX_REPEATED:
            self._losses.clear()
        self._losses[key], unsaid = self._losses.get(key, Losses()).loss(now)
        return unsaid is not None
