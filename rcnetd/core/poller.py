"""When the API is asked: one request at a time, paced, started over when its way has changed. Pure.

`polling.py` says which operation comes next, `pacing.py` when there is room for it; here is what
is on its way, and what came of it.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address
from math import inf

from rcnetd.core.actions import (
    AbandonRequest,
    Action,
    Fetch,
    HoldRequests,
    Log,
    ReleaseFetcher,
    RestartRequest,
)
from rcnetd.core.events import Answered, RateLimited, RequestFailed
from rcnetd.core.facts import Facts
from rcnetd.core.model import Operation
from rcnetd.core.pacing import Pacer
from rcnetd.core.polling import next_operation
from rcnetd.core.servicenet import ServiceNet
from rcnetd.core.snapshot import Requests
from rcnetd.core.states import State

REQUEST_TIMEOUT = 10.0  # seconds for one request, all in all, without looking up the name
FETCHER_IDLE_DELAY = 60.0  # seconds without a request for which the fetcher is not kept


class Poller:
    """Sends the requests of one machine. *jitter* gives numbers in [0, 1)."""

    def __init__(self, limit: int, jitter: Callable[[], float]) -> None:
        self.pacer = Pacer(limit, jitter)
        self.in_flight: Operation | None = None
        self.next_at = inf
        # Each operation counts by itself: how its last request failed, in the order of failing.
        self._failures: dict[Operation, RequestFailed | RateLimited] = {}
        self._asked_at: dict[Operation, float] = {}
        self._urgent = False  # something new is wanted: its first request need not await its turn
        self._at_once = False  # what failed can succeed now: nothing is awaited at all
        self._released = False
        self._sent_from: tuple[IPv4Address, int] | None = None  # what is on its way

    @property
    def last_failure(self) -> RequestFailed | RateLimited | None:
        """The latest failure of an operation that has not been answered since."""
        return next(reversed(list(self._failures.values())), None)

    def snapshot(self, now: float) -> Requests:
        """What there is to show at *now*."""
        return Requests(
            self.pacer.limit, self.pacer.used(now), self.in_flight, self.next_at, self.last_failure
        )

    def hurry(self) -> None:
        """Something new is wanted: ask soon, whatever failed before."""
        self._urgent = True

    def reset_backoff(self) -> None:
        """ServiceNet is there, or another address: what failed before says nothing of now."""
        self.pacer.reset_backoff()
        self._urgent = True

    def start_over(self, now: float) -> list[Action]:
        """What a request depends on has changed: do what failed, or has no connection yet, again.

        Bounded: a network that changes all the time does not make requests of every change.
        """
        if self.in_flight is None and not self.pacer.failures:
            return []
        if not self.pacer.may_start_over(now):
            return []
        if self.in_flight is not None:
            return [RestartRequest()]
        self.pacer.reset_backoff()
        self._at_once = True
        return []

    def moved(self, servicenet: ServiceNet) -> list[Action]:
        """ServiceNet is *servicenet*: no answer comes to what was sent from elsewhere."""
        if self.in_flight is None or self._sent_from == _source(servicenet):
            return []
        self._asked_at.pop(self.in_flight, None)
        self.in_flight = None
        return [AbandonRequest()]

    def reconfigured(self, limit: int) -> None:
        """The settings are others: what was on its way is not any more, and all is asked again."""
        self.pacer.limit_to(limit)
        self.in_flight, self._urgent = None, True
        self._asked_at.clear()

    def refused(self, operation: Operation, now: float) -> None:
        """The ledger gave no slot: nothing was sent, and whoever waited for it still does."""
        self._asked_at.pop(operation, None)
        self.in_flight = None
        self.pacer.refused(now)

    def answered(self, event: Answered, state: State, facts: Facts, now: float) -> list[Action]:
        """Note how the request has ended; the log says a failure once."""
        self.in_flight = None
        if isinstance(event, RequestFailed):
            self.pacer.failed(now, event.retry_after)
            wanted = next_operation(state, facts, self._asked_at, now)
            # Once READY, the next time is the next recheck, not the end of the backoff.
            delay = self.pacer.due_at(now, interval=wanted[1] if wanted else 0.0) - now
            return self._log_failure(event, f"{event.reason}, retrying in {_words(delay)}")
        if isinstance(event, RateLimited):
            delay = self.pacer.limited(now, event.retry_after)
            text = f"the API's rate limit is reached, silent for {delay:.0f} s"
            return [HoldRequests(delay), *self._log_failure(event, text)]
        self.pacer.succeeded()
        if self._failures.pop(event.operation, None) is None:
            return []
        what = "the API" if not self._failures else f"'{event.operation.value}'"
        return [Log("info", f"{what} answers again")]

    def _log_failure(self, event: RequestFailed | RateLimited, text: str) -> list[Action]:
        before = self._failures.pop(event.operation, None)
        is_known = any(_is_alike(event, one) for one in (before, *self._failures.values()))
        self._failures[event.operation] = event
        level = "debug" if is_known else "warning"
        return [Log(level, f"Failed to ask '{event.operation.value}': {text}")]

    def poll(self, state: State, facts: Facts, now: float) -> list[Action]:
        """Send the next request if it is due; else know when it will be."""
        self.next_at = inf
        if self.in_flight is not None or state is State.STOPPED:
            return []
        wanted = next_operation(state, facts, self._asked_at, now)
        if wanted is not None and facts.servicenet is not None:
            operation, interval = wanted
            asked_at = self._asked_at.get(operation, -inf)
            urgent = interval == 0 and (
                self._at_once
                or asked_at == -inf
                or (self._urgent and now - asked_at >= self.pacer.interval)
            )
            self.next_at = self.pacer.due_at(now, urgent=urgent, interval=interval)
            if now >= self.next_at:
                return [self._fetch(operation, interval, facts, now)]
        # While ServiceNet is awaited the next request may be due any moment: the fetcher stays.
        is_idle = state is not State.WAITING_FOR_SERVICENET
        if is_idle and self.next_at > now + FETCHER_IDLE_DELAY and not self._released:
            self._released = True
            return [ReleaseFetcher()]
        return []

    def _fetch(self, operation: Operation, interval: float, facts: Facts, now: float) -> Fetch:
        assert facts.servicenet is not None
        self._urgent = self._at_once = self._released = False
        self.pacer.sent(now, interval)
        self._asked_at[operation] = now
        self.in_flight, self.next_at = operation, inf
        source, device = facts.servicenet.address.ip, facts.servicenet.link.name
        self._sent_from = _source(facts.servicenet)
        address = facts.api.proven if now < facts.api.resolve_at else None
        return Fetch(operation, source, device, REQUEST_TIMEOUT, address)


def _source(servicenet: ServiceNet) -> tuple[IPv4Address, int]:
    return servicenet.address.ip, servicenet.link.ifindex


def _words(delay: float) -> str:
    return f"{delay:.1f} s" if delay < 100 else f"{delay / 60:.0f} min"


def _is_alike(one: RequestFailed | RateLimited, other: RequestFailed | RateLimited | None) -> bool:
    """Whether a second line about it would say nothing new."""
    if isinstance(one, RequestFailed) and isinstance(other, RequestFailed):
        return one.reason == other.reason
    return type(one) is type(other)
