"""From every state, every order of four events: what must hold whatever the world does."""

from __future__ import annotations

from itertools import permutations

import pytest

from rcnetd.core.actions import (
    Action,
    AddRoute,
    Fetch,
    NotifyReady,
    RemoveRoutes,
    SaveLastGood,
    Stop,
)
from rcnetd.core.events import Event, NetworkObserved, RateLimited, Reconfigured, RequestFailed
from rcnetd.core.lastgood import Identity
from rcnetd.core.machine import Machine
from rcnetd.core.model import (
    DEFAULT,
    METRIC,
    PROTOCOL,
    Address,
    AutomationStatus,
    Neighbour,
    Network,
    Operation,
    Route,
    RouteLookup,
)
from rcnetd.core.routes import OUTSIDE
from rcnetd.core.settings import Metadata
from rcnetd.core.states import State
from tests.support.playbook import (
    ASSIGNED,
    DEPLOYED,
    DEPLOYING,
    ETH0,
    ETH1,
    FAILED,
    GATEWAY,
    MANAGED,
    NO_INSTANCE,
    NOT_ASSIGNED,
    PRIVATE,
    PUBLIC,
    SETTINGS,
    UNMANAGED,
    UNPROCESSABLE,
    foreign_default,
)

OURS = Route(3, GATEWAY, METRIC, PROTOCOL, raw=b"ours")
THEIRS = foreign_default()
OUR_VERDICT = RouteLookup(0, 3, GATEWAY, METRIC, PROTOCOL)
THEIR_VERDICT = RouteLookup(0, 2, THEIRS.gateway, 0, 3)  # type: ignore[arg-type] # is an IPv4Address


def seen(*defaults: Route, verdict: RouteLookup, private: bool = True) -> NetworkObserved:
    """A reading with these default routes; the gateway answers on the link."""
    addresses = (Address(2, PUBLIC), Address(3, PRIVATE))
    return NetworkObserved(
        Network(
            (ETH0, ETH1),
            addresses if private else addresses[:1],
            defaults,
            ((OUTSIDE, verdict),),
            neighbour=Neighbour.REACHABLE,
        )
    )


NO_SERVICENET = seen(THEIRS, verdict=THEIR_VERDICT, private=False)
BEFORE = seen(THEIRS, verdict=THEIR_VERDICT)
CONTESTED = seen(THEIRS, OURS, verdict=THEIR_VERDICT)
IN_EFFECT = seen(OURS, verdict=OUR_VERDICT)

UNKNOWN_FEATURES = RequestFailed(Operation.FEATURES, kind="http-404", reason="404")
UNKNOWN_STATUS = RequestFailed(Operation.STATUS, kind="http-404", reason="404")

TO_EACH_STATE: dict[State, tuple[Event, ...]] = {
    State.WAITING_FOR_SERVICENET: (),
    State.WAITING_FOR_FEATURES: (BEFORE,),
    State.WAITING_FOR_GATEWAY: (BEFORE, MANAGED),
    State.APPLYING_ROUTE: (BEFORE, MANAGED, ASSIGNED, BEFORE),
    State.WAITING_FOR_DEPLOYED: (BEFORE, MANAGED, ASSIGNED, BEFORE, IN_EFFECT),
    State.READY: (BEFORE, MANAGED, ASSIGNED, BEFORE, IN_EFFECT, DEPLOYED),
    State.FAILED: (BEFORE, MANAGED, ASSIGNED, BEFORE, IN_EFFECT, FAILED),
    State.WAITING_UNMANAGED: (BEFORE, UNMANAGED),
    State.READY_UNMANAGED: (BEFORE, UNMANAGED, DEPLOYED),
    State.STOPPED: (BEFORE, UNMANAGED, UNPROCESSABLE),
    State.CHECKING_GATEWAY: (BEFORE, MANAGED, ASSIGNED),
    State.NOT_OURS: (BEFORE,),
    State.NOT_RACKCONNECTED: (BEFORE, UNKNOWN_FEATURES, NOT_ASSIGNED, UNKNOWN_STATUS),
}

