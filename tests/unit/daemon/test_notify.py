"""What systemd hears, on real sockets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from rcnetd.daemon.notify import MAX_STATUS_LENGTH, Notifier


@contextmanager
def listening(name: str) -> Iterator[socket.socket]:
    """A service manager's socket; "@" begins an abstract name."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if name.startswith("@") else name)
        manager.settimeout(5)
        yield manager


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """A service manager that this process is told to notify."""
    pytest.importorskip("systemd.daemon")
    abstract = request.param == "abstract"
    name = f"@rcnetd-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with listening(name) as found:
        yield found


def heard(manager: socket.socket) -> list[str]:
    """The assignments of the next message."""
    return manager.recv(65536).decode().split("\n")


def test_ready_comes_with_its_status(manager: socket.socket) -> None:
    """One message: `systemctl status` never shows the one without the other."""
    Notifier(os.environ).ready("default route in effect")

    assert ["READY=1", "STATUS=default route in effect"] == heard(manager)


def test_each_word_of_the_protocol(manager: socket.socket) -> None:
    """The other messages, as sd_notify(3) spells them."""
    notifier = Notifier(os.environ)
    notifier.status("waiting for the gateway")
    notifier.extend_timeout(30.0)
    notifier.watchdog()
    notifier.reloading(12.345678, "reading the settings")
    notifier.stopping("the default route stays")

    assert ["STATUS=waiting for the gateway"] == heard(manager)
    assert ["EXTEND_TIMEOUT_USEC=30000000"] == heard(manager)
    assert ["WATCHDOG=1"] == heard(manager)
    assert ["RELOADING=1", "MONOTONIC_USEC=12345678", "STATUS=reading the settings"] == heard(
        manager
    )
    assert ["STOPPING=1", "STATUS=the default route stays"] == heard(manager)


@pytest.mark.parametrize(
    "text", ["a\nREADY=1", "a\rb", "a\0b", "a\x1b[31mb", "a\u2028b", "a\udcffb"]
)
def test_a_status_is_one_line(manager: socket.socket, text: str) -> None:
    """What a remote wrote cannot add an assignment, colour a terminal or break the encoding."""
    Notifier(os.environ).status(text)
    (line,) = heard(manager)

    assert f"STATUS=a {text[2:]}".replace("\x1b", " ") == line


def test_a_status_is_bounded(manager: socket.socket) -> None:
    """A remote's novel is cut."""
    Notifier(os.environ).status("ä" * 100_000)

    assert ["STATUS=" + "ä" * MAX_STATUS_LENGTH] == heard(manager)


def test_without_a_manager_nothing_is_sent_nor_loaded() -> None:
    """Run by hand there is nobody to tell, and systemd-python is not even imported."""
    script = (
        "import sys\n"
        "from rcnetd.daemon.notify import Notifier\n"
        "for environ in ({}, {'NOTIFY_SOCKET': ''}):\n"
        "    Notifier(environ).ready('text')\n"
        "print('systemd' in sys.modules)\n"
    )

    Notifier({}).ready("text")
    assert "False\n" == subprocess.check_output([sys.executable, "-c", script], text=True)


def test_a_busy_manager_is_not_waited_for(manager: socket.socket) -> None:
    """Its socket is full: nothing blocks, READY=1 and the latest of each kind come later."""
    notifier = Notifier(os.environ)

    def speak() -> None:
        for number in range(1000):
            notifier.watchdog()
            notifier.status(f"number {number}")
        notifier.ready("done")

    speaker = threading.Thread(target=speak, daemon=True)
    speaker.start()
    speaker.join(10)
    assert not speaker.is_alive(), "it blocks"
    assert notifier.is_waiting
    manager.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            heard(manager)
    notifier.flush()

    assert {"WATCHDOG=1", "STATUS=done", "READY=1"} == set(heard(manager))
    assert not notifier.is_waiting


@pytest.mark.parametrize("name", ["{}/gone", "@rcnetd-gone", "not/absolute", "vsock:1:1", "{}"])
def test_a_dead_socket_is_no_failure(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon goes on when nobody listens."""
    pytest.importorskip("systemd.daemon")
    monkeypatch.setenv("NOTIFY_SOCKET", name.format(tmp_path))
    notifier = Notifier(os.environ)

    notifier.ready("text")
    notifier.watchdog()


def test_a_manager_that_goes_away_is_no_failure(manager: socket.socket) -> None:
    """Nor when it listened a moment ago."""
    notifier = Notifier(os.environ)
    notifier.watchdog()
    manager.close()

    notifier.watchdog()


def test_the_watchdog_is_fed_twice_in_its_time() -> None:
    """sd_watchdog_enabled(3): "every half of the time returned here"."""
    environ = {"WATCHDOG_USEC": "30000000"}

    assert 15.0 == Notifier(environ).watchdog_interval
    assert 15.0 == Notifier({**environ, "WATCHDOG_PID": str(os.getpid())}).watchdog_interval


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": ""},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "-5"},
        {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "me"},
    ],
)
def test_no_watchdog_of_ours(environ: dict[str, str]) -> None:
    """None, another process's, or nonsense: nobody waits for our pings."""
    assert Notifier(environ).watchdog_interval is None
