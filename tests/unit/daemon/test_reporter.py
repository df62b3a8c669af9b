"""The daemon's reports: what is new, not too often, and never in the way."""

from __future__ import annotations

import errno
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rcnetd.basic.dataclass import replace
from rcnetd.core.actions import Stop
from rcnetd.daemon.notify import Notifier
from rcnetd.daemon.reporter import MIN_INTERVAL, RETRY_INTERVAL, Reporter
from rcnetd.store.paths import Paths
from rcnetd.store.runtime import RuntimeFiles
from tests.support.playbook import ASSIGNED, DEPLOYED, MANAGED, Playbook, boot


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """systemd's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        yield listener


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A run directory of the test's own."""
    (tmp_path / "run").mkdir()
    return Paths(tmp_path / "run", tmp_path / "state")


@pytest.fixture
def complaints() -> list[Path]:
    """The files that could not be written."""
    return []


@pytest.fixture
def reporter(
    paths: Paths, manager: socket.socket, complaints: list[Path], monkeypatch: pytest.MonkeyPatch
) -> Reporter:
    """A reporter whose manager is the test."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(manager.getsockname()))
    notifier = Notifier({"NOTIFY_SOCKET": str(manager.getsockname())})

    def complain(path: Path, error: OSError) -> None:
        complaints.append(path)

    return Reporter(paths, RuntimeFiles(paths), notifier, complain)


def told(manager: socket.socket) -> list[str]:
    """What systemd was told."""
    messages = []
    while True:
        try:
            messages.append(manager.recv(4096).decode())
        except BlockingIOError:
            return messages


def test_news_is_told_at_once_and_then_not_too_often(reporter: Reporter, paths: Paths) -> None:
    """While events repeat, each is not worth a file of its own; the last one is."""
    book = boot(MANAGED, ASSIGNED, DEPLOYED)
    snapshot = replace(book.machine.snapshot(100.0), repairs=0)
    reporter.tell(snapshot, {})
    for number in range(1, 50):
        at = 100.0 + number / 1000
        reporter.tell(replace(snapshot, at=at, repairs=number), {})
    assert 0 == json.loads(paths.status.read_text())["route"]["repairs"]

    due = reporter.wake_at(100.05, is_ready=True)
    assert due == 100.0 + MIN_INTERVAL
    reporter.tell(replace(snapshot, at=due, repairs=49), {})
    assert 49 == json.loads(paths.status.read_text())["route"]["repairs"]


def test_the_status_comes_before_ready(
    reporter: Reporter, paths: Paths, manager: socket.socket
) -> None:
    """What is started by READY reads the status of a ready server."""
    book = boot(MANAGED, ASSIGNED, DEPLOYED)
    reporter.ready(book.machine.snapshot(book.now), {})

    assert json.loads(paths.status.read_text())["ready"] is True
    assert any("READY=1" in message for message in told(manager))


def test_what_cannot_be_written_stops_nothing(
    reporter: Reporter, paths: Paths, manager: socket.socket, complaints: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """READY is reported all the same, and the status written once it can be."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RuntimeFiles, "_write", full)
    book = boot(MANAGED, ASSIGNED, DEPLOYED)
    reporter.ready(book.machine.snapshot(book.now), {})

    assert any("READY=1" in message for message in told(manager))
    assert [paths.status] == complaints

    monkeypatch.undo()
    due = reporter.wake_at(book.now, is_ready=True)
    assert due == book.now + RETRY_INTERVAL
    reporter.tell(book.machine.snapshot(due), {})
    assert json.loads(paths.status.read_text())["ready"] is True
    assert due < reporter.wake_at(due, is_ready=True)


def test_metrics_are_written_with_the_status_and_refreshed(
    reporter: Reporter, paths: Paths
) -> None:
    """Their time of change tells a daemon that is gone."""
    book = boot(MANAGED, ASSIGNED, DEPLOYED)
    snapshot = book.machine.snapshot(100.0)
    reporter.tell(snapshot, {})
    first = paths.metrics.read_text()
    assert "rcnetd_ready 1" in first
    reporter.tell(replace(snapshot, at=130.0), {})
    assert first == paths.metrics.read_text()
    reporter.tell(replace(snapshot, at=161.0), {})
    assert first != paths.metrics.read_text()


def test_metrics_are_renewed_within_a_minute_without_a_wake_up_for_them(
    paths: Paths, manager: socket.socket
) -> None:
    """By what wakes the daemon anyhow: every 15 s the watchdog, as in the unit."""
    environ = {"NOTIFY_SOCKET": str(manager.getsockname()), "WATCHDOG_USEC": "30000000"}
    reporter = Reporter(paths, RuntimeFiles(paths), Notifier(environ), lambda *_: None)
    snapshot = boot(MANAGED, ASSIGNED, DEPLOYED).machine.snapshot(100.0)
    reporter.tell(snapshot, {})
    before, written = paths.metrics.read_text(), [100.0]
    wakes, now = 0, 100.0
    while now < 3700:
        now = reporter.wake_at(now, is_ready=True)
        wakes += 1
        reporter.tell(replace(snapshot, at=now), {})
        told(manager)
        text = paths.metrics.read_text()
        if text != before:
            before, written = text, [*written, now]

    assert 240 == wakes
    assert max(later - earlier for earlier, later in zip(written, written[1:])) <= 60


def test_a_start_is_kept_alive(reporter: Reporter, manager: socket.socket) -> None:
    """systemd waits as long as it is told that we are alive."""
    book = Playbook().look()
    reporter.tell(book.machine.snapshot(0.0), {})
    reporter.tell(book.machine.snapshot(11.0), {})

    messages = told(manager)
    assert 2 == sum("EXTEND_TIMEOUT_USEC" in message for message in messages)
    assert any("STATUS=waiting to know who configures" in message for message in messages)


def test_a_reload_and_the_end(reporter: Reporter, paths: Paths, manager: socket.socket) -> None:
    """systemd is told of both; the status of a daemon that has ended names no process."""
    book = boot(MANAGED, ASSIGNED, DEPLOYED)
    reporter.reloading()
    reporter.reloaded(book.machine.snapshot(book.now))
    reporter.stopping(book.machine.snapshot(book.now), {}, "stopping, the default route stays")

    text = "\n".join(told(manager))
    assert all(word in text for word in ("RELOADING=1", "READY=1", "STOPPING=1"))
    assert json.loads(paths.status.read_text())["pid"] is None


def test_the_metrics_say_why_it_gave_up(reporter: Reporter, paths: Paths) -> None:
    """An alert depends on it, and nothing is written after the end."""
    book = boot(MANAGED, ASSIGNED, DEPLOYED)
    book.machine.exit = Stop(69, "FAILED")
    reporter.stopping(book.machine.snapshot(book.now), {}, "stopping")

    assert "\nrcnetd_exit_status 69\n" in paths.metrics.read_text()
