"""What happened since boot."""

from __future__ import annotations

import json
import os
from pathlib import Path

from rcnetd.store.timeline import MAX_SIZE, Timeline


def test_each_line_is_an_object(tmp_path: Path) -> None:
    """A program reads it line by line."""
    path = tmp_path / "timeline.jsonl"
    Timeline(path).add(1.5, "state", state="READY", text="ready")

    assert json.loads(path.read_text()) == {
        "at": 1.5,
        "event": "state",
        "state": "READY",
        "text": "ready",
    }


def test_it_is_bounded_and_loses_the_oldest(tmp_path: Path) -> None:
    """A server that runs for years does not fill /run."""
    path = tmp_path / "timeline.jsonl"
    timeline = Timeline(path)
    for number in range(4000):
        timeline.add(number, "log", level="info", text="x" * 100)

    lines = path.read_text().splitlines()
    assert path.stat().st_size <= MAX_SIZE
    assert json.loads(lines[-1])["at"] == 3999
    assert json.loads(lines[0])["at"] > 0


def test_all_can_read_it_whatever_the_umask(tmp_path: Path) -> None:
    """The daemon's umask is strict; `rcnetctl` runs as anybody."""
    path = tmp_path / "timeline.jsonl"
    before = os.umask(0o077)
    try:
        timeline = Timeline(path)
        timeline.add(0, "log", level="info", text="x")
        assert 0o644 == path.stat().st_mode & 0o777
        for number in range(4000):
            timeline.add(number, "log", level="info", text="x" * 100)
    finally:
        os.umask(before)

    assert 0o644 == path.stat().st_mode & 0o777


def test_a_place_that_cannot_be_written_loses_only_lines(tmp_path: Path) -> None:
    """The timeline is never a reason to fail."""
    Timeline(tmp_path / "missing" / "timeline.jsonl").add(0.0, "ready")
