"""What people see: lines without control characters; colours and a live one on a terminal only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TextIO

from rcnetd.basic.text import printable

COLOURS = {"good": "32", "busy": "33", "bad": "31", "strong": "1", "faint": "2"}  # SGR codes
CLEAR = "\r\x1b[K"


def say(text: str, *, file: TextIO | None = None) -> None:
    """Print a line, by default to standard output, with nothing in it that a terminal obeys."""
    print(printable(text), file=file)


class Terminal:
    """A stream for people: coloured only on a terminal, and not if NO_COLOR is set.

    https://no-color.org: "when present and not an empty string (regardless of its value)".
    """

    def __init__(self, stream: TextIO, environ: Mapping[str, str] = os.environ) -> None:
        self.stream = stream
        self.is_live = stream.isatty() and environ.get("TERM", "dumb") != "dumb"
        self._paints = self.is_live and not environ.get("NO_COLOR")
        self._shown = ""

    def paint(self, tone: str, text: str) -> str:
        """Return *text*, printable, in the colour of *tone* (of `COLOURS`) if there are colours."""
        text = printable(text)
        if tone not in COLOURS:
            return text
        return f"\x1b[{COLOURS[tone]}m{text}\x1b[0m" if self._paints and text else text

    def print(self, text: str) -> None:
        """Print a line that is printable or painted; it replaces the live one."""
        self.progress("")
        print(text, file=self.stream)

    def progress(self, text: str) -> None:
        """Show *text* as the live line, cut to the width; it replaces the previous one."""
        if self.is_live and text != self._shown:
            self._shown = text
            shown = printable(text)[: self._width()]
            print(f"{CLEAR}{shown}", end="", file=self.stream, flush=True)

    def _width(self) -> int:
        try:
            return (os.get_terminal_size(self.stream.fileno()).columns or 80) - 1
        except OSError:
            return 79
