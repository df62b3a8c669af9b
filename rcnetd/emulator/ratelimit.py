"""The rate limit of the API page, pure.

"There is a limit of 30 requests per minute from each of your cloud servers. … The counter resets
each minute." Read as a fixed window: the count of a source address begins anew when the server's
clock begins a new minute. Every request counts, whatever its answer, a 403 too.
"""

from __future__ import annotations

WINDOW = 60.0  # seconds
MAX_SOURCES = 65536


class RateLimit:
    """Counts requests by source. *phase* is how far the first minute is when time begins."""

    def __init__(self, limit: int = 30, phase: float = 0.0) -> None:
        self._limit, self._phase = limit, phase
        self._window = -1
        self._counts: dict[str, int] = {}

    def count(self, source: str, now: float) -> int:
        """Count one request at *now* (seconds since the start); returns its number."""
        window = int((now + self._phase) // WINDOW)
        if window != self._window or len(self._counts) > MAX_SOURCES:
            self._window, self._counts = window, {}
        self._counts[source] = self._counts.get(source, 0) + 1
        return self._counts[source]

    def is_exceeded(self, count: int) -> bool:
        """Whether the request of this number gets a 403."""
        return count > self._limit
