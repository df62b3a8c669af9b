"""The wait's decisions, on simulated time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rcnetd.fleet.collect import Collector, Trouble
from rcnetd.fleet.failures import Failure
from rcnetd.fleet.gate import Goal
from rcnetd.fleet.progress import Progress
from rcnetd.fleet.servers import Counts, Selection, Server, count
from rcnetd.fleet.waiting import wait
from rcnetd.fleet.watch import Listing, RegionWatch
from tests.support.openstack import server


class Simulated:
    """A collector whose answers are a list of words per round; time passes only in `wait`."""

    def __init__(self, *rounds: list[str | None] | Failure) -> None:
        self.rounds = list(rounds)
        self.now = 0.0
        self.asked: list[tuple[float, bool]] = []
        self.watches = [RegionWatch("c", "ORD")]
        self._pending = False
        self._full = True

    def start(self) -> None:
        self._ask(self.watches[0].needs_full(self.now))

    def start_final(self) -> None:
        self._ask(True)

    def _ask(self, full: bool) -> None:
        self.asked.append((self.now, full))
        self._pending, self._full = True, full

    def wait(self, until: float) -> bool:
        if not self._pending:
            self.now = until
            return False
        self._pending = False
        self.now += 0.1
        answer = self.rounds.pop(0) if len(self.rounds) > 1 else self.rounds[0]
        if isinstance(answer, Failure):
            self.watches[0].failed(answer)
            return True
        listing = Listing(full=self._full, server_time=self.now)
        listing.add([server(n, one) for n, one in enumerate(answer)], "c", "ORD", Selection())
        self.watches[0].apply(listing, self.now)
        return True

    def servers(self) -> list[Server]:
        return list(self.watches[0].servers.values())

    def counts(self) -> Counts:
        return count(self.servers())

    def troubles(self) -> list[Trouble]:
        watch = self.watches[0]
        failure = watch.failure
        if failure is None and watch.full_at is None:
            failure = Failure("no answer yet", transient=True)
        return [Trouble("c", "ORD", failure)] if failure else []

    alive = Collector.alive
    is_all_full = Collector.is_all_full


class Quiet:
    """Shows nothing."""

    redraw = 1000.0

    def show(self, progress: Progress, collector: Collector, now: float) -> None:
        pass


def run(simulated: Simulated, goal: Goal | None = None, end: float = 100.0) -> int:
    """The exit code of a wait."""
    return wait(
        simulated, goal or Goal(), Quiet(),  # type: ignore[arg-type] # its double
        end=end, interval=10.0, clock=lambda: simulated.now, jitter=lambda: 0.5,
    ).code  # fmt: skip


def test_it_is_over_with_the_first_list() -> None:
    """All are DEPLOYED already: one full list, nothing more."""
    simulated = Simulated(["DEPLOYED"])

    assert 0 == run(simulated)
    assert [(0.0, True)] == simulated.asked


def test_the_last_list_is_a_full_one() -> None:
    """At once when it is decided, not at the next interval."""
    simulated = Simulated(["DEPLOYING"], ["DEPLOYING"], ["DEPLOYED"])

    assert 0 == run(simulated)
    assert [(0.0, True), (10.0, False), (20.0, False)] == simulated.asked[:3]
    assert [True] == [full for _, full in simulated.asked[3:]]
    assert simulated.asked[3][0] < 21


def test_a_success_that_the_full_list_does_not_confirm_is_none() -> None:
    """The key was removed, or a server appeared: the wait goes on."""
    simulated = Simulated(["DEPLOYING"], ["DEPLOYED"], ["DEPLOYED", "DEPLOYING"], ["DEPLOYED"] * 2)

    assert 0 == run(simulated)
    assert 2 == len(simulated.servers())


@pytest.mark.parametrize(("word", "expected"), [("FAILED", 69), ("UNPROCESSABLE", 76)])
def test_failed_ends_it(word: str, expected: int) -> None:
    """As soon as it is seen."""
    simulated = Simulated(["DEPLOYING"] * 2, ["DEPLOYING", word])

    assert expected == run(simulated)
    assert simulated.now < 12


def test_it_ends_in_time() -> None:
    """75, to the second."""
    simulated = Simulated(["DEPLOYING"])

    assert 75 == run(simulated)
    assert 100.0 == simulated.now


def test_a_region_that_comes_back() -> None:
    """Its failures do not end the wait while they may pass."""
    dead = Failure("refused", transient=True)
    simulated = Simulated(dead, dead, ["DEPLOYED"])

    assert 0 == run(simulated)


def test_success_needs_every_answer() -> None:
    """What was known before a region died is not enough."""
    simulated = Simulated(["DEPLOYING"], ["DEPLOYED"], Failure("refused", transient=True))

    assert 75 == run(simulated)


@pytest.mark.parametrize(
    "rounds", [[Failure("not authorised", 77)], [["DEPLOYED"], Failure("not authorised", 77)]]
)
def test_what_cannot_pass_ends_it(rounds: list[list[str | None] | Failure]) -> None:
    """There is nothing left to wait for."""
    simulated = Simulated(["DEPLOYING"], *rounds) if len(rounds) > 1 else Simulated(*rounds)
    run(simulated, end=1000.0)

    assert simulated.now < 100


def test_intervals_vary() -> None:
    """Clients that were started together do not stay in step."""
    chances = iter([0.0, 1.0] * 20)
    simulated = Simulated(["DEPLOYING"])
    take: Callable[[], float] = lambda: next(chances)  # noqa: E731 -- typed
    wait(
        simulated, Goal(), Quiet(),  # type: ignore[arg-type] # its double
        end=40.0, interval=10.0, clock=lambda: simulated.now, jitter=take,
    )  # fmt: skip

    assert [0.0, 9.0, 20.0, 29.0] == [at for at, _ in simulated.asked]
