"""What to do about routes: make before break, repair, damp a fight. Pure.

Every step is decided from one fresh reading of the kernel, and does one thing: while our route is
not seen in the kernel, nothing is removed.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network
from math import inf

from rcnetd.basic.dataclass import dataclass, field, replace
from rcnetd.core.actions import (
    Action,
    AddRoute,
    Log,
    NoteRepair,
    ProbeNeighbour,
    RemoveRoutes,
    TakeLinkDown,
)
from rcnetd.core.facts import Facts, Gateway
from rcnetd.core.fight import PAUSE, Fight, Losses
from rcnetd.core.log import OnceLog
from rcnetd.core.model import (
    METRIC,
    PROTOCOL,
    STATIC,
    TABLE_MAIN,
    Neighbour,
    Network,
    Route,
    RouteLookup,
)
from rcnetd.core.public import cannot_set_down
from rcnetd.core.routes import OUTSIDE, Diversion, describe, is_ours, probe_address
from rcnetd.core.servicenet import ServiceNet
from rcnetd.core.settings import PublicInterface, PublicIPv6

PROBE_INTERVAL = 5.0  # seconds between probes of a silent gateway; the kernel itself takes 3.1 s
# Seconds until a refused change is tried again. What makes the kernel take it may come without a
# message: a connected route that is back is a route like 100,000 others.
FIRST_RETRY_DELAY, MAX_RETRY_DELAY = 0.01, 1.0
KEEP_INTERVAL = 1.0  # seconds until a ServiceNet route that did not take is added again
RTPROT_KERNEL = 2


@dataclass(frozen=True)
class Repair:
    """When the route was put back, whether it was "lost" or a "takeover", and by whom."""

    at: float
    kind: str
    reason: str


@dataclass
class Guard:
    """Decides about routes. `wake_at` is when to look again even if nothing happens."""

    once_log: OnceLog
    wake_at: float = inf
    repairs: int = 0
    last_repair: Repair | None = None
    public_policy_applied: bool = False
    _pending: Repair | None = None  # begun, not yet seen in the kernel
    _probed: tuple[int, IPv4Address] | None = None  # link and candidate
    _probe_at: float = -inf
    _fight: Fight = field(default_factory=Fight)
    _policy_fight: Fight = field(default_factory=Fight)
    _losses: Losses = field(default_factory=Losses)
    _takeovers: Losses = field(default_factory=Losses)
    _failures: int = 0
    _refused: bool = False  # the last change
    _hold_until: float = -inf
    _failed_network: Network | None = None
    _kept_at: dict[IPv4Network, float] = field(default_factory=dict)
    _routers: dict[IPv4Network, IPv4Address] = field(default_factory=dict)  # as seen on ServiceNet

    def check(self, facts: Facts, now: float) -> tuple[Gateway, list[Action]]:
        """Make the candidate answer on the link; the gateway is the candidate once it has."""
        servicenet, candidate = facts.servicenet, facts.gateway.candidate
        if servicenet is None or candidate is None:
            self._probed = None
            return facts.gateway, []
        if (servicenet.link.ifindex, candidate) != self._probed:
            self._probed, self._probe_at = (servicenet.link.ifindex, candidate), -inf
        neighbour = facts.network.neighbour
        if not facts.settings.gateway.check or neighbour is Neighbour.REACHABLE:
            adopted = replace(facts.gateway, address=candidate, candidate=None)
            word = "answers" if facts.settings.gateway.check else "is used without a check"
            return adopted, [Log("info", f"gateway {candidate} {word}")]
        if neighbour is None or neighbour is Neighbour.INCOMPLETE:
            return facts.gateway, []
        if now >= self._probe_at:
            self._probe_at = now + PROBE_INTERVAL
            return facts.gateway, [ProbeNeighbour(servicenet.link.ifindex, candidate)]
        self.wake_at = self._probe_at
        if neighbour is not Neighbour.FAILED:
            return facts.gateway, []
        text = (
            f"gateway {candidate} does not answer on '{servicenet.link.name}', changing nothing,"
            f" probing it again every {PROBE_INTERVAL:g} s"
        )
        return facts.gateway, self.once_log.once("warning", text)

    def reconfigured(self) -> None:
        """The policies may be others: apply those for the public interface again."""
        self.public_policy_applied = False

    def change_failed(self, reason: str, network: Network, now: float) -> list[Action]:
        """Note that the kernel refused a change: try again later, or when something changes.

        What is refused together with it counts once.
        """
        self._refused = True
        if now >= self._hold_until:
            delay = min(FIRST_RETRY_DELAY * 2.0**self._failures, MAX_RETRY_DELAY)
            self._failures = min(self._failures + 1, 10)
            self._hold_until, self._failed_network = now + delay, network
        return self.once_log.once("warning", f"{reason}, trying again until it works")

    def step(self, facts: Facts, now: float) -> list[Action]:
        """The next thing to do so that our route is in effect; nothing when it is."""
        servicenet, gateway = facts.servicenet, facts.gateway.address
        if facts.network != self._failed_network:
            self._hold_until = -inf  # also if it becomes again what it was
        if servicenet is None or gateway is None or not facts.public_is_decided:
            return []
        # ServiceNet is not as expected, or was found just now: the next reading has what is needed.
        if facts.rediscover or facts.network.lookup(OUTSIDE) is None:
            return []
        if now < self._hold_until:
            self.wake_at = self._hold_until
            return []
        if not facts.route.present:
            return self._add(facts, servicenet, gateway, now)
        unwanted = tuple(dict.fromkeys(self._unwanted(facts, servicenet)))
        if unwanted:
            return self._remove(facts, unwanted, now)
        self._failures = 0
        return (
            self._repaired(now)
            + self._forbidden(facts, servicenet, now)
            + self._apply_public_policy(facts, servicenet)
            + self._keep_ground(facts, servicenet, gateway)
            + self._keep_servicenet(facts, servicenet, now)
        )

    def is_fighting(self, now: float) -> bool:
        """Whether another program keeps taking the default route."""
        return self._fight.is_on(now)

    def _add(
        self, facts: Facts, servicenet: ServiceNet, gateway: IPv4Address, now: float
    ) -> list[Action]:
        actions = self._keep_ground(facts, servicenet, gateway)
        actions += self._keep_servicenet(facts, servicenet, now)
        if facts.applied and self._pending is None:
            reason = f"default route via {gateway} was lost"
            self._pending = Repair(now, "lost", reason)
            self._losses, number = self._losses.loss(now)
            actions += _repeated(f"{reason}, putting it back", number)
        onlink = gateway not in servicenet.address.network
        actions.append(AddRoute(servicenet.link.ifindex, gateway, onlink=onlink))
        return actions

    def _unwanted(self, facts: Facts, servicenet: ServiceNet) -> list[Route]:
        """What the switch removes in one go; later what takes our route over."""
        unwanted = [*facts.route.competitors, *facts.route.leftovers]
        return unwanted if facts.applied else unwanted + _public_defaults(facts, servicenet)

    def _remove(self, facts: Facts, unwanted: tuple[Route, ...], now: float) -> list[Action]:
        names = ", ".join(f"'{describe(route, facts.network)}'" for route in unwanted)
        actions: list[Action] = []
        if facts.applied:
            before, may_repair = self._fight, True
            if not self._refused:  # what the kernel refused to remove has not come again
                self._fight, may_repair = self._fight.takeover(now)
            self._refused = False
            if self._fight.is_declared and not before.is_declared:
                actions.append(Log("error", _fight_line(names)))
            if not may_repair:
                self.wake_at = self._fight.repair_at
                return actions
            reason = f"{names} took over the default route"
            if self._pending is None or self._pending.kind == "lost":
                self._takeovers, number = self._takeovers.loss(now)
                if not self._fight.is_declared:
                    actions += _repeated(f"{reason}, removing it", number)
            self._pending = Repair(now, "takeover", reason)
        else:
            actions.append(Log("info", f"removing {names}, kept in removed.json"))
        actions += _keep_public(facts, unwanted)
        foreign = tuple(route for route in unwanted if route.protocol != PROTOCOL)
        actions.append(RemoveRoutes(unwanted, record=foreign))
        return actions

    def _repaired(self, now: float) -> list[Action]:
        """The route is in effect again: what was begun counts as one repair."""
        if self._pending is None:
            return []
        self.repairs += 1
        self.last_repair, self._pending = replace(self._pending, at=now), None
        return [NoteRepair(self.last_repair.kind, self.last_repair.reason)]

    def _forbidden(self, facts: Facts, servicenet: ServiceNet, now: float) -> list[Action]:
        """Remove the default routes that a policy forbids, whenever they come.

        They take nothing over, so that is no repair; what brings them back again and again is
        answered once in a while.
        """
        routes = _public_defaults(facts, servicenet)
        if facts.settings.public_ipv6 is PublicIPv6.NO_DEFAULT:
            routes += ipv6_bypasses(facts, servicenet)
        if not routes:
            return []
        self._policy_fight, may_remove = self._policy_fight.takeover(now)
        if not may_remove:
            self.wake_at = self._policy_fight.repair_at
            return []
        names = ", ".join(f"'{describe(route, facts.network)}'" for route in routes)
        text = f"removing {names}: 'public_interface' or 'public_ipv6' forbids it"
        actions = self.once_log.once("info", text) + _keep_public(facts, tuple(routes))
        return [*actions, RemoveRoutes(tuple(routes), record=tuple(routes))]

    def _apply_public_policy(self, facts: Facts, servicenet: ServiceNet) -> list[Action]:
        """Once our route is in effect, the rest of the policy for the public interface."""
        is_down = facts.settings.public_interface is PublicInterface.DOWN
        if self.public_policy_applied or (is_down and not facts.network.is_complete):
            return []
        self.public_policy_applied = True
        actions: list[Action] = []
        if facts.settings.public_ipv6 is PublicIPv6.KEEP and ipv6_bypasses(facts, servicenet):
            actions += self.once_log.once(
                "warning",
                "the IPv6 default route stays and bypasses the RackConnect firewall;"
                " 'public_ipv6: no-default' removes it",
            )
        if is_down:
            actions += self._take_public_down(facts, servicenet)
        return actions

    def _take_public_down(self, facts: Facts, servicenet: ServiceNet) -> list[Action]:
        public = facts.public
        if public is None:
            text = "no link is known to be the public interface, so none is set down"
            return self.once_log.once("warning", text)
        link = facts.network.link(public.ifindex)
        if link is None or not link.up:
            return []
        reason = cannot_set_down(facts.network, public, servicenet)
        if reason is not None:
            text = f"the public interface '{link.name}' is not set down: {reason}"
            return self.once_log.once("error", text)
        addresses = tuple(
            entry for entry in facts.network.addresses if entry.ifindex == link.ifindex
        )
        return [
            Log("info", f"setting the public interface '{link.name}' down: {public.why}"),
            TakeLinkDown(link.ifindex, addresses),
        ]

    def _keep_ground(
        self, facts: Facts, servicenet: ServiceNet, gateway: IPv4Address
    ) -> list[Action]:
        """Put back the connected route, which a flush takes with ours, and ours stands on."""
        subnet, ifindex = servicenet.address.network, servicenet.link.ifindex
        found = facts.network.lookup(gateway)
        if found is None or gateway not in subnet or found.table != TABLE_MAIN:
            return []
        if (found.ifindex, found.gateway) == (ifindex, None) or found.refusal not in ("", NO_ROUTE):
            return []
        text = f"the connected route {subnet} dev '{servicenet.link.name}' was lost"
        return [
            *self.once_log.once("warning", f"{text}, putting it back"),
            AddRoute(
                ifindex,
                None,
                destination=subnet,
                metric=0,
                protocol=RTPROT_KERNEL,
                source=servicenet.address.ip,
            ),
        ]

    def _keep_servicenet(self, facts: Facts, servicenet: ServiceNet, now: float) -> list[Action]:
        """Keep what was reached through ServiceNet there: add the routes that are missing.

        A link flap takes them as silently as the default, so their routers are remembered. Where
        neither that nor the metadata names a router in our subnet, a warning names what is missing.
        """
        actions: list[Action] = []
        for network, probe in servicenet_probes(facts):
            found = facts.network.lookup(probe)
            if found is None or found.refusal not in ("", NO_ROUTE):
                continue
            if found.table != TABLE_MAIN:
                what = Diversion(found).describe(facts.network).replace("traffic", str(network), 1)
                actions += self.once_log.once("warning", what)
                continue
            if found.prefixlen > 0:
                self._remember_router(network, found, servicenet)
                continue
            router = self._routers.get(network, facts.metadata.servicenet_router)
            if router is None or router not in servicenet.address.network:
                actions += self.once_log.once(
                    "warning",
                    f"no route keeps {network} on ServiceNet, it is reached through the gateway;"
                    " add a route for it through the ServiceNet router",
                )
            elif now >= self._kept_at.get(network, -inf) + KEEP_INTERVAL:
                self._kept_at[network] = now
                text = f"adding the ServiceNet route {network} via {router}"
                actions += self.once_log.once("info", text)
                index = servicenet.link.ifindex
                actions.append(AddRoute(index, router, destination=network, protocol=STATIC))
            else:
                self.wake_at = self._kept_at[network] + KEEP_INTERVAL
        return actions

    def _remember_router(
        self, network: IPv4Network, found: RouteLookup, servicenet: ServiceNet
    ) -> None:
        if found.ifindex == servicenet.link.ifindex and found.gateway is not None:
            self._routers[network] = found.gateway


NO_ROUTE = "no route"  # of `RouteLookup.refusal`: no table has one


def _public_defaults(facts: Facts, servicenet: ServiceNet) -> list[Route]:
    """The IPv4 default routes of the public interface, which its policy forbids, of any metric."""
    public = facts.public
    if public is None or public.ifindex == servicenet.link.ifindex:
        return []
    return [route for route in facts.network.defaults if route.ifindex == public.ifindex]


def _repeated(text: str, unsaid: int | None) -> list[Action]:
    """The warning, with how often it was left out; only for debugging while it is left out."""
    if unsaid is None:
        return []
    more = f" ({unsaid} more times since it was last logged)" if unsaid else ""
    return [Log("warning", f"{text}{more}")]


def _fight_line(names: str) -> str:
    return (
        f"another program keeps setting {names}: taking the default route back only every"
        f" {PAUSE:g} s from now on"
    )


def _keep_public(facts: Facts, unwanted: tuple[Route, ...]) -> list[Action]:
    """Add the routes of `public_routes` by the gateway of the public default that is removed now.

    A refused route does not stop the others.
    """
    public = facts.public
    if public is None or facts.settings.public_interface is PublicInterface.DOWN:
        return []
    actions: list[Action] = []
    for route in unwanted:
        if route.ifindex != public.ifindex or not isinstance(route.gateway, IPv4Address):
            continue
        gateway = route.gateway
        onlink = not any(gateway in own.network for own in facts.network.own(public.ifindex))
        actions += [
            AddRoute(public.ifindex, gateway, destination=network, onlink=onlink, protocol=STATIC)
            for network in facts.settings.public_routes
        ]
    return actions


def ipv6_bypasses(facts: Facts, servicenet: ServiceNet) -> list[Route]:
    """The IPv6 default routes that bypass the firewall: all but ServiceNet's own."""
    defaults = facts.network.ipv6_defaults
    return [route for route in defaults if route.ifindex != servicenet.link.ifindex]


