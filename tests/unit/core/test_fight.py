"""Repairs that repeat themselves: when they are damped, and what of them is logged."""

from __future__ import annotations

from rcnetd.core.fight import (
    FIRST_SILENCE,
    MAX_REPEATED,
    MAX_TAKEOVERS,
    PAUSE,
    WINDOW,
    Fight,
    Losses,
    Repeats,
)


def test_takeovers_in_a_row_are_a_fight() -> None:
    """Each is repaired at once until there were too many; then one repair in a while."""
    fight, now = Fight(), 100.0
    for _ in range(MAX_TAKEOVERS + 1):
        fight, may_repair = fight.takeover(now)
        assert may_repair
        assert not fight.is_declared
        now += 0.1
    fight, may_repair = fight.takeover(now)

    assert fight.is_declared
    assert not may_repair
    assert fight.is_on(now)
    assert fight.takeover(fight.repair_at)[1]
    assert fight.repair_at == fight.repaired_at + PAUSE


def test_a_fight_is_over_after_a_quiet_time() -> None:
    """The next takeover is repaired at once again."""
    fight = Fight(MAX_TAKEOVERS + 1, repaired_at=100.0, is_declared=True)
    later = 100.0 + PAUSE + WINDOW + 0.1

    assert not fight.is_on(later)
    again, may_repair = fight.takeover(later)
    assert may_repair
    assert not again.is_declared


def test_losses_are_logged_less_and_less_often() -> None:
    """The first at once; 120 a second for a minute make a handful of lines, and count them all."""
    losses, logged, unsaid = Losses(), 0, 0
    for number in range(120 * 60):
        losses, said = losses.loss(number / 120)
        if said is not None:
            logged, unsaid = logged + 1, unsaid + said

    assert logged <= 8
    assert logged + unsaid + losses.unsaid == 120 * 60


def test_losses_far_apart_are_each_logged() -> None:
    """A quiet time makes the next one news."""
    losses = Losses()
    for number in range(10):
        losses, said = losses.loss(number * 300.0)
        assert said == 0


def test_a_loss_that_comes_back_soon_after_the_silence_tells_how_many() -> None:
    """Between the two lines there were three."""
    losses, said = Losses().loss(0.0)
    for at in (0.2, 0.4, 0.6):
        losses, said = losses.loss(at)
        assert said is None

    assert losses.loss(1.1)[1] == 3


def test_repeated_events_are_noted_less_and_less_often() -> None:
    """Of each key on its own; many keys take no more memory."""
    repeats = Repeats()
    noted = [now for now in range(600) if repeats.is_noted("lost", float(now))]
    assert noted[0] == 0
    assert len(noted) < 20
    assert repeats.is_noted("takeover", 600.0)

    for number in range(MAX_REPEATED):
        assert repeats.is_noted(str(number), 600.0)
    assert repeats.is_noted("lost", 600.0)


def test_a_silence_ends_on_time() -> None:
    """A loss at its very end is logged, with the number of those before."""
    losses, _ = Losses().loss(0.0)
    losses, said = losses.loss(FIRST_SILENCE / 2)
    assert said is None
    losses, said = losses.loss(FIRST_SILENCE)
    assert (1, 2 * FIRST_SILENCE) == (said, losses.silence)


def test_so_many_keys_and_no_more() -> None:
    """One more than there may be makes all of them news."""
    repeats = Repeats()
    assert all(repeats.is_noted(str(number), 0.0) for number in range(MAX_REPEATED - 1))
    assert not repeats.is_noted("0", 0.0)
    assert repeats.is_noted("the last", 0.0)
    assert repeats.is_noted("0", 0.0)
