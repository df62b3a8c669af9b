"""Counts, rate and the time left."""

from __future__ import annotations

from rcnetd.fleet.gate import Goal, Share
from rcnetd.fleet.progress import Progress
from rcnetd.fleet.servers import Automation, Counts


def numbers(deployed: int, deploying: int) -> Counts:
    """Of these two statuses."""
    return Counts({Automation.DEPLOYED: deployed, Automation.DEPLOYING: deploying})


def test_the_line() -> None:
    """What there is, how fast it comes, and how long it will take."""
    progress = Progress(Goal(), end=2700.0)
    progress.update(numbers(0, 100), 0.0)
    progress.update(numbers(20, 80), 120.0)

    assert (
        "20 of 100 DEPLOYED (20%); 100 servers: 20 DEPLOYED, 80 DEPLOYING; 10/min,"
        " about 8min 0s more, timeout in 43min 0s"
    ) == progress.line(120.0)


def test_no_rate_from_too_little() -> None:
    """Neither in the first seconds, nor while nothing comes."""
    progress = Progress(Goal(), end=100.0)
    assert progress.rate(0.0) is None
    progress.update(numbers(0, 10), 0.0)
    progress.update(numbers(1, 9), 5.0)
    assert progress.rate(5.0) is None

    progress = Progress(Goal(), end=100.0)
    progress.update(numbers(1, 9), 0.0)
    assert progress.rate(60.0) is None


def test_the_rate_is_of_the_last_minutes() -> None:
    """A slow beginning is forgotten."""
    progress = Progress(Goal(), end=9000.0)
    for minute in range(60):
        progress.update(numbers(0 if minute < 40 else (minute - 40) * 10, 500), minute * 60.0)

    assert progress.rate(59 * 60.0) == 10.0


def test_a_share_is_what_is_needed() -> None:
    """The bar ends where the wait does."""
    progress = Progress(Goal(Share(50.0)), end=10.0)
    progress.update(numbers(3, 7), 0.0)

    assert 5 == progress.needed
    assert progress.line(0.0).startswith("3 of 5 DEPLOYED (60%)")


def test_nothing_yet() -> None:
    """Before the first answer."""
    line = Progress(Goal(), end=60.0).line(0.0)

    assert "0 of 0 DEPLOYED; 0 servers: none; timeout in 1min 0s" == line
