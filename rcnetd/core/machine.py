"""The machine: events in, actions out; every decision of the daemon. Pure.

`handle(event, now)` takes in what happened, follows the table of `states.py`, and says what to do.
`now` is in monotonic seconds. `wake_at` is when to call again with a fresh reading of the kernel
even if nothing happens; `query` is what that reading has to contain.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address
from math import inf

from rcnetd.basic.dataclass import replace
from rcnetd.core.actions import (
    Action,
    Fetch,
    HoldRequests,
    Log,
    NotifyReady,
    PublishRoute,
    ReleaseFetcher,
    SaveLastGood,
    Stop,
)
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
    Reconfigured,
    RequestFailed,
    RouteChangeFailed,
    StatusReceived,
)
from rcnetd.core.facts import Facts
from rcnetd.core.guard import Guard, servicenet_probes
from rcnetd.core.lastgood import Identity, LastGood, difference
from rcnetd.core.model import AutomationStatus, ConfiguredBy, Network, Operation, Query
from rcnetd.core.pacing import Pacer
from rcnetd.core.polling import wanted
from rcnetd.core.routes import OUTSIDE, judge
from rcnetd.core.servicenet import ServiceNet, choose, objection
from rcnetd.core.settings import Manage, Metadata, Settings
from rcnetd.core.states import (
    EXITS,
    GUARDING_STATES,
    HOLDS,
    READY_STATES,
    TRANSITIONS,
    Condition,
    State,
)

REQUEST_TIMEOUT = 10.0  # seconds for one request, all in all
FETCHER_IDLE_DELAY = 60.0  # seconds without a request for which the fetcher is not kept
RESOLVE_RETRY_DELAY = 300.0  # seconds for which the last address is asked when the name fails
RESYNC_INTERVAL = 60.0  # seconds: "a slow resync covers what no message told"


class Machine:
    """One daemon's decisions. *memory* is what is remembered; *jitter* gives numbers in [0, 1)."""

    def __init__(
        self,
        settings: Settings,
        metadata: Metadata,
        identity: Identity | None = None,
        memory: LastGood | None = None,
        *,
        now: float,
        jitter: Callable[[], float],
    ) -> None:
        self.state = State.WAITING_FOR_SERVICENET
        self.state_since = now
        self.facts = Facts(settings, metadata, identity or Identity(), memory)
        self.facts.servicenet_deadline = now + settings.servicenet.timeout
        self.facts.deploy_deadline = now + settings.deploy_timeout
        self.pacer = Pacer(settings.requests_per_minute, jitter)
        self.guard = Guard()
        self.in_flight: Operation | None = None
        self.next_request_at = inf
        self.wake_at = now
        self.last_error: RequestFailed | RateLimited | None = None
        self.exit: Stop | None = None
        self._actions: list[Action] = []
        self._urgent = False
        self._asked_at: dict[Operation, float] = {}
        self._said: set[str] = set()
        self._written: PublishRoute | None = None
        self._released = False
        self._manage()

    @property
    def query(self) -> Query:
        """What the next reading of the kernel has to contain."""
        facts = self.facts
        if facts.servicenet is None or facts.configured_by is not ConfiguredBy.RCNETD:
            return Query()
        candidate = facts.candidate
        return Query(
            destinations=(OUTSIDE, *(probe for _, probe in servicenet_probes(facts))),
            neighbour=(facts.servicenet.link.ifindex, candidate) if candidate else None,
            ipv6=not self.guard.public_settled,
        )

    @property
    def is_ready(self) -> bool:
        """Whether READY=1 is due or was given."""
        return self.state in READY_STATES

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take in *event* and say what to do, in order."""
        if self.state is State.STOPPED:
            return []
        self.guard.wake_at = inf
        self._take_in(event, now)
        self._actions += self.guard.check(self.facts, now)
        self._judge()
        self._settle(now)
        if self.state in GUARDING_STATES:
            self._actions += self.guard.step(self.facts, now)
            self._write_route()
        self._remember()
        self._ask(now)
        actions, self._actions = self._actions, []
        self.wake_at = min(
            self.guard.wake_at,
            self.next_request_at,
            now + RESYNC_INTERVAL,
            self.facts.servicenet_deadline if self._awaits(Condition.SERVICENET_TIMED_OUT) else inf,
            self.facts.deploy_deadline if self._awaits(Condition.DEPLOY_TIMED_OUT) else inf,
            self.facts.trust_at if self._awaits(Condition.TRUSTED) else inf,
        )
        return actions

    # What happened

    def _take_in(self, event: Event, now: float) -> None:
        if isinstance(event, NetworkObserved):
            self._network_observed(event.network, now)
        elif isinstance(event, Reconfigured):
            self._reconfigured(event)
        elif isinstance(event, BudgetObserved):
            self.pacer.budget_observed(now, event.free_in, event.blocked_for)
        elif isinstance(event, NoSlot):
            self.in_flight = None
            self.pacer.refused(now)
        elif isinstance(event, RouteChangeFailed):
            self._actions += self.guard.refused(event.reason, self.facts.network, now)
        elif isinstance(event, Answered):
            self._answered(event, now)
        else:
            raise AssertionError(f"Unexpected event: {event!r}")

    def _network_observed(self, network: Network, now: float) -> None:
        facts = self.facts
        before = facts.servicenet
        facts.network = network
        facts.servicenet = choose(network, facts.settings.servicenet, facts.metadata.servicenet_mac)
        if facts.servicenet is None:
            if before is not None:
                facts.servicenet_deadline = now + facts.settings.servicenet.timeout
                self._log("warning", f"ServiceNet is gone from '{before.link.name}'")
            return
        if before is None or (before.link.ifindex, before.address) != (
            facts.servicenet.link.ifindex,
            facts.servicenet.address,
        ):
            facts.servicenet_deadline = inf
            link, address = facts.servicenet.link, facts.servicenet.address
            self._log("info", f"ServiceNet is '{link.name}', {address}: {facts.servicenet.why}")
            self.pacer.reset_backoff()
            self._urgent = True
            self._drop_invalid_gateway()
            self._recall(facts.servicenet, now)

    def _reconfigured(self, event: Reconfigured) -> None:
        """Go on with other settings: what is in effect stays until an answer says otherwise."""
        facts, settings = self.facts, event.settings
        before, facts.settings = facts.settings, settings
        facts.servicenet_deadline += settings.servicenet.timeout - before.servicenet.timeout
        facts.deploy_deadline += settings.deploy_timeout - before.deploy_timeout
        facts.trust_at += settings.fallback_after - before.fallback_after
        if settings.manage is not before.manage:
            facts.configured_by_is_presumed = (
                facts.configured_by is not None
            )  # by the setting of before
            self._manage()
        if event.identity != facts.identity:
            facts.identity, facts.recalled, facts.proven = event.identity, False, None
            # In use, but not from the API that is asked from now on.
            facts.gateway_is_remembered = facts.gateway is not None
            facts.status, facts.status_word = None, ""
        self._drop_invalid_gateway()
        self.pacer.limit_to(settings.requests_per_minute)
        self.guard.reconfigured()
        self.in_flight, self._urgent = None, True
        self._asked_at.clear()  # all is asked again
        self._log("info", "the settings were read again")

    def _manage(self) -> None:
        """The setting decides who configures the network, unless it leaves that to RackConnect."""
        manage = self.facts.settings.manage
        if manage is not Manage.AUTO:
            self.facts.configured_by_is_presumed = False
            configured_by = (
                ConfiguredBy.RCNETD if manage is Manage.ALWAYS else ConfiguredBy.RACKCONNECT
            )
            self._decide_configured_by(configured_by, f"'manage: {manage.value}' is set")

    def _recall(self, servicenet: ServiceNet, now: float) -> None:
        """Use what is remembered of this server, before anything is asked."""
        facts, memory = self.facts, self.facts.last_good
        facts.recalled = False
        if memory is None or facts.metadata.is_rackconnect_v3:
            return
        known = None if facts.configured_by_is_presumed else facts.configured_by
        other = difference(memory, facts.identity, servicenet, known)
        if other is not None:
            self._log_once("info", f"what is remembered is of another {other}, not used")
            if facts.gateway_is_remembered:
                facts.candidate = facts.gateway = None
            return
        facts.recalled, facts.trust_at = True, now + facts.settings.fallback_after
        facts.proven = facts.proven or memory.api_address
        if facts.configured_by is None:
            facts.configured_by_is_presumed = True
            self._decide_configured_by(
                memory.configured_by, "as remembered, asking the API whether it still is"
            )
        if memory.gateway is not None and not (facts.gateway or facts.candidate):
            self._recall_gateway(memory.gateway)

    def _recall_gateway(self, gateway: IPv4Address) -> None:
        reason = self._objection(gateway)
        if reason is not None:
            self._log_once("warning", f"the remembered gateway {gateway} {reason}, not used")
            return
        self._log("info", f"gateway {gateway} is remembered, asking the API whether it still is")
        self.facts.gateway_is_remembered = True
        self._try_gateway(gateway)

    def _drop_invalid_gateway(self) -> None:
        """The address has changed: a gateway that does not fit it is none of ours any more."""
        facts = self.facts
        if facts.candidate and self._objection(facts.candidate):
            facts.candidate = None
        reason = self._objection(facts.gateway) if facts.gateway else None
        if reason is not None:
            self._log("warning", f"gateway {facts.gateway} {reason}, asking the API again")
            facts.gateway = None

    def _objection(self, gateway: IPv4Address) -> str | None:
        facts = self.facts
        if facts.servicenet is None:
            return "cannot be judged without ServiceNet"
        own = tuple(entry.interface for entry in facts.network.addresses)
        onlink = facts.settings.gateway.onlink
        return objection(gateway, own, facts.servicenet.address, onlink=onlink)

    def _answered(self, event: Answered, now: float) -> None:
        facts, self.in_flight = self.facts, None
        facts.peer = event.peer or facts.peer
        facts.heard = facts.heard or not isinstance(event, RequestFailed)
        if isinstance(event, RequestFailed):
            delay = self.pacer.failed(now)
            self._failed(event, f"retrying in {delay:.1f} s")
            self._avoid_resolver(event, now)
        elif isinstance(event, RateLimited):
            delay = self.pacer.limited(now, event.retry_after)
            self._actions.append(HoldRequests(delay))
            self._failed(event, f"the API's rate limit is reached (403), silent for {delay:.0f} s")
        else:
            self.pacer.succeeded()
            if event.peer is not None and facts.identity.endpoint.startswith("https://"):
                facts.proven = event.peer
            if self.last_error is not None:
                self._log("info", "the API answers again")
            self.last_error = None
            self._understood(event)

    def _avoid_resolver(self, event: RequestFailed, now: float) -> None:
        """Without an answer of the resolver, ask where the API was; if it is not there, resolve."""
        facts = self.facts
        if event.kind != "dns":
            facts.resolve_at = now
        elif facts.proven is not None:
            facts.resolve_at = now + RESOLVE_RETRY_DELAY
            self._log_once("warning", f"asking {facts.proven}, where the API was last")

    def _failed(self, event: RequestFailed | RateLimited, consequence: str) -> None:
        """Say a failure once; the same failure again is no news."""
        before, self.last_error = self.last_error, event
        if isinstance(event, RateLimited):
            level = "warning" if type(before) is not RateLimited else "debug"
            self._log(level, f"Failed to ask '{event.operation.value}': {consequence}")
        else:
            is_news = not isinstance(before, RequestFailed) or before.reason != event.reason
            self._log(
                "warning" if is_news else "debug",
                f"Failed to ask '{event.operation.value}': {event.reason}, {consequence}",
            )

    def _understood(self, event: Answered) -> None:
        if isinstance(event, FeaturesReceived):
            self._features_received(event.configure_network_stack)
        elif isinstance(event, GatewayReceived):
            self._gateway_received(event.gateway)
        elif isinstance(event, GatewayNotAssigned):
            self.facts.gateway_is_remembered = False
            self._log_once("debug", "the gateway is not assigned yet (404)")
        elif isinstance(event, StatusReceived):
            self._status_received(event)
        else:
            raise AssertionError(f"Unexpected answer: {event!r}")

    def _features_received(self, configure_network_stack: bool | None) -> None:
        facts = self.facts
        if facts.configured_by is not None and not facts.configured_by_is_presumed:
            return
        presumed, facts.configured_by_is_presumed = facts.configured_by, False
        why = "the feature Configure Network Stack is"
        if configure_network_stack is None:
            configure_network_stack = facts.metadata.configure_network_stack
            why = "the features' answer did not tell, xenstore says Configure Network Stack is"
        if configure_network_stack is None:
            if presumed is None:
                why = "the features' answer did not tell; the gateway's will"
                self._decide_configured_by(ConfiguredBy.RCNETD, why)
        elif configure_network_stack:
            facts.candidate = facts.gateway = None
            self._decide_configured_by(ConfiguredBy.RACKCONNECT, f"{why} enabled")
        else:
            self._decide_configured_by(ConfiguredBy.RCNETD, f"{why} not enabled")

    def _decide_configured_by(self, configured_by: ConfiguredBy, why: str) -> None:
        self.facts.configured_by, self.facts.configured_by_reason = configured_by, why
        name = "rcnetd" if configured_by is ConfiguredBy.RCNETD else "RackConnect"
        self._log("info", f"{name} configures the network: {why}")

    def _gateway_received(self, gateway: IPv4Address) -> None:
        facts = self.facts
        reason = self._objection(gateway)
        facts.objection = f"{gateway} {reason}" if reason else ""
        facts.gateway_is_remembered = False
        if reason is not None:
            self._log_once(
                "error", f"the API's gateway {gateway} {reason}, changing nothing, asking again"
            )
        elif gateway == facts.gateway:
            facts.candidate = None
        elif gateway != facts.candidate:
            self._log("info", f"the API's gateway is {gateway}")
            self._try_gateway(gateway)

    def _try_gateway(self, gateway: IPv4Address) -> None:
        """Use *gateway* as soon as it answers on the link."""
        self.facts.candidate = gateway
        self.facts.network = replace(self.facts.network, neighbour=None)
        self.guard.expect_candidate()

    def _status_received(self, event: StatusReceived) -> None:
        facts = self.facts
        if event.status is AutomationStatus.UNKNOWN:
            self._log_once(
                "warning", f"automation status '{event.word}' is unknown, not taken for DEPLOYED"
            )
        elif event.status is not facts.status:
            self._log("info", f"automation status is {event.status.value}")
        facts.status, facts.status_word, facts.trusted_by = event.status, event.word, ""

    # Where we are

    def _judge(self) -> None:
        facts = self.facts
        facts.route = judge(facts.network, facts.servicenet, facts.gateway, applied=facts.applied)

    def _settle(self, now: float) -> None:
        """Follow the table until no condition of the present state holds."""
        for _ in TRANSITIONS:
            found = next(
                (
                    (condition, target)
                    for condition, target in TRANSITIONS[self.state]
                    if HOLDS[condition](self.facts, now)
                ),
                None,
            )
            if found is None:
                return
            self._enter(*found, now)
        raise AssertionError(f"the table has a cycle through '{self.state.name}'")

    def _enter(self, condition: Condition, state: State, now: float) -> None:
        self.state, self.state_since, self._urgent = state, now, True
        if condition is Condition.ROUTE_IN_EFFECT:
            self.facts.applied = True
        elif condition is Condition.RESUMED:
            self.facts.deploy_deadline = now + self.facts.settings.deploy_timeout
        elif condition is Condition.TRUSTED:
            self.facts.trusted_by = self.facts.deployed_by
            self._log("warning", f"the API gives no answer; DEPLOYED {self.facts.trusted_by}")
        if state is State.STOPPED:
            code, reason = EXITS[condition]
            self.exit = Stop(code, reason)
            self._log("error", reason)
            self._actions.append(self.exit)
            return
        self._log("info", state.value)
        if state in READY_STATES:
            self._actions.append(NotifyReady())

    def _awaits(self, condition: Condition) -> bool:
        return any(condition is awaited for awaited, _ in TRANSITIONS[self.state])

    # What to ask

    def _ask(self, now: float) -> None:
        """Send the next request if it is due; else know when it will be."""
        self.next_request_at = inf
        if self.in_flight is not None or self.state is State.STOPPED:
            return
        next_one = wanted(self.state, self.facts, self._asked_at, now)
        servicenet = self.facts.servicenet
        if next_one is not None and servicenet is not None:
            operation, interval = next_one
            asked_at = self._asked_at.get(operation, -inf)
            urgent = interval == 0 and (
                asked_at == -inf or (self._urgent and now - asked_at >= self.pacer.interval)
            )
            self.next_request_at = self.pacer.due_at(now, urgent=urgent, interval=interval)
            if now >= self.next_request_at:
                self._urgent = False
                self.pacer.sent(now)
                self._asked_at[operation] = now
                self.in_flight, self.next_request_at, self._released = operation, inf, False
                source, device = servicenet.address.ip, servicenet.link.name
                address = self.facts.proven if now < self.facts.resolve_at else None
                fetch = Fetch(operation, source, device, REQUEST_TIMEOUT, address)
                self._actions.append(fetch)
                return
        # While ServiceNet is awaited the next request may be due any moment: the fetcher stays.
        is_idle = self.state is not State.WAITING_FOR_SERVICENET
        if is_idle and self.next_request_at > now + FETCHER_IDLE_DELAY and not self._released:
            self._released = True
            self._actions.append(ReleaseFetcher())

    # What to say

    def _write_route(self) -> None:
        facts = self.facts
        if not facts.route.in_effect or facts.servicenet is None or facts.gateway is None:
            return
        link, before = facts.servicenet.link, self._written
        route = PublishRoute(link.ifindex, facts.gateway, facts.settings)
        if route == before:
            return
        self._written = route
        self._actions.append(route)
        if before is None or (before.ifindex, before.gateway) != (route.ifindex, route.gateway):
            self._log("info", f"default route is via {facts.gateway} dev '{link.name}'")

    def _remember(self) -> None:
        """What the API has confirmed and works is worth remembering."""
        facts = self.facts
        by_rcnetd = facts.configured_by is ConfiguredBy.RCNETD
        works = (
            facts.route.in_effect if by_rcnetd else facts.configured_by is ConfiguredBy.RACKCONNECT
        )
        if facts.servicenet is None or facts.configured_by_is_presumed or not works:
            return
        if not facts.identity.machine_id or (facts.gateway_is_remembered and not facts.recalled):
            return
        before = facts.last_good if facts.recalled else None
        # A fresh answer wins; without one, what was remembered still is.
        fresh = facts.status is AutomationStatus.DEPLOYED
        deployed = fresh if facts.status else before is not None and before.deployed
        memory = LastGood(
            facts.identity,
            facts.servicenet.link.mac,
            facts.servicenet.address,
            ConfiguredBy.RCNETD if by_rcnetd else ConfiguredBy.RACKCONNECT,
            facts.gateway if by_rcnetd else None,
            deployed,
            facts.proven,
        )
        if memory != facts.last_good:
            facts.last_good, facts.recalled = memory, True
            self._actions.append(SaveLastGood(memory))

    def _log(self, level: str, text: str) -> None:
        self._actions.append(Log(level, text))

    def _log_once(self, level: str, text: str) -> None:
        if text not in self._said and len(self._said) < 100:
            self._said.add(text)
            self._log(level, text)
