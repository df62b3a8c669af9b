"""Log lines: to the journal with their level, to a terminal or file without."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping

from rcnetd.basic.text import printable

MAX_LENGTH = 2000  # characters of a line
# sd-daemon(3): a line on stderr that starts with <N> has that syslog level in the journal.
LEVELS = {"debug": 7, "info": 6, "warning": 4, "error": 3}


class Journal:
    """Writes log lines to standard error. A reader that is gone is no reason to fail."""

    def __init__(self, environ: Mapping[str, str], *, debug: bool = False) -> None:
        self._prefixed = "JOURNAL_STREAM" in environ
        self._debug = debug

    def log(self, level: str, text: str) -> None:
        """Write *text*, one line, at *level*: "debug", "info", "warning" or "error"."""
        line = printable(text[:MAX_LENGTH])
        if self._prefixed:
            # The journal keeps debug lines out of sight by itself.
            line = f"<{LEVELS[level]}>{line}\n"
        elif level == "debug" and not self._debug:
            return
        else:
            line = f"rcnetd: {line}\n" if level == "info" else f"rcnetd: {level}: {line}\n"
        with contextlib.suppress(OSError):  # the journal restarts, the disk is full
            os.write(2, line.encode("utf-8", "replace"))
