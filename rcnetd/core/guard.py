"""What to do about routes: make before break, repair, damp a fight. Pure.

Every step is decided from one fresh reading of the kernel, and does one thing: while our route is
not seen in the kernel, nothing is removed.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from math import inf

from rcnetd.basic.dataclass import dataclass, field
from rcnetd.core.actions import (
    Action,
    AddRoute,
    Log,
    NoteRepair,
    ProbeNeighbour,
    RemoveRoutes,
    TakeLinkDown,
)
from rcnetd.core.facts import Facts
from rcnetd.core.model import (
    PROTOCOL,
    STATIC,
    TABLE_MAIN,
    Link,
    Neighbour,
    Network,
    Route,
    RouteLookup,
)
from rcnetd.core.routes import describe, probe_address
from rcnetd.core.servicenet import ServiceNet
from rcnetd.core.settings import PublicInterface, PublicIPv6

PROBE_INTERVAL = 5.0  # seconds until a silent gateway is asked again; the kernel itself takes 3.1 s
FIGHT_WITHIN = 2.0  # seconds: a foreign route that wins again so soon is a fight's blow …
FIGHT_BLOWS = 5  # … and more than so many in a row make a fight
FIGHT_PAUSE = 10.0  # seconds between repairs while a fight lasts
# Seconds until a refused change is tried again. What makes the kernel take it may come without a
# message: a connected route that is back is a route like 100,000 others.
REFUSED_FIRST, MAX_REFUSED = 0.01, 1.0
KEEP_INTERVAL = 1.0  # seconds until a ServiceNet route that did not take is added again
MAX_WARNINGS = 100  # different messages that are said once; then no more


@dataclass(frozen=True)
class Repair:
    """When the route was put back, whether it was "lost" or a "takeover", and by whom."""

    at: float
    kind: str
    reason: str


@dataclass
class Guard:
    """Decides about routes. `wake_at` is when to look again even if nothing happens."""

    wake_at: float = inf
    repairs: int = 0
    last_repair: Repair | None = None
    public_settled: bool = False
    _public: int | None = None  # the public interface's index, once known
    _probe_at: float = -inf
    _blows: int = 0
    _fighting: bool = False
    _removed_at: float = -inf
    _refusals: int = 0
    _hold_until: float = -inf
    _refused_network: Network | None = None
    _kept_at: dict[IPv4Network, float] = field(default_factory=dict)
    _routers: dict[IPv4Network, IPv4Address] = field(default_factory=dict)  # as seen on ServiceNet
    _warned: set[str] = field(default_factory=set)

    def check(self, facts: Facts, now: float) -> list[Action]:
        """Bring the candidate to answer on the link; adopt it as the gateway when it does."""
        servicenet, candidate = facts.servicenet, facts.candidate
        if servicenet is None or candidate is None:
            return []
        neighbour = facts.network.neighbour
        if not facts.settings.gateway.check or neighbour is Neighbour.ANSWERS:
            facts.gateway, facts.candidate = candidate, None
            word = "answers" if facts.settings.gateway.check else "is used without a check"
            return [Log("info", f"gateway {candidate} {word}")]
        if neighbour is None or neighbour is Neighbour.ASKING:
            return []
        if now >= self._probe_at:
            self._probe_at = now + PROBE_INTERVAL
            return [ProbeNeighbour(servicenet.link.ifindex, candidate)]
        self.wake_at = self._probe_at
        if neighbour is not Neighbour.SILENT:
            return []
        return self._once(
            f"gateway {candidate} does not answer on '{servicenet.link.name}', changing nothing,"
            f" asking again every {PROBE_INTERVAL:g} s",
        )

    def expect_candidate(self) -> None:
        """A new candidate has come: ask for it at once."""
        self._probe_at = -inf

    def reconfigured(self) -> None:
        """The policies may be others: settle the public interface again, and warn again."""
        self.public_settled = False
        self._warned.clear()

    def refused(self, reason: str, network: Network, now: float) -> list[Action]:
        """Note that the kernel refused a change: try again later, or when something changes.

        What is refused together with it counts once.
        """
        if now >= self._hold_until:
            delay = min(REFUSED_FIRST * 2.0**self._refusals, MAX_REFUSED)
            self._refusals = min(self._refusals + 1, 10)
            self._hold_until, self._refused_network = now + delay, network
        return self._once(f"{reason}, trying again until it works")

    def step(self, facts: Facts, now: float) -> list[Action]:
        """The next thing to do so that our route is in effect; nothing when it is."""
        servicenet, gateway = facts.servicenet, facts.gateway
        if facts.network != self._refused_network:
            self._hold_until = -inf  # also if it becomes again what it was
        if servicenet is None or gateway is None:
            return []
        if now < self._hold_until:
            self.wake_at = self._hold_until
            return []
        if not facts.route.present:
            return self._add(facts, servicenet, gateway, now)
        unwanted = self._unwanted(facts)
        if unwanted:
            return self._remove(facts, unwanted, now)
        if not facts.route.holds:
            return []
        self._refusals = 0
        return self._settle_public(facts) + self._keep_servicenet(facts, servicenet, now)

    def is_fighting(self, now: float) -> bool:
        """Whether another program keeps taking the default route."""
        return self._fighting and now - self._removed_at <= FIGHT_PAUSE + FIGHT_WITHIN

    def _add(
        self, facts: Facts, servicenet: ServiceNet, gateway: IPv4Address, now: float
    ) -> list[Action]:
        actions = self._keep_servicenet(facts, servicenet, now)
        if facts.applied:
            reason = f"default route via {gateway} was lost"
            actions.append(self._repaired("lost", reason, now))
            actions.append(Log("warning", f"{reason}, putting it back"))
        onlink = gateway not in servicenet.address.network
        actions.append(AddRoute(servicenet.link.ifindex, gateway, onlink=onlink))
        return actions

    def _unwanted(self, facts: Facts) -> tuple[Route, ...]:
        """The default routes that have to go: winners, our own old ones, the public interface's."""
        unwanted = [*facts.route.winners, *facts.route.leftovers]
        if not self.public_settled:
            public = public_link(facts)
            self._public = public.ifindex if public else self._public
            unwanted += [
                route
                for route in facts.network.defaults
                if public is not None and route.ifindex == public.ifindex
            ]
        return tuple(dict.fromkeys(unwanted))

    def _remove(self, facts: Facts, unwanted: tuple[Route, ...], now: float) -> list[Action]:
        names = ", ".join(f"'{describe(route, facts.network)}'" for route in unwanted)
        actions = self._blow(names, now)
        if self._removed_at < now:  # a fight's pause
            self.wake_at = self._removed_at + FIGHT_PAUSE
            return actions
        if not facts.applied:
            actions.append(Log("info", f"removing {names}, kept in removed.json"))
        else:
            reason = f"{names} took over the default route"
            actions.append(self._repaired("takeover", reason, now))
            actions += [] if self._fighting else [Log("warning", f"{reason}, removing it")]
        actions += _keep_public(facts, unwanted, self._public)
        foreign = tuple(route for route in unwanted if route.protocol != PROTOCOL)
        actions.append(RemoveRoutes(unwanted, record=foreign))
        return actions

    def _repaired(self, kind: str, reason: str, now: float) -> Action:
        self.repairs += 1
        self.last_repair = Repair(now, kind, reason)
        return NoteRepair(kind, reason)

    def _blow(self, names: str, now: float) -> list[Action]:
        """Somebody's route has to go (again): count the blows of a fight, and damp it.

        `_removed_at` becomes *now* when the removal may go ahead.
        """
        since = now - self._removed_at
        if since > FIGHT_PAUSE + FIGHT_WITHIN:
            self._fighting = False
        self._blows = min(self._blows + 1, 100) if since <= FIGHT_WITHIN else 0
        declared = self._blows > FIGHT_BLOWS and not self._fighting
        self._fighting = self._fighting or declared
        if not self._fighting or since >= FIGHT_PAUSE:
            self._removed_at = now
        if not declared:
            return []
        return [
            Log(
                "error",
                f"another program keeps setting {names}: taking the default route back only"
                f" every {FIGHT_PAUSE:g} s from now on",
            )
        ]

    def _settle_public(self, facts: Facts) -> list[Action]:
        """Once our route is in effect, the policy for the public interface; once per start."""
        if self.public_settled or facts.servicenet is None:
            return []
        self.public_settled = True
        actions: list[Action] = []
        ipv6 = tuple(
            route
            for route in facts.network.ipv6_defaults
            if route.ifindex != facts.servicenet.link.ifindex
        )
        if ipv6 and facts.settings.public_ipv6 is PublicIPv6.NO_DEFAULT:
            actions.append(RemoveRoutes(ipv6, record=ipv6))
        elif ipv6:
            actions += self._once(
                "the IPv6 default route stays and bypasses the RackConnect firewall;"
                " 'public_ipv6: no-default' removes it"
            )
        public = facts.network.link(self._public)
        if facts.settings.public_interface is PublicInterface.DOWN and public and public.up:
            addresses = tuple(
                entry for entry in facts.network.addresses if entry.ifindex == public.ifindex
            )
            actions.append(Log("info", f"setting the public interface '{public.name}' down"))
            actions.append(TakeLinkDown(public.ifindex, addresses))
        return actions

    def _keep_servicenet(self, facts: Facts, servicenet: ServiceNet, now: float) -> list[Action]:
        """What was reached through ServiceNet must not follow our default: add its routes.

        A link flap takes them as silently as the default, so what they were is kept in mind. Where
        neither that nor the metadata names a router in our subnet, a warning names what is
        missing.
        """
        actions: list[Action] = []
        for network, probe in servicenet_probes(facts):
            verdict = facts.network.verdict(probe)
            if verdict is not None and verdict.prefixlen > 0:
                self._keep_in_mind(network, verdict, servicenet)
                continue
            router = self._routers.get(network, facts.metadata.servicenet_router)
            if router is None or router not in servicenet.address.network:
                actions += self._once(
                    f"no route keeps {network} on ServiceNet, it is reached through the gateway;"
                    " add a route for it through the ServiceNet router"
                )
            elif now >= self._kept_at.get(network, -inf) + KEEP_INTERVAL:
                self._kept_at[network] = now
                actions += self._once(f"adding the ServiceNet route {network} via {router}", "info")
                index = servicenet.link.ifindex
                actions.append(AddRoute(index, router, destination=network, protocol=STATIC))
            else:
                self.wake_at = self._kept_at[network] + KEEP_INTERVAL
        return actions

    def _keep_in_mind(
        self, network: IPv4Network, verdict: RouteLookup, servicenet: ServiceNet
    ) -> None:
        is_servicenet = verdict.ifindex == servicenet.link.ifindex and verdict.table == TABLE_MAIN
        if is_servicenet and verdict.gateway is not None:
            self._routers[network] = verdict.gateway

    def _once(self, text: str, level: str = "warning") -> list[Action]:
        if text in self._warned or len(self._warned) >= MAX_WARNINGS:
            return []
        self._warned.add(text)
        return [Log(level, text)]


