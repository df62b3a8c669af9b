"""`rcnetctl persist --retry`: what it tries again, for how long, and what it says."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from rcnetd.ctl import persist as module
from rcnetd.ctl.persist import Outcome, persist
from rcnetd.store.paths import Paths

DONE = Outcome()
REFUSED = Outcome(1, "two definitions for eth1; nothing is written")
BUSY = Outcome(os.EX_TEMPFAIL, "the disk is full")
OPEN = Outcome(os.EX_TEMPFAIL, "NetworkManager may still configure eth1", is_open=True)


class Attempts:
    """These outcomes, one after the other; the last one for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *outcomes: Outcome) -> None:
        self._outcomes, self.waited = list(outcomes), 0.0
        monkeypatch.setattr(module, "_attempt", lambda *_: self.next())
        monkeypatch.setattr(time, "sleep", self._sleep)

    def next(self) -> Outcome:
        return self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]

    def _sleep(self, seconds: float) -> None:
        self.waited += seconds
        assert self.waited < 3 * 3600


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Without settings."""
    (tmp_path / "rcnetd.yaml").write_text("")
    return Paths(tmp_path, tmp_path)


def run(paths: Paths) -> int:
    """`rcnetctl persist --retry`."""
    return persist(paths, [paths.run / "rcnetd.yaml"], retry=True)


@pytest.mark.parametrize(
    ("outcomes", "code", "waited"),
    [
        ((DONE,), 0, 0.0),
        ((REFUSED,), 1, 0.0),
        ((BUSY, DONE), 0, 0.5),
        ((OPEN, OPEN, REFUSED), 1, 1.5),
        ((BUSY,), os.EX_TEMPFAIL, 600.5),
        ((*[OPEN] * 99, DONE), 0, 3900.5),
    ],
    ids=["at once", "refused", "it passes", "decided", "it does not pass", "after an hour"],
)
def test_what_is_tried_again(
    paths: Paths,
    monkeypatch: pytest.MonkeyPatch,
    outcomes: tuple[Outcome, ...],
    code: int,
    waited: float,
) -> None:
    """What may pass, for ten minutes; what is not decided, until it is."""
    attempts = Attempts(monkeypatch, *outcomes)

    assert code == run(paths)
    assert waited == attempts.waited


def test_what_is_waited_for_is_said(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each reason once; after ten minutes it is in the status, too."""
    Attempts(monkeypatch, *[OPEN] * 60, BUSY)

    assert os.EX_TEMPFAIL == run(paths)
    assert [
        f"rcnetctl: {OPEN.reason}, retrying",
        f"rcnetctl: {BUSY.reason}",
    ] == capsys.readouterr().err.splitlines()
    assert OPEN.reason == json.loads(paths.persisted.read_text())["reason"]
