"""Each message once, and never more than so many."""

from __future__ import annotations

from rcnetd.core.actions import Log
from rcnetd.core.log import MAX_MESSAGES, OnceLog


def test_a_message_is_logged_once() -> None:
    """Until everything is forgotten."""
    log = OnceLog()

    assert [Log("warning", "a")] == log.once("warning", "a")
    assert [] == log.once("warning", "a")
    assert [Log("info", "b")] == log.once("info", "b")
    log.forget()
    assert [Log("warning", "a")] == log.once("warning", "a")


def test_what_is_over_is_news_when_it_comes_again() -> None:
    """A diversion that ends and begins again is told again."""
    log = OnceLog()
    log.once("warning", "diverted")
    log.over("diverted")

    assert [Log("warning", "diverted")] == log.once("warning", "diverted")


def test_how_many_there_can_be_is_bounded() -> None:
    """What makes messages differ may be made by somebody else."""
    log = OnceLog()

    assert MAX_MESSAGES == sum(len(log.once("info", str(number))) for number in range(1000))