def _keep_public(facts: Facts, unwanted: tuple[Route, ...], public: int | None) -> list[Action]:
    """The networks that stay reached by the gateway of the public interface's default, which goes
    now. One that the kernel refuses keeps nothing else from being done."""
    if public is None or facts.settings.public_interface is PublicInterface.DOWN:
        return []
    actions: list[Action] = []
    for route in unwanted:
        if route.ifindex != public or not isinstance(route.gateway, IPv4Address):
            continue
        on_link = any(
            route.gateway in entry.interface.network
            for entry in facts.network.addresses
            if entry.ifindex == public
        )
        actions += [
            AddRoute(
                public, route.gateway, destination=network, onlink=not on_link, protocol=STATIC
            )
            for network in facts.settings.public_routes
        ]
    return actions


def public_link(facts: Facts) -> Link | None:
    """The public interface: named by the metadata, else the one with a foreign default."""
    servicenet = facts.servicenet
    if facts.metadata.public_mac is not None:
        return next(
            (link for link in facts.network.links if link.mac == facts.metadata.public_mac), None
        )
    for route in facts.network.defaults:
        link = facts.network.link(route.ifindex)
        if link is not None and (servicenet is None or link.ifindex != servicenet.link.ifindex):
            return link
    return None


def servicenet_probes(facts: Facts) -> tuple[tuple[IPv4Network, IPv4Address], ...]:
    """What has to stay on ServiceNet, each with an address by which to ask the kernel."""
    if facts.servicenet is None:
        return ()
    subnet = facts.servicenet.address.network
    networks = [
        network for network in facts.settings.servicenet.networks if not network.subnet_of(subnet)
    ]
    probes = [(network, probe_address(network, subnet)) for network in networks]
    peer = facts.peer
    if peer is not None and not any(peer in network for network in [*networks, subnet]):
        probes.append((IPv4Network(peer), peer))
    return tuple(probes)
