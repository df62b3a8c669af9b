"""Requests of a boot, and how soon DEPLOYED is noticed: the core on simulated time."""

from __future__ import annotations

from statistics import mean

from rcnetd.core.model import Operation
from tests.bench.figures import Figure, Measure
from tests.bench.lab import Options
from tests.support.simulation import random_boot
from tests.unit.core.test_simulation import SPACING


def measure(options: Options) -> list[Measure]:
    """Boots with random timelines."""
    delays: list[float] = []
    spent: list[float] = []
    for seed in range(options.times(1000 if options.full else 200)):
        boot = random_boot(seed)
        delays.append(boot.api.noticed(Operation.STATUS, boot.api.deployed_at))
        spent.append(len(boot.api.arrivals) / max(boot.ready_at / 60, 1))
    half = SPACING / 2
    ratio = mean(delays) / half
    notes = [
        f"simulated; on average {mean(delays):.2f} s, {ratio:.2f} x half of 60/(budget - 4) s",
        f"{mean(spent):.1f} requests a minute on average, of 18",
    ]
    return [
        Measure(
            "DEPLOYED to its being noticed",
            "on average 1.1 x half of 60/(budget - 4) s",
            [
                Figure("rcnetd", delays, "s"),
                Figure("half of 60/(budget - 4) s", [half], "s"),
                Figure("the API's own limit, 2 s between two", [1.0], "s"),
            ],
            notes,
        )
    ]
