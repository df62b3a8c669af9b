"""Drive a machine on simulated time: `Playbook` for conversations, `World` for whole boots.

`World` is a small kernel that does what Linux does with default routes, written from
`ip-route(8)` and not from the code under test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import TypeVar

from rcnetd.basic.dataclass import replace
from rcnetd.core.actions import (
    Action,
    AddRoute,
    Fetch,
    Log,
    NotifyReady,
    ProbeNeighbour,
    RemoveRoutes,
    TakeLinkDown,
)
from rcnetd.core.events import (
    Answered,
    Event,
    FeaturesReceived,
    GatewayNotAssigned,
    GatewayReceived,
    NetworkObserved,
    RouteChangeFailed,
    StatusReceived,
)
from rcnetd.core.lastgood import Identity, LastGood
from rcnetd.core.machine import Machine
from rcnetd.core.model import (
    DEFAULT,
    Address,
    AutomationStatus,
    Link,
    Neighbour,
    Network,
    Operation,
    Query,
    Route,
    RouteLookup,
)
from rcnetd.core.public import PublicLink
from rcnetd.core.settings import Metadata, Settings

ETH0 = Link(2, "eth0", "bc:76:4e:20:6c:5a")
ETH1 = Link(3, "eth1", "bc:76:4e:20:6c:5b")
PUBLIC = IPv4Interface("203.0.113.10/24")
PRIVATE = IPv4Interface("10.180.1.2/19")
PUBLIC_ROUTER = IPv4Address("203.0.113.1")
ROUTER = IPv4Address("10.180.0.1")
GATEWAY = IPv4Address("10.180.31.254")
OTHER_GATEWAY = IPv4Address("10.180.30.254")
SERVICENET_NETWORKS = (IPv4Network("10.176.0.0/12"), IPv4Network("10.208.0.0/12"))
LEVELS = {"debug", "info", "warning", "error"}
SETTINGS = Settings()
NO_INSTANCE = Metadata()

DEPLOYING = StatusReceived(Operation.STATUS, status=AutomationStatus.DEPLOYING, word="DEPLOYING")
DEPLOYED = StatusReceived(Operation.STATUS, status=AutomationStatus.DEPLOYED, word="DEPLOYED")
FAILED = StatusReceived(Operation.STATUS, status=AutomationStatus.FAILED, word="FAILED")
UNPROCESSABLE = StatusReceived(
    Operation.STATUS, status=AutomationStatus.UNPROCESSABLE, word="UNPROCESSABLE"
)
NOT_ASSIGNED = GatewayNotAssigned(Operation.GATEWAY)
ASSIGNED = GatewayReceived(Operation.GATEWAY, gateway=GATEWAY)
MANAGED = FeaturesReceived(Operation.FEATURES, configure_network_stack=False)
UNMANAGED = FeaturesReceived(Operation.FEATURES, configure_network_stack=True)


T = TypeVar("T", bound="Link | Address")


def foreign_default(
    metric: int = 0, *, protocol: int = 3, ifindex: int = 2, gateway: IPv4Address = PUBLIC_ROUTER
) -> Route:
    """A default route of somebody else."""
    raw = f"{ifindex} {gateway} {metric} {protocol}".encode()
    return Route(ifindex, gateway, metric, protocol, raw=raw)


@dataclass
class World:
    """A kernel with eth0 (public) and eth1 (ServiceNet), and hosts that answer on the links."""

    links: list[Link] = field(default_factory=lambda: [ETH0, ETH1])
    addresses: list[Address] = field(
        default_factory=lambda: [Address(2, PUBLIC), Address(3, PRIVATE)]
    )
    routes: list[Route] = field(default_factory=lambda: [foreign_default()])
    alive: set[IPv4Address] = field(default_factory=lambda: {GATEWAY, OTHER_GATEWAY, ROUTER})
    probed: set[IPv4Address] = field(default_factory=set)
    diversion: RouteLookup | None = None
    source_diversion: RouteLookup | None = None  # of packets from our own address alone
    refuse: str | None = None
    flushed: set[IPv4Network] = field(default_factory=set)  # connected routes that are not there
    without_default: int = 0  # how often a change left the host without any default route

    def servicenet_routes(self) -> World:
        """Add the two /12 routes that a Rackspace image has."""
        for network in SERVICENET_NETWORKS:
            self.routes.append(Route(3, ROUTER, 0, 4, destination=network))
        return self

    def network(self, machine: Machine) -> Network:
        """What a reading for the machine's query shows."""
        query = machine.query
        neighbour = None
        if query.neighbour is not None:
            address = query.neighbour[1]
            neighbour = Neighbour.NONE
            if address in self.probed:
                neighbour = Neighbour.REACHABLE if address in self.alive else Neighbour.FAILED
        return Network(
            links=self._only(self.links, query),
            addresses=self._only(self.addresses, query),
            defaults=tuple(self._defaults()),
            lookups=tuple((asked, self._lookup(asked)) for asked in query.destinations),
            source_lookup=self._source_lookup(query),
            neighbour=neighbour,
            is_complete=query.links is None,
        )

    def _source_lookup(self, query: Query) -> RouteLookup | None:
        own = {entry.interface.ip for entry in self.addresses}
        if query.source not in own or not query.destinations:
            return None
        return self.source_diversion or self._lookup(query.destinations[0])

    def _only(self, entries: list[T], query: Query) -> tuple[T, ...]:
        """Those of the links that the query names."""
        links = query.links
        if links is None:
            return tuple(entries)
        shown = {*links, *(route.ifindex for route in self._defaults())}
        return tuple(entry for entry in entries if entry.ifindex in shown)

    def _defaults(self) -> list[Route]:
        defaults = [route for route in self.routes if route.destination == DEFAULT]
        return sorted(defaults, key=lambda route: route.metric)  # stable: of equals the first wins

    def _lookup(self, address: IPv4Address) -> RouteLookup:
        if self.diversion is not None:
            return self.diversion
        for entry in self.addresses:
            subnet = entry.interface.network
            if address in subnet and subnet not in self.flushed:
                return RouteLookup(entry.interface.network.prefixlen, entry.ifindex, None, 0, 2)
        fitting = [
            route for route in self.routes if address in route.destination and route.tos == 0
        ]
        fitting.sort(key=lambda route: (-route.destination.prefixlen, route.metric))
        if not fitting:
            return RouteLookup(refusal="no route")
        best = fitting[0]
        gateway = best.gateway if isinstance(best.gateway, IPv4Address) else None
        return RouteLookup(
            best.destination.prefixlen, best.ifindex, gateway, best.metric, best.protocol
        )

    def carry_out(self, action: Action) -> Event | None:
        """Change the kernel as the action says."""
        had_default = bool(self._defaults())
        if isinstance(action, (AddRoute, RemoveRoutes, TakeLinkDown)) and self.refuse:
            return RouteChangeFailed(self.refuse)
        if isinstance(action, AddRoute):
            self._add(action)
        elif isinstance(action, RemoveRoutes):
            self.routes = [route for route in self.routes if route not in action.routes]
        elif isinstance(action, TakeLinkDown):
            self.flush(action.ifindex)
            self.links = [
                replace(link, up=False, carrier=False) if link.ifindex == action.ifindex else link
                for link in self.links
            ]
        elif isinstance(action, ProbeNeighbour):
            self.probed.add(action.address)
        if had_default and not self._defaults():
            self.without_default += 1
        return None

    def _add(self, action: AddRoute) -> None:
        if action.gateway is None:  # a connected route: `_lookup` has it from the address
            self.flushed.discard(action.destination)
            return
        raw = f"{action.ifindex} {action.gateway} {action.metric} {action.protocol}".encode()
        route = Route(
            action.ifindex,
            action.gateway,
            action.metric,
            action.protocol,
            action.destination,
            raw=raw,
        )
        if route not in self.routes:
            self.routes.append(route)

    def flush(self, ifindex: int) -> None:
        """Lose all addresses and routes of a link, as `ip addr flush` does."""
        self.addresses = [entry for entry in self.addresses if entry.ifindex != ifindex]
        self.routes = [route for route in self.routes if route.ifindex != ifindex]

    @property
    def default(self) -> Route | None:
        """The default route that wins."""
        return next(iter(self._defaults()), None)


