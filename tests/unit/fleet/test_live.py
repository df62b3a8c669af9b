"""What is shown during a wait: lines in a pipe, a live table on a terminal."""

from __future__ import annotations

import io
import sys

import pytest

from rcnetd.fleet.collect import Collector, Trouble
from rcnetd.fleet.failures import Failure
from rcnetd.fleet.gate import Goal
from rcnetd.fleet.live import MAX_ROWS, Lines, Screen, view
from rcnetd.fleet.progress import Progress
from rcnetd.fleet.servers import Server, count, parse
from tests.support.openstack import server


class Known:
    """What a collector knows."""

    def __init__(self, *words: str | None, failures: tuple[Failure, ...] = ()) -> None:
        listed = [parse(server(number, word), "c", "ORD") for number, word in enumerate(words)]
        self.listed = [one for one in listed if one is not None]
        self.failures = failures

    def servers(self) -> list[Server]:
        return self.listed

    def troubles(self) -> list[Trouble]:
        return [Trouble("c", "DFW", failure) for failure in self.failures]


def show(shown: Lines | Screen, known: Known, now: float = 0.0) -> None:
    """Show what is known."""
    progress = Progress(Goal(), end=600.0)
    progress.update(count(known.servers()), now)
    double: Collector = known  # type: ignore[assignment] # all that is used of it
    shown.show(progress, double, now)


def test_a_line_when_the_numbers_change() -> None:
    """And none while they do not."""
    stream = io.StringIO()
    shown = Lines(stream)
    for words in (["DEPLOYING"], ["DEPLOYING"], ["DEPLOYED"]):
        show(shown, Known(*words))
    shown.close()

    lines = stream.getvalue().splitlines()
    assert 2 == len(lines)
    assert lines[0].startswith("rcnetctl: 0 of 1 DEPLOYED (0%); 1 server: 1 DEPLOYING; timeout")


def test_nothing_is_said_before_the_first_answer() -> None:
    """Zero servers would be a wrong number."""
    stream = io.StringIO()
    show(Lines(stream), Known())

    assert "" == stream.getvalue()


def test_a_failure_is_said_once() -> None:
    """And again when it comes back."""
    dead = Failure("refused", transient=True)
    stream = io.StringIO()
    shown = Lines(stream)
    for failures in ((dead,), (dead,), (), (dead,), (Failure("not authorised", 77),)):
        show(shown, Known("DEPLOYING", failures=failures))

    text = stream.getvalue()
    assert 2 == text.count("refused, asking again\n")
    assert 1 == text.count("not authorised\n")


def test_no_answer_yet_is_no_failure() -> None:
    """Every wait begins with it."""
    stream = io.StringIO()
    show(Lines(stream), Known("DEPLOYING", failures=(Failure("no answer yet", transient=True),)))

    assert "no answer yet" not in stream.getvalue()


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_live_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar, the counts, and the servers that are not DEPLOYED, the worst first, not all."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    stream = Terminal()
    shown = view(stream)
    assert isinstance(shown, Screen)
    show(shown, Known("FAILED", "DEPLOYED", *["DEPLOYING"] * 30))
    shown.close()

    text = stream.getvalue()
    assert "1 of 32 DEPLOYED, timeout in 10min 0s" in text
    assert text.index("web-0") < text.index("web-2")
    assert "web-1 " not in text
    assert f"… and {31 - MAX_ROWS} more" in text


def test_names_are_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server called `[red]` is shown as it is called."""
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    shown = view(stream)
    known = Known()
    found = parse(server(1, "DEPLOYING", name="[red]x[/red]"), "c", "ORD")
    assert found is not None
    known.listed = [found]
    show(shown, known)
    shown.close()

    assert "[red]x[/red]" in stream.getvalue()


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_without_a_terminal_or_rich_lines(monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    """rich is only recommended by the packages."""
    monkeypatch.setenv("TERM", term)
    monkeypatch.setitem(sys.modules, "rich.console", None)

    assert isinstance(view(Terminal()), Lines)
    assert isinstance(view(io.StringIO()), Lines)
