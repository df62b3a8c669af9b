"""The pacer: even polls, backoff with jitter, the silence after a 403."""

from __future__ import annotations

import pytest

from rcnetd.core.pacing import MAX_BACKOFF, WINDOW, Pacer


def pacer(limit: int = 18, jitter: float = 0.999999) -> Pacer:
    """A pacer whose chance is a constant."""
    return Pacer(limit, lambda: jitter)


@pytest.mark.parametrize(("limit", "interval"), [(18, 60 / 14), (30, 60 / 26), (5, 60.0)])
def test_interval_leaves_the_last_four_slots_to_rcnetctl(limit: int, interval: float) -> None:
    """Polls are spaced at 60/(budget - 4) seconds."""
    assert interval == pacer(limit).interval


def test_first_request_is_due_at_once() -> None:
    """A fresh daemon asks as soon as it can."""
    assert pacer().due_at(5.0) == 5.0


def test_polls_are_evenly_spaced_from_turn_to_turn() -> None:
    """A poll that goes out a little late does not move those after it."""
    one = pacer()
    one.sent(0.0)
    first = one.due_at(0.1)

    one.sent(first + 0.5)

    assert first + one.interval == pytest.approx(one.due_at(first + 0.6))


def test_a_turn_missed_by_more_than_an_interval_is_not_made_up_for() -> None:
    """After a long pause the spacing starts anew; missed polls do not come in a burst."""
    one = pacer()
    one.sent(0.0)

    one.sent(100.0)

    assert 100.0 + one.interval == pytest.approx(one.due_at(100.1))


@pytest.mark.parametrize("jitter", [0.0, 0.3, 0.999999])
def test_servers_of_one_image_do_not_ask_in_step(jitter: float) -> None:
    """After the first requests, which go out at once, polls begin anywhere in an interval."""
    one = pacer(jitter=jitter)
    for now in (0.0, 0.04, 0.08):
        assert now == one.due_at(now, urgent=True)
        one.sent(now)

    begin = 0.08 + one.interval * jitter
    assert begin == pytest.approx(one.due_at(0.08))
    one.sent(begin)
    assert begin + one.interval == pytest.approx(one.due_at(begin))


def test_servers_that_are_ready_together_do_not_ask_in_step() -> None:
    """The first long interval is shorter by up to half, all later ones are even."""
    early, late = pacer(jitter=0.0), pacer()
    early.sent(0.0)
    late.sent(0.0)

    assert 450.0 == early.due_at(1.0, interval=900.0)
    assert 900.0 == pytest.approx(late.due_at(1.0, interval=900.0), rel=1e-3)
    early.sent(450.0, 900.0)
    assert 1350.0 == early.due_at(460.0, interval=900.0)


def test_the_first_of_its_kind_need_not_await_its_turn() -> None:
    """An urgent request goes out at once."""
    one = pacer()
    one.sent(0.0)

    assert one.due_at(0.2, urgent=True) == 0.2


def test_a_longer_interval_is_kept() -> None:
    """A recheck every 15 minutes does not come at the pace of polls."""
    one = pacer()
    one.sent(10.0)

    assert 910.0 == pytest.approx(one.due_at(11.0, interval=900.0), rel=1e-3)


def test_failures_back_off_to_half_a_minute_and_are_forgotten_on_success() -> None:
    """1, 2, 4, 8, 16, 30, 30 s, each shortened by chance by at most half."""
    one, delays = pacer(), []
    for _ in range(7):
        one.sent(0.0)
        delays.append(round(one.failed(0.0)))
    assert [1, 2, 4, 8, 16, 30, 30] == delays

    one.succeeded()

    assert round(one.failed(0.0)) == 1
    assert pacer(jitter=0.0).failed(0.0) == 0.5


def test_backoff_never_exceeds_its_most() -> None:
    """However long it fails, the next try is at most half a minute away."""
    one = pacer()
    assert all(one.failed(0.0) <= MAX_BACKOFF for _ in range(100))


def test_a_failure_is_retried_sooner_than_the_next_turn() -> None:
    """A name server that answers a second later does not cost a whole interval; urgent or not."""
    one = pacer()
    one.sent(0.0)
    delay = one.failed(0.1)

    assert 0.1 + delay == one.due_at(0.2) == one.due_at(0.2, urgent=True)
    assert 60.0 == pytest.approx(one.due_at(0.2, interval=60.0), rel=1e-3)


def test_forgiving_forgets_the_backoff() -> None:
    """When ServiceNet comes back, what failed before says nothing of now."""
    one = pacer()
    one.sent(0.0)
    for _ in range(6):
        one.failed(0.1)

    one.reset_backoff()

    assert one.due_at(0.2, urgent=True) == 0.2


@pytest.mark.parametrize(
    ("retry_after", "silence"), [(None, WINDOW), (5.0, WINDOW), (300.0, 300.0)]
)
def test_a_403_silences_everything_until_the_window_has_passed(
    retry_after: float | None, silence: float
) -> None:
    """A `Retry-After` may make the silence longer, never shorter; nothing is urgent meanwhile."""
    one = pacer()

    assert silence == one.limited(10.0, retry_after)
    assert 10.0 + silence == one.due_at(11.0, urgent=True)


def test_a_403_of_others_counts_too() -> None:
    """The ledger's block is kept."""
    one = pacer()
    one.budget_observed(1.0, (), 40.0)

    assert one.due_at(2.0, urgent=True) == 41.0


def test_nothing_is_due_while_the_daemons_slots_are_used_up() -> None:
    """With 14 of 18 slots in use the daemon waits until the first is free."""
    one = pacer()
    one.budget_observed(0.0, tuple(10.0 + n for n in range(14)), 0.0)

    assert one.due_at(1.0, urgent=True) == 10.0
    assert one.used(1.0) == 14
    assert one.used(11.5) == 12


def test_slots_of_rcnetctl_delay_the_daemon() -> None:
    """Whoever used the slots, the daemon leaves four free."""
    one = pacer()
    one.budget_observed(0.0, tuple(10.0 + n for n in range(17)), 0.0)

    assert one.due_at(1.0) == 13.0


def test_what_is_left_after_a_burst_is_spread_over_the_minute() -> None:
    """Three requests at once do not make a gap before the slots are free again."""
    one = pacer()
    for _ in range(3):
        one.sent(0.0)
    one.budget_observed(0.0, (61.0, 61.0), 0.0)
    one.sent(0.0)

    assert 61.0 / 12 == pytest.approx(one.due_at(0.1), rel=1e-3)


def test_an_empty_budget_does_not_spread_at_all() -> None:
    """With no slot left there is nothing to spread; the wait for a slot governs."""
    one = pacer()
    one.sent(0.0)
    one.budget_observed(0.0, tuple(50.0 for _ in range(14)), 0.0)
    one.sent(0.0)

    assert one.due_at(51.0) == 51.0


def test_a_refusal_by_the_ledger_is_not_repeated_at_once() -> None:
    """When another process was quicker, a second passes before the next try."""
    one = pacer()
    one.refused(3.0)

    assert one.due_at(3.0, urgent=True) == 4.0
