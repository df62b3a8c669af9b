"""sd_notify against real sockets, path and abstract."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rcnetd.notify import STATUS_MOST, Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """A service manager's end of NOTIFY_SOCKET."""
    if request.param == "path":
        name = address = str(tmp_path / "notify")
    else:
        name = f"@rcnetd-test-{secrets.token_hex(8)}"
        address = "\0" + name[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(address)
        end.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield end


def test_every_message_arrives(manager: socket.socket) -> None:
    """Each is what sd_notify(3) names, on a path and on an abstract socket."""
    notifier = Notifier(os.environ)
    notifier.status("waiting")
    notifier.extend_timeout(30.0)
    notifier.ready("ready now")
    notifier.watchdog()
    notifier.stopping("over")

    assert [manager.recv(4096) for _ in range(5)] == [
        b"STATUS=waiting",
        b"EXTEND_TIMEOUT_USEC=30000000",
        b"READY=1\nSTATUS=ready now",
        b"WATCHDOG=1",
        b"STOPPING=1\nSTATUS=over",
    ]


def test_a_status_cannot_forge_another_assignment(manager: socket.socket) -> None:
    """One line, of bounded length, whatever a server has said."""
    Notifier(os.environ).status("a\nREADY=1\x1b" + "x" * 9999)

    message = manager.recv(65536).decode()
    assert "\n" not in message
    assert message.startswith("STATUS=a READY=1 xxx")
    assert len(message) == len("STATUS=") + STATUS_MOST


def test_without_a_manager_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that is started by hand says nothing, and fails at nothing."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)

    Notifier(os.environ).ready("ready")


def test_a_manager_that_is_gone_is_no_reason_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket's path leads nowhere: the daemon goes on."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))

    Notifier(os.environ).watchdog()


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "20000000"}, 10.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid())}, 10.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_the_watchdog_is_fed_twice_per_period(
    environ: dict[str, str], interval: float | None
) -> None:
    """Half of WATCHDOG_USEC, as sd_watchdog_enabled(3) advises, if it is meant for us."""
    assert interval == Notifier(environ).watchdog_interval
