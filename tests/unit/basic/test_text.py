"""Lengths of time, and foreign text, for people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnetd.basic.text import duration, plain, quoted, read_duration


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


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("5min", 300), ("1h", 3600), ("250ms", 0.25), ("2.5", 2.5), ("1 d", 86400)],
)
def test_lengths_of_time(text: str, seconds: float) -> None:
    """As people and systemd write them."""
    assert seconds == read_duration(text)


@given(st.text(max_size=2000))
def test_what_the_other_side_said_is_harmless(text: str) -> None:
    """One line, no control characters, no surrogates, 80 characters at most."""
    shown = quoted(text)

    assert shown[0] == shown[-1] == "'"
    assert len(shown) <= 82
    assert shown.isprintable()
    shown.encode("utf-8")


def test_plain_keeps_what_can_be_shown() -> None:
    """Words stay words; line ends and escapes become single spaces."""
    assert "a b é" == plain("a\r\n\x1b \x00b\u2028é", 80)
