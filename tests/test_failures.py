"""The typed errors: a word for programs, one harmless line for people."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rcnetd import failures
from rcnetd.failures import PHASES, ApiError, TimedOut, plain, quoted


def test_every_error_is_an_api_error_with_a_kind_of_its_own() -> None:
    """One `except` catches all, and programs can tell them apart."""
    classes = [
        value
        for value in vars(failures).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ]

    assert all(issubclass(value, ApiError) for value in classes)
    assert len(classes) > 10
    assert "dns" == failures.DnsError("x").kind
    assert "http-404" == failures.UnknownServer("automation_status").kind


def test_a_kind_of_ones_own() -> None:
    """The kind may be narrower than the class."""
    assert "source" == failures.ConnectError("x", kind="source").kind


def test_each_phase_has_its_words() -> None:
    """A time-out says what was waited for."""
    for phase, words in PHASES.items():
        assert f"no answer within 2.5 s, still waiting for {words}" == TimedOut(2.5, phase).reason


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