class Playbook:
    """A conversation with one machine in a world, as the daemon would have it."""

    def __init__(
        self,
        world: World | None = None,
        settings: Settings = SETTINGS,
        metadata: Metadata = NO_INSTANCE,
        *,
        identity: Identity | None = None,
        memory: LastGood | None = None,
        was_ready: bool = False,
        was_not_rackconnected: bool = False,
        public: PublicLink | None = None,
        jitter: Callable[[], float] = lambda: 0.999,
    ) -> None:
        self.world = world or World().servicenet_routes()
        self.now = 0.0
        self.machine = Machine(
            settings,
            metadata,
            identity,
            memory,
            was_ready=was_ready,
            was_not_rackconnected=was_not_rackconnected,
            public=public,
            now=0.0,
            jitter=jitter,
        )
        self.actions: list[Action] = []
        self.said: list[str] = []

    def look(self) -> Playbook:
        """Read the kernel and carry out what follows, until nothing more does."""
        for _ in range(20):
            query = self.machine.query
            changed = self._handle(NetworkObserved(self.world.network(self.machine)))
            if not changed and self.machine.query == query:
                return self
        return self

    def tell(self, *events: Event) -> Playbook:
        """Let these things happen, one after the other, looking at the kernel where it is due."""
        for event in events:
            query = self.machine.query
            if self._handle(event) or self.machine.query != query:
                self.look()
        return self

    def wait(self, seconds: float) -> Playbook:
        """Let time pass; the machine is woken whenever it asked to be."""
        end = self.now + seconds
        while self.machine.wake_at <= end and self.machine.exit is None:
            self.now = max(self.now, self.machine.wake_at)
            self.look()
            if self.machine.wake_at <= self.now:
                break
        self.now = end
        return self

    def _handle(self, event: Event) -> bool:
        changed = False
        events = [event]
        while events:
            for action in self.machine.handle(events.pop(0), self.now):
                self.actions.append(action)
                if isinstance(action, Log):
                    assert action.level in LEVELS, action
                    self.said.append(action.text)
                changed = changed or isinstance(
                    action, (AddRoute, RemoveRoutes, TakeLinkDown, ProbeNeighbour)
                )
                follow_up = self.world.carry_out(action)
                if follow_up is not None:
                    events.append(follow_up)
        return changed

    def taken(self, kind: type[Action]) -> list[Action]:
        """All actions of one kind so far."""
        return [action for action in self.actions if isinstance(action, kind)]

    def taken_logs(self) -> list[Log]:
        """All log lines so far, with their levels."""
        return [action for action in self.actions if isinstance(action, Log)]

    @property
    def asked(self) -> list[Operation]:
        """What was asked of the API so far."""
        return [action.operation for action in self.actions if isinstance(action, Fetch)]

    @property
    def is_ready(self) -> bool:
        """Whether READY=1 went out."""
        return bool(self.taken(NotifyReady))


def boot(*answers: Answered, world: World | None = None, settings: Settings = SETTINGS) -> Playbook:
    """A server whose API gives these answers, one to each request."""
    return Playbook(world, settings).look().tell(*answers)
