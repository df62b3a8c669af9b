"""The machine: events in, actions out; every decision of the daemon. Pure.

`handle(event, now)` takes in what happened, follows the table of `states.py`, and says what to do.
`now` is in monotonic seconds. `wake_at` is when to call again with a fresh reading of the kernel
even if nothing happens; `query` is what that reading has to contain.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from rcnetd.basic.dataclass import replace
from rcnetd.core.actions import (
    Action,
    Log,
    NotifyReady,
    PublishRoute,
    RecordPublic,
    SaveLastGood,
    Stop,
)
from rcnetd.core.events import (
    Answered,
    BudgetObserved,
    DependenciesChanged,
    Event,
    NetworkObserved,
    NoSlot,
    RateLimited,
    Reconfigured,
    RequestFailed,
    RouteChangeFailed,
)
from rcnetd.core.facts import (
    BEFORE_RESTART,
    Configurator,
    Deadlines,
    Facts,
    worth_remembering,
)
from rcnetd.core.guard import Guard, servicenet_probes
from rcnetd.core.intake import Intake
from rcnetd.core.lastgood import Identity, LastGood
from rcnetd.core.log import OnceLog
from rcnetd.core.model import ConfiguredBy, Operation, Query
from rcnetd.core.poller import Poller
from rcnetd.core.public import PublicLink, choose_public, find_public
from rcnetd.core.routes import OTHER_HALF, OUTSIDE, evaluate_route
from rcnetd.core.settings import Metadata, PublicInterface, PublicIPv6, Settings
from rcnetd.core.snapshot import Snapshot
from rcnetd.core.states import (
    EXITS,
    GUARDING_STATES,
    HOLDS,
    READY_STATES,
    TRANSITIONS,
    Condition,
    State,
)

RESYNC_INTERVAL = 60.0  # seconds: "a slow resync covers what no message told"
REREAD_DELAY = 0.2  # seconds until a list of links that kept changing is read again


class Machine:
    """One daemon's decisions.

    *last_good* is what outlived the last reboot; *was_ready* says that this server was READY in
    this boot before, *was_not_rackconnected* that it was so because there was nothing to do,
    *public* what was recorded then as the public interface. *jitter* gives numbers in [0, 1).
    """

    def __init__(
        self,
        settings: Settings,
        metadata: Metadata,
        identity: Identity | None = None,
        last_good: LastGood | None = None,
        *,
        was_ready: bool = False,
        was_not_rackconnected: bool = False,
        public: PublicLink | None = None,
        now: float,
        jitter: Callable[[], float],
    ) -> None:
        self.state = State.WAITING_FOR_SERVICENET
        self.state_since = now
        self.facts = Facts(
            settings,
            metadata,
            identity or Identity(),
            last_good,
            was_ready=was_ready and not was_not_rackconnected,
            was_not_rackconnected=was_not_rackconnected,
            home=last_good.address.ip if last_good else None,
            deadlines=Deadlines(now + settings.servicenet.timeout, now + settings.deploy_timeout),
        )
        self.poller = Poller(settings.requests_per_minute, jitter)
        self.guard = Guard(OnceLog())
        self.wake_at = now
        self.exit: Stop | None = None
        self._recorded_public = public
        self._actions: list[Action] = []
        self._once_log = self.guard.once_log
        self._published: PublishRoute | None = None
        intake = Intake(self.facts, self._once_log)
        intake.apply_manage()
        self._take(intake)

    @property
    def query(self) -> Query:
        """What the next reading of the kernel has to contain."""
        facts = self.facts
        servicenet, gateway = facts.servicenet, facts.gateway
        probes = tuple(probe for _, probe in servicenet_probes(facts))
        if servicenet is None or facts.configured_by is not ConfiguredBy.RCNETD:
            # The way to the API matters before it is known who configures the network.
            return Query(destinations=probes if self.awaits_api else (), links=self._links())
        destinations = [OUTSIDE, OTHER_HALF, *probes]
        if gateway.address is not None:
            destinations.append(gateway.address)
        forbidden = facts.settings.public_ipv6 is PublicIPv6.NO_DEFAULT
        return Query(
            destinations=tuple(destinations),
            source=servicenet.address.ip,
            neighbour=(servicenet.link.ifindex, gateway.candidate) if gateway.candidate else None,
            ipv6=forbidden or not self.guard.public_policy_applied,
            links=self._links(),
        )

    def _links(self) -> tuple[int, ...] | None:
        """The links that matter; None while any could: until who is who has been decided."""
        facts = self.facts
        settled = self.guard.public_policy_applied or (
            facts.settings.public_interface is not PublicInterface.DOWN and facts.public_is_decided
        )
        if facts.servicenet is None or facts.rediscover or facts.gateway.candidate or not settled:
            return None
        public = (facts.public.ifindex,) if facts.public else ()
        return (facts.servicenet.link.ifindex, *public)

    @property
    def is_ready(self) -> bool:
        """Whether READY=1 is due or was given."""
        return self.state in READY_STATES

    @property
    def awaits_api(self) -> bool:
        """Whether a request is on its way or has failed: any new route may be what it needs."""
        return self.poller.in_flight is not None or self.poller.pacer.failures > 0

    def snapshot(self, now: float) -> Snapshot:
        """What there is to show at *now*."""
        return Snapshot(
            now,
            self.state,
            self.state_since,
            self.facts,
            self.poller.snapshot(now),
            self.guard.is_fighting(now),
            self.guard.repairs,
            self.guard.last_repair,
            self.exit,
        )

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take in *event* and say what to do, in order."""
        if self.state is State.STOPPED:
            return []
        self.guard.wake_at = inf
        self._apply(event, now)
        gateway, actions = self.guard.check(self.facts, now)
        self._actions += actions
        self.facts = replace(self.facts, gateway=gateway)
        self.facts = replace(
            self.facts,
            route=evaluate_route(
                self.facts.network, self.facts.servicenet, self.facts.gateway.address
            ),
        )
        self._follow_transitions(now)
        if self.state in GUARDING_STATES:
            self._decide_public()
            self._actions += self.guard.step(self.facts, now)
            self._publish_route()
        self._remember()
        self._actions += self.poller.poll(self.state, self.facts, now)
        self.wake_at = self._next_wake(now)
        actions, self._actions = self._actions, []
        return actions

    def _next_wake(self, now: float) -> float:
        facts = self.facts
        fallback = facts.failing_since(Operation.FEATURES) + facts.settings.fallback_after
        return min(
            self.guard.wake_at,
            self.poller.next_at,
            now + (REREAD_DELAY if facts.rediscover else RESYNC_INTERVAL),
            facts.deadlines.servicenet if self._awaits(Condition.SERVICENET_TIMED_OUT) else inf,
            facts.deadlines.deploy if self._awaits(Condition.DEPLOY_TIMED_OUT) else inf,
            facts.deadlines.fallback if self._awaits(Condition.TRUSTED) else inf,
            fallback if facts.configurator is None and fallback > now else inf,
        )

    # What happened

    def _apply(self, event: Event, now: float) -> None:
        intake = Intake(self.facts, self._once_log)
        if isinstance(event, NetworkObserved):
            intake.network_observed(event.network, now)
            self._look_at_changes(self.facts, intake.facts, now)
        elif isinstance(event, Reconfigured):
            self._once_log.forget()
            intake.reconfigured(event)
            self.poller.reconfigured(event.settings.requests_per_minute)
            self.guard.reconfigured()
        elif isinstance(event, DependenciesChanged):
            self._actions += self.poller.start_over(now)
        elif isinstance(event, BudgetObserved):
            self.poller.pacer.budget_observed(now, event.free_in, event.blocked_for)
        elif isinstance(event, NoSlot):
            self.poller.refused(event.operation, now)
        elif isinstance(event, RouteChangeFailed):
            self._actions += self.guard.change_failed(event.reason, self.facts.network, now)
        elif isinstance(event, Answered):
            self._actions += self.poller.answered(event, self.state, self.facts, now)
            if isinstance(event, (RequestFailed, RateLimited)):
                intake.failed(event, now)
            else:
                intake.answered(event)
        else:
            raise AssertionError(f"Unexpected event: {event!r}")
        if self.state is State.WAITING_FOR_FEATURES:
            intake.decide_without_features(now)
        self._take(intake)

    def _take(self, intake: Intake) -> None:
        self.facts = intake.facts
        self._actions += intake.actions

    def _look_at_changes(self, before: Facts, after: Facts, now: float) -> None:
        """What a request depends on has changed: ServiceNet, addresses, routes to the API."""
        if after.servicenet is None:
            return
        self._actions += self.poller.moved(after.servicenet)
        if before.servicenet is None or before.servicenet.address != after.servicenet.address:
            self.poller.reset_backoff()
        elif self.awaits_api and _way_has_changed(before, after):
            self._actions += self.poller.start_over(now)

    # Where we are

    def _follow_transitions(self, now: float) -> None:
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
        self.state, self.state_since = state, now
        self.poller.hurry()
        facts = self.facts
        if condition is Condition.ROUTE_IN_EFFECT:
            self.facts = replace(facts, applied=True)
        elif condition in (Condition.RESUMED, Condition.RACKCONNECTED):
            deploy = now + facts.settings.deploy_timeout
            self.facts = replace(
                facts,
                deadlines=replace(facts.deadlines, deploy=deploy),
                api=replace(facts.api, failing_since=()),
            )
        elif condition is Condition.READY_BEFORE:
            assert facts.last_good is not None
            by = facts.last_good.configured_by
            self.facts = replace(
                facts,
                configurator=Configurator(by, "as before the restart", confirmed=False),
                automation=replace(facts.automation, source=BEFORE_RESTART),
            )
        elif condition is Condition.TRUSTED:
            source = facts.deployed_by
            self.facts = replace(facts, automation=replace(facts.automation, source=source))
            level = "info" if facts.was_ready else "warning"
            self._log(level, f"the API has not answered yet; DEPLOYED {source}")
        if state is State.STOPPED:
            code, reason = EXITS[condition]
            if condition is Condition.DEPLOY_TIMED_OUT:
                reason = f"{reason} ({self._missing()})"
            self.exit = Stop(code, reason)
            self._log("error", reason)
            self._actions.append(self.exit)
            return
        self._log("info", state.value)
        if state in READY_STATES:
            self._actions.append(NotifyReady())

    def _missing(self) -> str:
        """What READY was still waiting for."""
        automation = self.facts.automation
        waiting = "the automation is " + (automation.word or "unknown")
        return waiting if self.facts.applied else f"no route is in effect, {waiting}"

    def _awaits(self, condition: Condition) -> bool:
        return any(condition is awaited for awaited, _ in TRANSITIONS[self.state])

    def _decide_public(self) -> None:
        """Decide once which link is the public interface, and record it before any change."""
        facts = self.facts
        if facts.public_is_decided or facts.servicenet is None or not facts.network.is_complete:
            return
        recorded, public = self._recorded_public, None
        if recorded is not None:
            public = find_public(facts.network, recorded)
        if public is None:
            public = choose_public(facts.network, facts.servicenet, facts.metadata)
        self.facts = replace(facts, public=public, public_is_decided=True)
        if public is not None and public != recorded:
            self._log("info", f"the public interface is '{public.name}': {public.why}")
            self._actions.append(RecordPublic(public))

    # What others have to know

    def _publish_route(self) -> None:
        facts, address = self.facts, self.facts.gateway.address
        if not facts.route.holds or facts.servicenet is None or address is None:
            return
        link, before = facts.servicenet.link, self._published
        route = PublishRoute(link.ifindex, address, facts.settings)
        if route == before:
            return
        self._published = route
        self._actions.append(route)
        if before is None or (before.ifindex, before.gateway) != (route.ifindex, route.gateway):
            self._log("info", f"default route is via {address} dev '{link.name}'")

    def _remember(self) -> None:
        """What the API has confirmed and works is worth remembering."""
        last_good = worth_remembering(self.facts)
        if last_good is not None and last_good != self.facts.last_good:
            self.facts = replace(self.facts, last_good=last_good, last_good_matches=True)
            self._actions.append(SaveLastGood(last_good))

    def _log(self, level: str, text: str) -> None:
        self._actions.append(Log(level, text))


def _way_has_changed(before: Facts, after: Facts) -> bool:
    """Whether a packet gets to the API by another way now."""
    one, other = before.network, after.network
    if (one.addresses, one.defaults) != (other.addresses, other.defaults):
        return True
    # What was asked only once says nothing of a change.
    known = dict(one.lookups)
    return any(known.get(asked, found) != found for asked, found in other.lookups)
