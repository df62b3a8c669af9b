"""What is to be done: the only output of the core. Imperative, frozen, no behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from rcnetd.model import DEFAULT, METRIC, Operation, Route


class Action:
    """Marks an action."""


@dataclass(frozen=True)
class Fetch(Action):
    """Ask the API, within the request budget, from *source* by the link *device*."""

    operation: Operation
    source: IPv4Address
    device: str
    timeout: float  # seconds, all in all: name, connection, TLS, answer


@dataclass(frozen=True)
class AddRoute(Action):
    """Add a route of ours beside whatever is there; nothing is replaced."""

    ifindex: int
    gateway: IPv4Address
    destination: IPv4Network = DEFAULT
    metric: int = METRIC
    onlink: bool = False


@dataclass(frozen=True)
class RecordRemoval(Action):
    """Write down these routes (and the link, if it goes down too) so that they can be put back.

    Comes before the removal; when it cannot be written, the removal is not carried out.
    """

    routes: tuple[Route, ...]
    link_down: int | None = None


@dataclass(frozen=True)
class RemoveRoutes(Action):
    """Remove exactly these routes; one that is gone already is no error."""

    routes: tuple[Route, ...]


@dataclass(frozen=True)
class TakeLinkDown(Action):
    """Flush the link's addresses and routes and set it down."""

    ifindex: int


@dataclass(frozen=True)
class ProbeNeighbour(Action):
    """Make the kernel ask whether *address* answers on the link, whatever it believes so far."""

    ifindex: int
    address: IPv4Address


@dataclass(frozen=True)
class WriteRoute(Action):
    """Tell the persister (`route.json`) which default route is in effect."""

    ifindex: int
    gateway: IPv4Address


@dataclass(frozen=True)
class NotifyReady(Action):
    """Report READY=1 to systemd; the first time counts."""


@dataclass(frozen=True)
class ReleaseFetcher(Action):
    """No request is due soon: let the fetcher go, with its memory."""


@dataclass(frozen=True)
class Log(Action):
    """Log *text* at *level*: "debug", "info", "warning" or "error"."""

    level: str
    text: str


@dataclass(frozen=True)
class Stop(Action):
    """End the daemon with this exit code. The routes stay."""

    exit_code: int
    reason: str
