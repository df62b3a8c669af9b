"""What is to be done: the only output of the core. Imperative, frozen, no behaviour."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from rcnetd.basic.dataclass import dataclass
from rcnetd.core.lastgood import LastGood
from rcnetd.core.model import DEFAULT, METRIC, PROTOCOL, Address, Operation, Route
from rcnetd.core.public import PublicLink
from rcnetd.core.settings import Settings


class Action:
    """Marks an action."""


@dataclass(frozen=True)
class Fetch(Action):
    """Send one request to the API, within the request budget, from *source* by the link *device*.

    *address* is the API's where the name need not be resolved.
    """

    operation: Operation
    source: IPv4Address
    device: str
    timeout: float  # seconds, all in all: name, connection, TLS, answer
    address: IPv4Address | None = None


@dataclass(frozen=True)
class AbandonRequest(Action):
    """Give up the request: it was sent from a link or an address that does not count any more."""


@dataclass(frozen=True)
class RestartRequest(Action):
    """Start the request over if it has no connection yet: what it depends on has changed."""


@dataclass(frozen=True)
class AddRoute(Action):
    """Add a route beside whatever is there; nothing is replaced.

    Without a *gateway* it is the route to a subnet that is on the link, from *source*.
    """

    ifindex: int
    gateway: IPv4Address | None
    destination: IPv4Network = DEFAULT
    metric: int = METRIC
    onlink: bool = False
    protocol: int = PROTOCOL
    source: IPv4Address | None = None


@dataclass(frozen=True)
class RemoveRoutes(Action):
    """Remove exactly these routes; one that is gone already is no error.

    Those in *record* are written down first, so that `rcnetctl revert` can put them back; if they
    cannot be written down, nothing is removed.
    """

    routes: tuple[Route, ...]
    record: tuple[Route, ...] = ()


@dataclass(frozen=True)
class TakeLinkDown(Action):
    """Flush the link's addresses and routes and set it down; *addresses* are recorded first."""

    ifindex: int
    addresses: tuple[Address, ...] = ()


@dataclass(frozen=True)
class ProbeNeighbour(Action):
    """Make the kernel ask whether *address* answers on the link, whatever it believes so far."""

    ifindex: int
    address: IPv4Address


@dataclass(frozen=True)
class PublishRoute(Action):
    """Tell the persister (`route.json`) which default route is in effect, by which settings."""

    ifindex: int
    gateway: IPv4Address
    settings: Settings


@dataclass(frozen=True)
class SaveLastGood(Action):
    """Remember this for the next boot, in place of what was remembered before."""

    last_good: LastGood


@dataclass(frozen=True)
class HoldRequests(Action):
    """Tell everybody who shares the budget that the API said 403: no request for so long."""

    seconds: float


@dataclass(frozen=True)
class RecordPublic(Action):
    """Record which link is the public interface, before anything is changed."""

    public: PublicLink


@dataclass(frozen=True)
class NoteRepair(Action):
    """Note in the timeline that the route was put back. *kind* is "lost" or "takeover"."""

    kind: str
    reason: str


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
