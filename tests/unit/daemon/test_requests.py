"""The daemon's requests: each has its slot, and bookkeeping never stops them."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, cast

import pytest

from rcnetd.core.actions import Fetch
from rcnetd.core.events import Answered, BudgetObserved, GatewayNotAssigned, NoSlot, RequestFailed
from rcnetd.core.model import Operation
from rcnetd.core.settings import Settings
from rcnetd.daemon.metrics import Tally
from rcnetd.daemon.requests import Requests
from rcnetd.fetcher.fetcher import Fetcher
from rcnetd.store.paths import Paths
from rcnetd.store.timeline import Timeline

FETCH = Fetch(Operation.GATEWAY, IPv4Address("10.180.1.2"), "eth1", 10.0)


class Deaf:
    """A fetcher that only takes what it is given."""

    def __init__(self) -> None:
        self.deadline_at: float | None = None
        self.answer: Answered | None = None
        self.submitted = self.restarted = self.closed = self.started = 0
        self.has_connection = False

    def submit(self, *_: Any, **__: Any) -> None:
        self.submitted += 1

    def start(self) -> None:
        self.started += 1

    def restart(self) -> None:
        self.restarted += 1

    def receive(self) -> Answered | None:
        return self.answer

    expire = receive

    def fileno(self) -> None:
        return None

    def close(self) -> None:
        self.closed += 1


class Desk:
    """Requests with a deaf fetcher; what was complained of."""

    def __init__(self, paths: Paths) -> None:
        self.fetcher, self.complaints = Deaf(), list[Path]()
        self.requests = Requests(
            paths,
            Settings(),
            cast("Fetcher", self.fetcher),
            Timeline(paths.timeline),
            lambda path, _: self.complaints.append(path),
            Tally(0.0),
        )

    def ends(self, answer: Answered) -> BudgetObserved:
        """The request on its way ends so; the budget then."""
        self.fetcher.answer = answer
        got, (budget,) = self.requests.receive()
        assert got is answer
        assert isinstance(budget, BudgetObserved)
        return budget


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A run directory of the test's own."""
    (tmp_path / "run").mkdir()
    made = Desk(Paths(tmp_path / "run", tmp_path / "state"))
    yield made
    made.requests.close()


def test_each_request_has_a_slot(desk: Desk) -> None:
    """Without one nothing is sent."""
    for _ in range(14):  # the last four of the budget are rcnetctl's
        desk.requests.fetch(FETCH)
        desk.ends(GatewayNotAssigned(Operation.GATEWAY, IPv4Address("192.0.2.1")))
    events = desk.requests.fetch(FETCH)

    assert 14 == desk.fetcher.submitted
    assert NoSlot(Operation.GATEWAY) in events


def test_what_never_reached_the_api_costs_no_slot(desk: Desk) -> None:
    """Refused, no route, no name: the API has not seen it."""
    desk.requests.fetch(FETCH)
    unseen = RequestFailed(Operation.GATEWAY, kind="connect", reason="refused")
    assert () == desk.ends(unseen).free_in

    desk.requests.fetch(FETCH)
    peer = IPv4Address("192.0.2.1")
    seen = RequestFailed(Operation.GATEWAY, peer, kind="timeout", reason="no answer")
    assert 1 == len(desk.ends(seen).free_in)


def test_without_a_ledger_the_count_goes_on_in_memory(desk: Desk, tmp_path: Path) -> None:
    """A full /run: "going on without" is true, and the budget holds all the same."""
    (tmp_path / "run").rmdir()
    (tmp_path / "run").write_text("in the way")
    for _ in range(14):
        assert isinstance(desk.requests.fetch(FETCH)[0], BudgetObserved)
        desk.ends(GatewayNotAssigned(Operation.GATEWAY, IPv4Address("192.0.2.1")))

    assert NoSlot(Operation.GATEWAY) in desk.requests.fetch(FETCH)
    assert 14 == desk.fetcher.submitted
    assert [tmp_path / "run/requests"] == desk.complaints


def test_a_ledger_that_was_there_makes_us_cautious(desk: Desk, tmp_path: Path) -> None:
    """Whoever used it within the last minute may have used up the budget."""
    (tmp_path / "run/requests").mkdir()
    events = desk.requests.fetch(FETCH)

    assert NoSlot(Operation.GATEWAY) in events
    assert isinstance(events[0], BudgetObserved)
    assert 60 < events[0].blocked_for <= 61


@pytest.mark.parametrize("connected", [False, True])
def test_what_is_abandoned_costs_a_slot_once_it_has_a_connection(
    desk: Desk, connected: bool
) -> None:
    """Without one the API has not seen it. The next request finds a process that loads."""
    desk.requests.fetch(FETCH)
    desk.fetcher.has_connection = connected
    (budget,) = desk.requests.abandon()

    assert isinstance(budget, BudgetObserved)
    assert int(connected) == len(budget.free_in)
    assert (1, 1) == (desk.fetcher.closed, desk.fetcher.started)
    assert [] == desk.requests.abandon()


def test_the_rest_is_the_fetchers(desk: Desk) -> None:
    """Starting over, letting go, nothing to say."""
    desk.requests.restart()
    desk.requests.release()
    assert (None, []) == desk.requests.expire()
    assert (1, 1) == (desk.fetcher.restarted, desk.fetcher.closed)
    assert desk.requests.fileno() is None
    assert desk.requests.deadline_at is None
    (budget,) = desk.requests.block(30.0)
    assert isinstance(budget, BudgetObserved)
    assert 29 < budget.blocked_for <= 30
