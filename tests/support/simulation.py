"""Whole boots on simulated time: the machine, the ledger's rules, and an API that counts.

The API here is a third reading of the page, for the arithmetic only: a fixed window of a minute,
30 requests, then 403, its phase unknown to the client.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from math import inf

from rcnetd.core.actions import Fetch, HoldRequests
from rcnetd.core.events import (
    Answered,
    BudgetObserved,
    Event,
    FeaturesReceived,
    GatewayNotAssigned,
    GatewayReceived,
    NetworkObserved,
    NoSlot,
    RateLimited,
    StatusReceived,
)
from rcnetd.core.machine import Machine
from rcnetd.core.model import AutomationStatus, Operation
from rcnetd.core.pacing import RESERVED
from rcnetd.core.settings import Metadata, Settings
from rcnetd.store import budget
from rcnetd.store.budget import LedgerState
from tests.support.playbook import GATEWAY, World


@dataclass
class Api:
    """Answers for one server, and counts its requests as the page says."""

    gateway_at: float
    deployed_at: float
    phase: float
    arrivals: list[tuple[float, Operation | None]] = field(default_factory=list)
    forbidden: int = 0
    _counts: dict[int, int] = field(default_factory=dict)

    def arrive(self, at: float, operation: Operation | None) -> Answered | None:
        """A request arrives at *at*; None for a neighbour's, whose answer nobody looks at."""
        self.arrivals.append((at, operation))
        window = int((at + self.phase) // 60)
        self._counts[window] = self._counts.get(window, 0) + 1
        if self._counts[window] > 30:
            self.forbidden += 1
            return RateLimited(operation) if operation else None
        if operation is Operation.FEATURES:
            return FeaturesReceived(operation, configure_network_stack=False)
        if operation is Operation.GATEWAY:
            if at >= self.gateway_at:
                return GatewayReceived(operation, gateway=GATEWAY)
            return GatewayNotAssigned(operation)
        if operation is Operation.STATUS:
            done = at >= self.deployed_at
            status = AutomationStatus.DEPLOYED if done else AutomationStatus.DEPLOYING
            return StatusReceived(operation, status=status, word=status.value)
        return None

    def noticed(self, operation: Operation, since: float) -> float:
        """How long after *since* the first request for *operation* arrived."""
        return min(at for at, asked in self.arrivals if asked is operation and at >= since) - since

    def most_in_a_minute(self) -> int:
        """The most requests that arrived in any 60 s."""
        times = sorted(at for at, _ in self.arrivals)
        most = first = 0
        for last, at in enumerate(times):
            while at - times[first] >= 60:
                first += 1
            most = max(most, last - first + 1)
        return most


class Boot:
    """One server's boot. *chance* decides latencies and jitter; *restarts* are points in time."""

    def __init__(
        self,
        api: Api,
        chance: random.Random,
        *,
        neighbour_every: float = inf,
        restarts: tuple[float, ...] = (),
    ) -> None:
        self.api, self.chance = api, chance
        self.now = 0.0
        self.ready_at = inf
        self.book = LedgerState()
        self.limit = Settings().requests_per_minute
        self._neighbour_every = neighbour_every
        self._neighbour_at = chance.uniform(0, neighbour_every) if neighbour_every < inf else inf
        self._restarts = sorted(restarts)
        self._start()

    def _start(self) -> None:
        self.world = World().servicenet_routes()
        self.machine = Machine(Settings(), Metadata(), now=self.now, jitter=self.chance.random)
        self._answer_at, self._slot = inf, 0
        self._answer: Answered | None = None
        self._look()

    def run(self, until: float) -> Boot:
        """Run until READY, or to *until*."""
        while self.now < until and self.ready_at == inf:
            restart_at = self._restarts[0] if self._restarts else inf
            self.now = min(
                self.machine.wake_at, self._answer_at, self._neighbour_at, restart_at, until
            )
            if self.now == restart_at:
                self._restarts.pop(0)
                self._start()  # killed: what was under way is never ended in the book
            elif self.now == self._neighbour_at:
                self.api.arrive(self.now, None)
                self._neighbour_at += self._neighbour_every
            elif self.now == self._answer_at and self._answer is not None:
                answer, self._answer, self._answer_at = self._answer, None, inf
                self._tidy(budget.end(self.book, self._slot, self.now))
                self._tell(self._budget(), answer)
                self._look()
            else:
                self._look()
        return self

    def _look(self) -> None:
        for _ in range(10):
            query = self.machine.query
            changed = self._tell(NetworkObserved(self.world.network(self.machine)))
            if not changed and query == self.machine.query:
                break
        if self.machine.is_ready:
            self.ready_at = min(self.ready_at, self.now)

    def _tell(self, *events: Event) -> bool:
        todo, changed = list(events), False
        while todo:
            for action in self.machine.handle(todo.pop(0), self.now):
                if isinstance(action, Fetch):
                    todo += self._fetch(action)
                elif isinstance(action, HoldRequests):
                    self._tidy(budget.block(self.book, action.seconds, self.now))
                else:
                    before = self.world.routes[:], self.world.probed.copy()
                    self.world.carry_out(action)
                    changed = changed or before != (self.world.routes, self.world.probed)
        return changed

    def _fetch(self, action: Fetch) -> list[Event]:
        self._tidy(self.book)
        taken = budget.take(self.book, self.limit, self.now, deadline=12.0, reserve=RESERVED)
        if taken is None:
            return [self._budget(), NoSlot(action.operation)]
        self.book, self._slot = taken, taken.last_number
        late = self.chance.choice((1.0, 3.0)) if self.chance.random() < 0.01 else 0.0
        arrival = self.now + self.chance.uniform(0.002, 0.03) + late
        self._answer = self.api.arrive(arrival, action.operation)
        self._answer_at = arrival + self.chance.uniform(0.002, 0.03)
        return [self._budget()]

    def _tidy(self, book: LedgerState) -> None:
        self.book = budget.tidy(book, self.now)

    def _budget(self) -> BudgetObserved:
        self._tidy(self.book)
        seen = budget.view(self.book, self.limit, self.now)
        return BudgetObserved(seen.free_in, seen.blocked_for)


def random_boot(seed: int, **options: object) -> Boot:
    """A boot with a random timeline: the gateway within 5 min, DEPLOYED within 20 more."""
    chance = random.Random(seed)
    gateway_at = chance.choice((0.0, chance.uniform(0, 300)))
    deployed_at = gateway_at + chance.uniform(0, 1200)
    api = Api(gateway_at, deployed_at, phase=chance.uniform(0, 60))
    return Boot(api, chance, **options).run(3500)  # type: ignore[arg-type] # named options
