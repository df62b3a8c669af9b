"""The typed errors: a word for programs, one harmless line for people."""

from __future__ import annotations

from rcnetd.api import errors
from rcnetd.api.errors import PHASES, ApiError, TimedOut


def test_every_error_is_an_api_error_with_a_kind_of_its_own() -> None:
    """One `except` catches all, and programs can tell them apart."""
    classes = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ]

    assert all(issubclass(value, ApiError) for value in classes)
    assert len(classes) > 10
    assert "dns" == errors.DnsError("x").kind
    assert "http-404" == errors.UnknownServer("automation_status").kind


def test_a_kind_of_ones_own() -> None:
    """The kind may be narrower than the class."""
    assert "source" == errors.ConnectError("x", kind="source").kind


def test_each_phase_has_its_words() -> None:
    """A time-out says what was waited for."""
    for phase, words in PHASES.items():
        assert f"no answer within 2.5 s, still waiting for {words}" == TimedOut(2.5, phase).reason
