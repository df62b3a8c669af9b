"""A thousand simulated boots against the API's rate limit."""

from __future__ import annotations

import random
from math import inf
from statistics import mean

import pytest

from rcnetd.core.model import Operation
from tests.support.simulation import Api, Boot, random_boot

BOOTS = 1000
SPACING = 60 / 14  # seconds: 60/(budget - 4)


pytestmark = pytest.mark.long


def test_a_thousand_boots_keep_the_budget_and_notice_in_time() -> None:
    """Never a 403, never over the budget; noticed within 1.1 x half the spacing on average."""
    gateway, deployed = [], []
    for seed in range(BOOTS):
        boot = random_boot(seed)
        assert boot.ready_at < inf
        assert boot.api.forbidden == 0
        assert boot.api.most_in_a_minute() <= 18
        if boot.api.gateway_at > 0:
            gateway.append(boot.api.noticed(Operation.GATEWAY, boot.api.gateway_at))
        deployed.append(boot.api.noticed(Operation.STATUS, boot.api.deployed_at))
    half = SPACING / 2
    print(f"\nnoticed after, mean: gateway {mean(gateway) / half:.3f}, DEPLOYED"
          f" {mean(deployed) / half:.3f} of half the spacing ({half:.2f} s)")  # fmt: skip
    assert mean(gateway) <= 1.1 * half
    assert mean(deployed) <= 1.1 * half


def test_a_neighbour_that_uses_ten_a_minute_causes_no_403() -> None:
    """18 of ours and 10 of another program on the server are fewer than 30 in any window."""
    for seed in range(150):
        boot = random_boot(seed, neighbour_every=6.0)
        assert boot.api.forbidden == 0
        assert boot.ready_at < inf


@pytest.mark.parametrize("neighbour_every", [inf, 6.0])
def test_three_restarts_in_a_minute_cause_no_403(neighbour_every: float) -> None:
    """The ledger outlives the daemon: what was sent before a restart still counts."""
    for seed in range(100):
        chance = random.Random(f"restarts {seed}")
        begin = chance.uniform(0, 120)
        restarts = tuple(begin + chance.uniform(0, 60) for _ in range(3))
        boot = random_boot(seed, restarts=restarts, neighbour_every=neighbour_every)
        assert boot.api.forbidden == 0
        assert boot.api.most_in_a_minute() <= 18 + (10 if neighbour_every < inf else 0) + 1
        assert boot.ready_at < inf


def test_polls_are_evenly_spaced() -> None:
    """After the first minute the median spacing is 60/(budget - 4) s, and no gap is twice that."""
    chance = random.Random(7)
    boot = Boot(Api(inf, inf, phase=0.0), chance).run(900)
    times = sorted(at for at, operation in boot.api.arrivals if at > 70)
    gaps = sorted(later - earlier for earlier, later in zip(times, times[1:]))

    assert SPACING == pytest.approx(gaps[len(gaps) // 2], rel=0.02)
    assert gaps[-1] < 2 * SPACING


def test_the_limit_would_be_noticed() -> None:
    """The simulated API does count: a client without a budget gets its 403."""
    api = Api(inf, inf, phase=0.0)
    for n in range(31):
        api.arrive(n * 0.1, Operation.GATEWAY)

    assert api.forbidden == 1
    assert api.most_in_a_minute() == 31
