"""The daemon's requests: a slot of the budget for each, the fetcher that sends it, its answer."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from rcnetd.core.actions import Fetch
from rcnetd.core.events import Answered, BudgetObserved, Event, NoSlot, RequestFailed
from rcnetd.core.pacing import RESERVED
from rcnetd.core.settings import Settings
from rcnetd.daemon.metrics import Tally
from rcnetd.daemon.status import answer_fields
from rcnetd.fetcher.fetcher import RESOLVE_TIMEOUT, Fetcher
from rcnetd.fetcher.protocol import Confined
from rcnetd.store.budget import Budget
from rcnetd.store.ledger import Ledger, PrivateLedger, Slot
from rcnetd.store.paths import Paths
from rcnetd.store.timeline import Timeline

KILL_DELAY = 2.0  # seconds past its own time limit after which the fetcher is killed


class Requests:
    """One request at a time. *complain* is told of a ledger that cannot be used, *tally* counts.

    Select on `fileno`, call `receive` when it is readable, and `expire` when `deadline_at` has
    come.
    """

    def __init__(
        self,
        paths: Paths,
        settings: Settings,
        fetcher: Fetcher,
        timeline: Timeline,
        complain: Callable[[Any, OSError], None],
        tally: Tally,
    ) -> None:
        self.answers: dict[str, dict[str, Any]] = {}  # the last one to each operation
        self._paths = paths
        self._limit = settings.requests_per_minute
        self._ledger = Ledger(paths.requests, self._limit)
        self._fetcher = fetcher
        self._timeline = timeline
        self._complain = complain
        self._tally = tally
        self._slot: Slot | None = None
        self._sent_at = 0.0

    @property
    def deadline_at(self) -> float | None:
        """When the request on its way has to be over; None without one."""
        return self._fetcher.deadline_at

    @property
    def confinement(self) -> Confined | None:
        """By what the kernel confines the fetcher; None before it has said so."""
        return self._fetcher.confinement

    def fileno(self) -> int | None:
        """The descriptor to select on; None without a fetcher."""
        return self._fetcher.fileno()

    def fetch(self, action: Fetch) -> list[Event]:
        """Send a request if the budget has a slot for it."""
        deadline = action.timeout + KILL_DELAY
        # The ledger's is for a daemon that is killed meanwhile.
        last = deadline + RESOLVE_TIMEOUT
        slot, budget = self._use(lambda: self._ledger.take(deadline=last, reserve=RESERVED))
        observed = _budget_observed(budget)
        if slot is None:
            return [observed, NoSlot(action.operation)]
        self._slot, self._sent_at = slot, time.monotonic()
        self._fetcher.submit(
            action.operation,
            source=action.source,
            device=action.device,
            address=action.address,
            timeout=action.timeout,
            deadline_at=self._sent_at + deadline,
        )
        self._timeline.add(self._sent_at, "request", operation=action.operation.value)
        return [observed]

    def restart(self) -> None:
        """Start the request over if it has no connection yet."""
        self._fetcher.restart()

    def abandon(self) -> list[Event]:
        """Give up the request on its way; the next one finds a process that loads."""
        seen = self._fetcher.has_connection
        self._fetcher.close()
        self._fetcher.start()
        return self._settle(seen=seen)

    def receive(self) -> tuple[Answered | None, list[Event]]:
        """What the fetcher has to say: the answer, if it is whole, and what the budget is now."""
        return self._ended(self._fetcher.receive())

    def expire(self) -> tuple[Answered | None, list[Event]]:
        """The deadline has come: the answer is the failure."""
        return self._ended(self._fetcher.expire())

    def _ended(self, answer: Answered | None) -> tuple[Answered | None, list[Event]]:
        if answer is None:
            return None, []
        now = time.monotonic()
        fields, name = answer_fields(answer), answer.operation.value
        self.answers[name] = {**fields, "at": now}
        self._tally.answered(name, fields, now)
        took = round(now - self._sent_at, 6)
        self._timeline.add(now, "answer", operation=name, took=took, **fields)
        return answer, self._settle(seen=not isinstance(answer, RequestFailed) or bool(answer.peer))

    def _settle(self, *, seen: bool) -> list[Event]:
        """End the slot; give it back if the API has not *seen* the request."""
        if self._slot is None:
            return []
        slot, self._slot = self._slot, None
        budget = self._use(lambda: self._ledger.end(slot) if seen else self._ledger.give_back(slot))
        return [_budget_observed(budget)]

    def block(self, seconds: float) -> list[Event]:
        """The API's rate limit is reached: no request for *seconds*."""
        return [_budget_observed(self._use(lambda: self._ledger.block(seconds)))]

    def release(self) -> None:
        """No request is due soon: end the fetcher, with its memory."""
        self._fetcher.close()

    def reconfigure(self, settings: Settings, endpoint: str) -> None:
        """Go on with other settings. The request on its way is given up; it counts as sent."""
        self.close()
        self._limit = settings.requests_per_minute
        self._ledger = Ledger(self._paths.requests, self._limit)
        self._fetcher = Fetcher.started(settings, endpoint)

    def close(self) -> None:
        """End the fetcher with the request that is on its way."""
        if self._slot is not None:
            slot, self._slot = self._slot, None
            with contextlib.suppress(OSError):  # the ledger gives the slot up by itself
                self._ledger.end(slot)
        self._fetcher.close()

    def _use(self, call: Callable[[], Any]) -> Any:
        """Use the ledger; if the file cannot be used, go on with one in memory."""
        try:
            return call()
        except OSError as error:
            self._complain(self._paths.requests, error)
            self._ledger = PrivateLedger(self._limit, cautious=self._paths.requests.exists())
            return call()


def _budget_observed(budget: Budget) -> BudgetObserved:
    return BudgetObserved(budget.free_in, budget.blocked_for)
