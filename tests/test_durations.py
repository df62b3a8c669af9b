"""Lengths of time for people."""

from __future__ import annotations

import pytest

from rcnetd.durations import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0s"),
        (0.04, "0.0s"),
        (0.44, "0.4s"),
        (12.4, "12s"),
        (59.7, "1min 0s"),
        (125, "2min 5s"),
        (3780, "1h 3min"),
    ],
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    """Tenths below a second, then what a person would say."""
    assert text == duration(seconds)
