"""When the next request is due: even polls, backoff, the window after a 403. Pure.

"There is a limit of 30 requests per minute from each of your cloud servers. If you exceed the
number of allowed requests per minute, you will receive an HTTP 403 (Forbidden) response code. The
counter resets each minute." (the API page). The ledger (`store/ledger.py`) is what never lets the
budget be exceeded; the pacer spreads the requests so that the ledger seldom has to say no.
"""

from __future__ import annotations

from collections.abc import Callable

RESERVED = 4  # slots of the budget that are rcnetctl's
WINDOW = 61.0  # seconds: the server's minute has certainly passed, wherever in it we were
FIRST_BACKOFF = 1.0  # seconds
MAX_BACKOFF = 30.0  # seconds
MAX_START_OVERS = 8.0  # requests in a row that start over because their way has changed


class Pacer:
    """Spaces the daemon's requests.

    *limit* is `requests_per_minute`; *jitter* returns numbers in [0, 1) and keeps the servers of
    one image, which boot together, from asking in step.
    """

    def __init__(self, limit: int, jitter: Callable[[], float]) -> None:
        self.limit_to(limit)
        self.failures = 0
        self._jitter = jitter
        self._phase = jitter()  # where in an interval this server's polls are
        self._rested = 0.0  # the long interval that the last request was asked at
        self._sent_at = -WINDOW
        self._turn_at = -WINDOW  # where the next evenly spaced poll belongs
        self._retry_at = 0.0  # the end of a backoff
        self._silent_until = 0.0  # the end of the silence after a 403
        self._start_overs, self._start_over_at = MAX_START_OVERS, 0.0
        self._busy_until: tuple[float, ...] = ()  # when each used slot is free again

    def limit_to(self, limit: int) -> None:
        """Keep to another limit from now on."""
        self.limit = limit
        self.interval = 60.0 / (limit - RESERVED)

    def sent(self, now: float, interval: float = 0.0) -> None:
        """Note that a request goes out at *now*; *interval* is that of `due_at`."""
        spacing = self._spacing(now)
        if 0 <= now - self._turn_at < self.interval:
            # From turn to turn, not from answer to answer: a slow answer does not stretch the poll.
            self._turn_at += spacing
        else:
            # Out of turn, as the first requests of a boot: other servers do the same just now.
            self._turn_at = now + spacing * self._phase
        self._sent_at, self._rested = now, interval

    def succeeded(self) -> None:
        """Note that a request was answered as the API page says."""
        self.failures = 0

    def failed(self, now: float, retry_after: float | None = None) -> float:
        """Note a failed request; the next is 1, 2, 4 … 30 s away, jittered. Returns that delay.

        *retry_after* is the least delay that the answer asks for (RFC 9110, 10.2.3).
        """
        delay = min(FIRST_BACKOFF * 2.0**self.failures, MAX_BACKOFF)
        delay = max(delay * (0.5 + self._jitter() / 2), retry_after or 0.0)
        self.failures = min(self.failures + 1, 10)
        self._retry_at = now + delay
        return delay

    def limited(self, now: float, retry_after: float | None) -> float:
        """Note a 403: silence until the window has certainly passed. Returns for how long."""
        delay = max(WINDOW, retry_after or 0.0)
        self._silent_until = max(self._silent_until, now + delay)
        return delay

    def refused(self, now: float) -> None:
        """Note that the ledger gave no slot although one seemed free: others were quicker."""
        self._silent_until = max(self._silent_until, now + 1.0)

    def may_start_over(self, now: float) -> bool:
        """Whether a request may start over at once: some in a row, then one a second."""
        elapsed = max(0.0, now - self._start_over_at)
        self._start_overs = min(self._start_overs + elapsed, MAX_START_OVERS)
        self._start_over_at = now
        if self._start_overs < 1:
            return False
        self._start_overs -= 1
        return True

    def reset_backoff(self) -> None:
        """Forget failures: ServiceNet is back, what failed before says nothing of now."""
        self.failures = 0

    def budget_observed(self, now: float, free_in: tuple[float, ...], blocked_for: float) -> None:
        """Take in the ledger's view: when used slots are free again, and a 403 of others."""
        self._busy_until = tuple(sorted(now + seconds for seconds in free_in))
        if blocked_for:
            self._silent_until = max(self._silent_until, now + blocked_for)

    def used(self, now: float) -> int:
        """How many slots of the budget are in use."""
        return len(self._busy(now))

    def due_at(self, now: float, *, urgent: bool = False, interval: float = 0.0) -> float:
        """When the next request may go out.

        *urgent* is the first request for something new: it need not await its turn. *interval*
        asks for a longer spacing than the budget's, in seconds; the first such spacing is shorter
        by up to half, since other servers begin it just now, too.
        """
        share = 1.0 if interval == self._rested else 0.5 + self._phase / 2
        rested_at = self._sent_at + interval * share
        turn = max(self._turn_at, rested_at)
        if self.failures:
            turn = max(self._retry_at, rested_at)
        elif urgent:
            turn = now
        return max(turn, self._silent_until, self._slot_free_at(now))

    def _busy(self, now: float) -> list[float]:
        return [free_at for free_at in self._busy_until if free_at > now]

    def _slot_free_at(self, now: float) -> float:
        busy = self._busy(now)
        excess = len(busy) - (self.limit - RESERVED)
        return busy[excess] if excess >= 0 else now

    def _spacing(self, now: float) -> float:
        """60/(budget - 4) s; more when slots went faster than that, to spread what is left."""
        busy = self._busy(now)
        free = self.limit - RESERVED - len(busy)
        if not busy or free <= 0:
            return self.interval
        return max(self.interval, (busy[0] - now) / free)
