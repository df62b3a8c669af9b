"""What happened: the only input of the core. Past tense, frozen, no behaviour.

The expected outcomes of the world (404, 403, a time-out, a refusal by the kernel) are events,
never exceptions.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from rcnetd.basic.dataclass import dataclass
from rcnetd.core.lastgood import Identity
from rcnetd.core.model import AutomationStatus, Network, Operation
from rcnetd.core.settings import Settings

UNSPECIFIED = IPv4Address(0)


class Event:
    """Marks an event."""


@dataclass(frozen=True)
class NetworkObserved(Event):
    """The kernel's state was read."""

    network: Network


@dataclass(frozen=True)
class TimePassed(Event):
    """Nothing happened; a point in time that the core asked for (`wake_at`) was reached."""


@dataclass(frozen=True)
class Reconfigured(Event):
    """The settings were read again. *identity* has the endpoint that they mean now.

    What was on its way to the API is not any more.
    """

    settings: Settings
    identity: Identity


@dataclass(frozen=True)
class DependenciesChanged(Event):
    """Something that a request depends on has changed: the resolver's file, or the clock."""


@dataclass(frozen=True)
class RouteChangeFailed(Event):
    """The kernel refused a route or link change; *reason* is the kernel's, with what was tried."""

    reason: str


@dataclass(frozen=True)
class BudgetObserved(Event):
    """The request ledger was read or changed.

    *free_in* has, sorted, the seconds from now until each used slot is free again.
    """

    free_in: tuple[float, ...]
    blocked_for: float = 0.0


@dataclass(frozen=True)
class NoSlot(Event):
    """The ledger gave no slot for *operation*; nothing was sent. A `BudgetObserved` came before."""

    operation: Operation


@dataclass(frozen=True)
class Answered(Event):
    """A request has ended. *peer* is the API's address where a connection came about."""

    operation: Operation
    peer: IPv4Address | None = None


@dataclass(frozen=True)
class StatusReceived(Answered):
    """`automation_status` answered 200; *word* is what it said, cut to 80 characters."""

    status: AutomationStatus = AutomationStatus.UNKNOWN
    word: str = ""


@dataclass(frozen=True)
class GatewayReceived(Answered):
    """`gateway_ip` answered 200 and one IPv4 address. Nothing is known yet of its worth."""

    gateway: IPv4Address = UNSPECIFIED


@dataclass(frozen=True)
class GatewayNotAssigned(Answered):
    """`gateway_ip` answered 404: "If the gateway IP address has not yet been assigned"."""


@dataclass(frozen=True)
class FeaturesReceived(Answered):
    """`automation_features` answered 200.

    *configure_network_stack* is None where the answer's shape did not tell.
    """

    configure_network_stack: bool | None = None


@dataclass(frozen=True)
class RateLimited(Answered):
    """The API's rate limit is reached (403, 413, 429).

    *retry_after* is its `Retry-After` in seconds, where it gave one.
    """

    retry_after: float | None = None


@dataclass(frozen=True)
class RequestFailed(Answered):
    """No usable answer. *kind* is a word for programs, *reason* a plain sentence for people.

    *retry_after* is the answer's `Retry-After` in seconds, where it gave one.
    """

    kind: str = "failed"
    reason: str = ""
    retry_after: float | None = None
