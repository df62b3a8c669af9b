"""What is shown on stderr during a wait: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from math import inf
from typing import Any, TextIO

from rcnetd.fleet.collect import Collector
from rcnetd.fleet.failures import Failure
from rcnetd.fleet.formats import status_text
from rcnetd.fleet.progress import Progress
from rcnetd.fleet.servers import Automation, Server

MAX_ROWS = 15


class Lines:
    """A line whenever the numbers, or the troubles, have changed."""

    redraw = inf

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown: set[str] = set()
        self._counts = ""

    def show(self, progress: Progress, collector: Collector, now: float) -> None:
        """Show what has changed."""
        troubles = [one for one in collector.troubles() if asked(one.failure)]
        for one in troubles:
            if str(one) not in self._shown:
                self._print(f"{one}{', asking again' * one.failure.transient}")
        self._shown = {str(one) for one in troubles}
        if progress.counts.total and str(progress.counts) != self._counts:
            self._counts = str(progress.counts)
            self._print(progress.line(now))

    def close(self) -> None:
        """Nothing is left on the screen that has to go."""

    def _print(self, text: str) -> None:
        print(f"rcnetctl: {text}", file=self._stream, flush=True)


def asked(failure: Failure) -> bool:
    """Whether it is a failure, not only the lack of a first answer."""
    return failure.reason != "no answer yet"


class Screen:
    """A progress bar and the servers that are not DEPLOYED, redrawn in place (rich)."""

    redraw = 1.0

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            console=Console(file=stream), auto_refresh=False, transient=True, redirect_stdout=False
        )
        self._live.start()

    def show(self, progress: Progress, collector: Collector, now: float) -> None:
        """Draw it again."""
        self._live.update(self._picture(progress, collector, now), refresh=True)

    def close(self) -> None:
        """Remove it."""
        self._live.stop()

    def _picture(self, progress: Progress, collector: Collector, now: float) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        parts: list[Any] = [
            Text(f"{progress.done} of {progress.needed} DEPLOYED, {progress.expectation(now)}"),
            ProgressBar(total=max(progress.needed, 1), completed=progress.done),
            Text(str(progress.counts), style="dim"),
        ]
        rest = [one for one in collector.servers() if one.automation is not Automation.DEPLOYED]
        if rest:
            parts.append(self._table(rest))
        parts += [Text(str(one), style="red") for one in collector.troubles() if asked(one.failure)]
        return Group(*parts)

    def _table(self, servers: Iterable[Server]) -> Any:
        from rich.table import Table
        from rich.text import Text

        order = {automation: index for index, automation in enumerate(Automation)}
        rows = sorted(servers, key=lambda one: (order[one.automation], one.region, one.name))
        table = Table("NAME", "REGION", "SERVER", "AUTOMATION", box=None, padding=(0, 2, 0, 0))
        for one in rows[:MAX_ROWS]:
            cells = (one.name, one.region, one.server_status, status_text(one))
            table.add_row(*[Text(cell, style=STYLES.get(one.automation, "")) for cell in cells])
        if len(rows) > MAX_ROWS:
            table.add_row(Text(f"… and {len(rows) - MAX_ROWS} more", style="dim"))
        return table


STYLES = {Automation.FAILED: "red", Automation.UNPROCESSABLE: "red", Automation.DEPLOYING: "yellow"}


def view(stream: TextIO) -> Lines | Screen:
    """The live table where it can be shown, else lines."""
    if stream.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        with suppress(ImportError):  # rich is only recommended by the packages
            return Screen(stream)
    return Lines(stream)