def planned_removals(facts: Facts, gateway: IPv4Address) -> tuple[Route, ...]:
    """The IPv4 default routes that would be removed once our route via *gateway* is there.

    For `rcnetctl plan`: the same rule as the guard's own, asked beforehand.
    """
    if facts.servicenet is None:
        return ()
    ifindex = facts.servicenet.link.ifindex
    public = facts.public.ifindex if facts.public else None
    return tuple(
        route
        for route in facts.network.defaults
        if not is_ours(route, ifindex, gateway)
        and (
            (route.tos == 0 and (route.metric <= METRIC or route.protocol == PROTOCOL))
            or (route.ifindex == public and public != ifindex)
        )
    )


def servicenet_probes(facts: Facts) -> tuple[tuple[IPv4Network, IPv4Address], ...]:
    """What has to stay on ServiceNet, each with an address by which to look up its route."""
    if facts.servicenet is None:
        return ()
    networks = facts.settings.servicenet.networks
    return _probes(networks, facts.servicenet.address.network, facts.api.peer)


@lru_cache(maxsize=4)  # asked for with each reading of the kernel, the same for days
def _probes(
    networks: tuple[IPv4Network, ...], subnet: IPv4Network, peer: IPv4Address | None
) -> tuple[tuple[IPv4Network, IPv4Address], ...]:
    elsewhere = [network for network in networks if not network.subnet_of(subnet)]
    probes = [(network, probe_address(network, subnet)) for network in elsewhere]
    if peer is not None and not any(peer in network for network in [*elsewhere, subnet]):
        probes.append((IPv4Network(peer), peer))
    return tuple(probes)
