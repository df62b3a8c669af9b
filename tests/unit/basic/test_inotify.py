"""Waiting for changes in a directory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rcnetd.basic.inotify import Watch

LONG = 30.0  # seconds that no test waits for


def wait_for(watch: Watch, done: Callable[[], bool]) -> float:
    """Wait for changes until *done*; how long it took."""
    begin = time.monotonic()
    while not done():
        assert time.monotonic() < begin + LONG
        watch.wait(LONG)
    return time.monotonic() - begin


@pytest.mark.parametrize("exists", [True, False])
def test_a_change_ends_the_wait(tmp_path: Path, exists: bool) -> None:
    """A file that is renamed into place, in a directory that may come later."""
    directory = tmp_path / "run"
    if exists:
        directory.mkdir()

    def write() -> None:
        directory.mkdir(exist_ok=True)
        (tmp_path / "new").write_text("{}")
        (tmp_path / "new").rename(directory / "status.json")

    with Watch(directory) as watch:
        writer = threading.Timer(0.1, write)
        writer.start()
        took = wait_for(watch, (directory / "status.json").exists)
        writer.join()

    assert took < LONG / 2


def test_changes_between_two_waits_count(tmp_path: Path) -> None:
    """Nothing is missed while the caller looks."""
    with Watch(tmp_path) as watch:
        watch.wait(0)
        (tmp_path / "status.json").write_text("{}")
        begin = time.monotonic()
        watch.wait(LONG)

    assert time.monotonic() - begin < LONG / 2


def test_without_a_change_the_time_ends_it(tmp_path: Path) -> None:
    """A bound is a bound."""
    with Watch(tmp_path) as watch:
        watch.wait(0)
        begin = time.monotonic()
        watch.wait(0.05)
        assert 0.04 <= time.monotonic() - begin < LONG / 2
        watch.wait(-1)
