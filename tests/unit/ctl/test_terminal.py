"""Colour and live lines: on a terminal, never in a pipe."""

from __future__ import annotations

import io
import os
import pty
import select
from collections.abc import Callable, Iterator

import pytest

from rcnetd.ctl.terminal import Terminal
from tests.support.waiting import LONG

Show = Callable[[dict[str, str]], str]


@pytest.fixture
def show() -> Iterator[Show]:
    """What a real terminal receives, in an environment."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as stream, os.fdopen(master, "rb", buffering=0) as reader:

        def calls(environ: dict[str, str]) -> str:
            terminal = Terminal(stream, environ)
            terminal.progress("waiting " + "x" * 200)
            terminal.print(terminal.paint("good", "ready"))
            stream.flush()
            said = b""
            while not said.endswith(b"\n"):  # what was written comes in pieces
                assert select.select([reader], [], [], LONG)[0]
                said += reader.read(4096)
            return said.decode()

        yield calls


def test_a_terminal_has_both(show: Show) -> None:
    """The live line is cut to the width, and cleared for a permanent one."""
    live, _, last = show({"TERM": "xterm"}).rpartition("\r\x1b[K")

    assert live == "\r\x1b[K" + ("waiting " + "x" * 200)[:79]
    assert last == "\x1b[32mready\x1b[0m\r\n"


def test_no_color(show: Show) -> None:
    """https://no-color.org; an empty value does not count."""
    assert show({"TERM": "xterm", "NO_COLOR": "1"}).endswith("\x1b[Kready\r\n")
    assert "\x1b[32m" in show({"TERM": "xterm", "NO_COLOR": ""})


@pytest.mark.parametrize("environ", [{}, {"TERM": "dumb"}])
def test_a_dumb_terminal_is_a_pipe(show: Show, environ: dict[str, str]) -> None:
    """Emacs and unnamed serial consoles are dumb."""
    assert "ready\r\n" == show(environ)


def test_a_pipe_gets_text_alone() -> None:
    """Scripts and logs."""
    stream = io.StringIO()
    terminal = Terminal(stream, {"TERM": "xterm"})
    terminal.progress("waiting")
    terminal.print(terminal.paint("bad", "failed"))

    assert "failed\n" == stream.getvalue()
