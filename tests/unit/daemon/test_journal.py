"""Log lines."""

from __future__ import annotations

import os

import pytest

from rcnetd.daemon.journal import Journal


def test_the_journal_gets_levels(capfd: pytest.CaptureFixture[str]) -> None:
    """Under systemd each line carries its syslog level, debug lines too."""
    journal = Journal({"JOURNAL_STREAM": "1:2"})
    for level in ("debug", "info", "warning", "error"):
        journal.log(level, "text")

    assert capfd.readouterr().err == "<7>text\n<6>text\n<4>text\n<3>text\n"


def test_a_terminal_gets_words(capfd: pytest.CaptureFixture[str]) -> None:
    """For people the level is a word, and debug lines only where they are asked for."""
    for journal in (Journal({}), Journal({}, debug=True)):
        journal.log("debug", "poll")
        journal.log("info", "news")
        journal.log("warning", "doubt")

    once = "rcnetd: news\nrcnetd: warning: doubt\n"
    assert capfd.readouterr().err == once + "rcnetd: debug: poll\n" + once


def test_a_line_stays_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    """A remote string cannot forge a second line."""
    Journal({"JOURNAL_STREAM": "1:2"}).log("info", "a\n<0>b\x1b[31m")

    assert capfd.readouterr().err == "<6>a <0>b [31m\n"


def test_a_reader_that_is_gone_is_no_reason_to_fail() -> None:
    """The journal restarts, the daemon does not."""
    kept = os.dup(2)
    try:
        os.close(2)
        Journal({}).log("error", "nobody listens")
    finally:
        os.dup2(kept, 2)
        os.close(kept)
