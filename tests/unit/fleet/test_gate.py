"""When a wait is over, and with which exit code."""

from __future__ import annotations

import pytest

from rcnetd.fleet.gate import Goal, Share, evaluate, pending, read_share
from rcnetd.fleet.servers import Automation, Counts


def counts(
    deployed: int = 0, deploying: int = 0, failed: int = 0, bad: int = 0, no: int = 0
) -> Counts:
    """Numbers by status; *bad* is UNPROCESSABLE, *no* not RackConnected."""
    return Counts(
        {
            Automation.DEPLOYED: deployed,
            Automation.DEPLOYING: deploying,
            Automation.FAILED: failed,
            Automation.UNPROCESSABLE: bad,
            Automation.NOT_RACKCONNECTED: no,
        }
    )


def code(numbers: Counts, goal: Goal, *, complete: bool = True) -> int | None:
    """The exit code; None while it is open."""
    verdict = evaluate(numbers, goal, complete=complete)
    return verdict.code if verdict else None


MOST = Goal(Share(95.0))


@pytest.mark.parametrize(
    ("numbers", "goal", "expected"),
    [
        (counts(deployed=3), Goal(), 0),
        (counts(deployed=3, no=2), Goal(), 0),
        (counts(deployed=3, no=2), Goal(expect=True), None),
        (counts(deployed=3, deploying=1), Goal(), None),
        (counts(deploying=9, failed=1), Goal(), 69),
        (counts(deploying=9, bad=1), Goal(), 76),
        (counts(deploying=9, failed=1, bad=1), Goal(), 69),
        (counts(deployed=19, deploying=1), MOST, 0),
        (counts(deployed=18, deploying=2), MOST, None),
        (counts(deployed=18, deploying=1, failed=1), MOST, None),
        (counts(deployed=18, failed=2), MOST, 69),
        (counts(deployed=19, failed=1), MOST, 0),
        (counts(deployed=5, deploying=5), Goal(Share(5, False)), 0),
        (counts(deployed=4, failed=5), Goal(Share(5, False)), 69),
        (counts(deployed=4), Goal(Share(5, False)), 78),
        (counts(deployed=4), Goal(Share(5, False), expect=True), None),
        (counts(), Goal(), 78),
        (counts(), Goal(expect=True), None),
        (counts(no=5), Goal(), 78),
        (counts(no=5), Goal(expect=True), None),
        (Counts({Automation.UNKNOWN: 1}), Goal(), None),
    ],
)
def test_it_is_decided_as_soon_as_it_can_be(
    numbers: Counts, goal: Goal, expected: int | None
) -> None:
    """Reached, or no longer possible."""
    assert expected == code(numbers, goal)


@pytest.mark.parametrize(
    ("numbers", "goal", "expected"),
    [
        (counts(deployed=3), Goal(), None),
        (counts(), Goal(), None),
        (counts(deployed=3, failed=1), Goal(), 69),
        (counts(deployed=3, failed=3), MOST, None),
        (counts(deployed=5), Goal(Share(5, False)), None),
    ],
)
def test_a_region_that_is_silent_may_have_more_servers(
    numbers: Counts, goal: Goal, expected: int | None
) -> None:
    """Only what they cannot change is decided."""
    assert expected == code(numbers, goal, complete=False)


def test_pending() -> None:
    """Those that may still become DEPLOYED."""
    numbers = counts(deployed=1, deploying=2, failed=3, bad=4, no=5)

    assert 2 == pending(numbers, Goal())
    assert 7 == pending(numbers, Goal(expect=True))


@pytest.mark.parametrize(
    ("text", "counted", "expected"),
    [("95%", 20, 19), ("95%", 21, 20), ("100%", 7, 7), ("0.1%", 10_000, 10), ("99.9%", 1000, 999),
     ("7", 100, 7), ("1%", 1, 1)],
)  # fmt: skip
def test_shares(text: str, counted: int, expected: int) -> None:
    """Rounded up, but not by binary fractions."""
    assert expected == read_share(text).of(counted)


@pytest.mark.parametrize("text", ["", "0", "0%", "101%", "-5", "half", "5.5", "95 percent", "nan%"])
def test_what_is_no_share(text: str) -> None:
    """One line that says what is."""
    with pytest.raises(ValueError, match="use 95% or a number"):
        read_share(text)
