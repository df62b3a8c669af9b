"""What the machine shows of itself: everything that status, STATUS= and metrics are made from."""

from __future__ import annotations

from math import inf

from rcnetd.basic.dataclass import dataclass
from rcnetd.core.actions import Stop
from rcnetd.core.events import RateLimited, RequestFailed
from rcnetd.core.facts import Facts
from rcnetd.core.guard import Repair
from rcnetd.core.model import Operation
from rcnetd.core.states import READY_STATES, State


@dataclass(frozen=True)
class Requests:
    """The requests to the API: the budget, what is on its way, what comes next, what failed."""

    limit: int
    used: int
    in_flight: Operation | None = None
    next_at: float = inf
    last_failure: RequestFailed | RateLimited | None = None


@dataclass(frozen=True)
class Snapshot:
    """One moment of the machine; points in time are monotonic seconds."""

    at: float
    state: State
    state_since: float
    facts: Facts
    requests: Requests
    is_fighting: bool = False
    repairs: int = 0
    last_repair: Repair | None = None
    exit: Stop | None = None

    @property
    def is_ready(self) -> bool:
        """Whether READY=1 is due or was given."""
        return self.state in READY_STATES