EVENTS: tuple[Event, ...] = (
    NO_SERVICENET,
    BEFORE,
    CONTESTED,
    IN_EFFECT,
    MANAGED,
    NOT_ASSIGNED,
    ASSIGNED,
    DEPLOYING,
    DEPLOYED,
    FAILED,
    RequestFailed(Operation.STATUS, kind="timeout", reason="timed out"),
    RateLimited(Operation.GATEWAY),
    Reconfigured(SETTINGS, Identity("0" * 32, "https://another.example")),
)


class Watch:
    """Holds what was said and seen, and checks every action against it."""

    def __init__(self, metadata: Metadata) -> None:
        self.machine = Machine(SETTINGS, metadata, now=0.0, jitter=lambda: 0.5)
        self.network = Network()
        self.assigned = self.ready = self.stopped = self.in_flight = False
        self.had_nothing_to_do = False  # it may be RackConnected after all, and be ready again
        self.now = 0.0

    def tell(self, event: Event) -> None:
        """Give one event to the machine and look at what it does."""
        self.now += 0.25
        if isinstance(event, NetworkObserved):
            self.network = event.network
        self.assigned = self.assigned or event is ASSIGNED
        self.in_flight = self.in_flight and isinstance(event, NetworkObserved)
        for action in self.machine.handle(event, self.now):
            assert not self.stopped or isinstance(action, SaveLastGood)
            self._look(action)
        assert self.stopped or self.now < self.machine.wake_at <= self.now + 60

    def _look(self, action: Action) -> None:
        facts = self.machine.facts
        if isinstance(action, AddRoute) and action.protocol != PROTOCOL:
            assert action.destination != DEFAULT
        elif isinstance(action, AddRoute):
            assert self.assigned
            assert action.destination == DEFAULT
            assert action.gateway == GATEWAY
            assert facts.servicenet is not None
        elif isinstance(action, RemoveRoutes):
            assert OURS in self.network.defaults, "broke before it made"
        elif isinstance(action, NotifyReady):
            assert not self.ready or self.had_nothing_to_do
            self.ready = True
            self.had_nothing_to_do = self.machine.state is State.NOT_RACKCONNECTED
            if self.machine.state not in (State.NOT_OURS, State.NOT_RACKCONNECTED):
                assert facts.automation.status is AutomationStatus.DEPLOYED
            if self.machine.state is State.READY:
                assert self.network.lookup(OUTSIDE) == OUR_VERDICT
        elif isinstance(action, Fetch):
            assert facts.servicenet is not None
            assert not self.in_flight, "two requests at a time"
            self.in_flight = True
        elif isinstance(action, Stop):
            self.stopped = True


def walk(state: State, events: tuple[Event, ...]) -> Watch:
    """Bring a machine to *state*, then let *events* happen."""
    v3 = Metadata(roles=("rackconnect:v3",))
    others = Metadata(roles=("identity:user-admin",))
    roles = {State.NOT_OURS: v3, State.NOT_RACKCONNECTED: others}
    watch = Watch(roles.get(state, NO_INSTANCE))
    for event in TO_EACH_STATE[state] + events:
        watch.tell(event)
    return watch


def test_every_state_has_a_way_there() -> None:
    """The walk below starts from every state there is."""
    assert set(State) == set(TO_EACH_STATE)
    for state in State:
        assert state is walk(state, ()).machine.state


@pytest.mark.long
@pytest.mark.no_cover  # the other tests cover it all; tracing this one takes minutes
@pytest.mark.parametrize("state", list(State), ids=lambda state: state.name)
def test_every_order_of_four_events(state: State) -> None:
    """Never two requests at a time, never broken before made, never ready without the route."""
    for events in permutations(EVENTS, 4):
        try:
            walk(state, events)
        except AssertionError as error:
            raise AssertionError(f"after {events!r}: {error}") from error
