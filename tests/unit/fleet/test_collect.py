"""Clouds and regions in threads: none holds up another."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from rcnetd.fleet.collect import Collector
from rcnetd.fleet.failures import Failure
from rcnetd.fleet.reader import Answer
from rcnetd.fleet.servers import Selection
from tests.support.openstack import server

LONG = 10.0  # seconds; nothing here takes that long unless it is broken


class Place:
    """A region, or a cloud with this one region."""

    def __init__(self, name: str, get: Callable[..., Answer]) -> None:
        self.cloud = self.name = name
        self.get = get
        self.logins = 0
        self.failures: list[Failure] = []

    def regions(self, _: tuple[str, ...]) -> list[Place]:
        """Log in."""
        self.logins += 1
        if self.failures:
            raise self.failures.pop(0)
        return [self]


def gives(*servers: dict[str, Any]) -> Callable[..., Answer]:
    """Answers every list with these."""
    body = json.dumps({"servers": servers}).encode()
    return lambda *_: Answer(200, {"Date": "Fri, 27 Nov 2026 08:00:00 GMT"}, body)


def collector(*places: Place, clock: Callable[[], float] = time.monotonic) -> Collector:
    """Of these clouds."""
    return Collector(
        places, (), Selection(), clock=clock, sleep=lambda _: None, jitter=lambda: 0.5
    )  # fmt: skip


def finish(collected: Collector) -> None:
    """Until nothing is asked any more."""
    end = time.monotonic() + LONG
    while not collected.is_idle() and collected.wait(end):
        pass


def test_a_region_that_hangs_holds_up_no_other() -> None:
    """It is reported as one that has not answered yet."""
    release = threading.Event()

    def hang(path: str, params: Mapping[str, str]) -> Answer:
        release.wait(LONG)
        return gives(server(2))(path, params)

    collected = collector(Place("slow", hang), Place("quick", gives(server(1))))
    collected.start()
    end = time.monotonic() + LONG
    while not collected.servers() and collected.wait(end):
        pass

    assert ["web-1"] == [one.name for one in collected.servers()]
    assert any("no answer yet" in str(one) for one in collected.troubles())
    assert not collected.is_idle()
    release.set()
    finish(collected)
    assert 2 == collected.counts().total
    assert [] == collected.troubles()
    assert 2 == collected.requests()


def test_a_region_is_asked_once_at_a_time() -> None:
    """However often a list is due."""
    release, asked = threading.Event(), []

    def hang(path: str, params: Mapping[str, str]) -> Answer:
        asked.append(params)
        release.wait(LONG)
        return gives()(path, params)

    collected = collector(Place("slow", hang))
    collected.start()
    assert collected.wait(time.monotonic() + LONG)
    collected.start()
    collected.start()
    release.set()
    finish(collected)
    assert 1 == len(asked)


def test_a_login_that_may_pass_is_tried_again() -> None:
    """One that is refused is not."""
    passing, refused = Place("a", gives(server(1))), Place("b", gives(server(2)))
    passing.failures = [Failure("busy", transient=True)]
    refused.failures = [Failure("not authorised", 77)]
    collected = collector(passing, refused)
    for _ in range(3):
        collected.start()
        finish(collected)

    assert (2, 1) == (passing.logins, refused.logins)
    assert ["web-1"] == [one.name for one in collected.servers()]
    assert ["Failed to list the servers of 'b': not authorised"] == [
        str(one) for one in collected.troubles()
    ]


def test_retry_after_is_kept() -> None:
    """Nothing is asked before, however often a list is due."""
    now = [0.0]
    place = Place("a", gives(server(1)))
    place.failures = [Failure("busy", transient=True, retry_after=30.0)]
    collected = collector(place, clock=lambda: now[0])
    for now[0] in (0.0, 10.0, 29.0):
        collected.start()
        while not collected.is_idle():
            collected.wait(now[0] + LONG)
    assert 1 == place.logins

    now[0] = 31.0
    collected.start()
    while not collected.is_idle():
        collected.wait(now[0] + LONG)
    assert 2 == place.logins


def test_the_second_list_is_one_of_changes() -> None:
    """And the final one is full, with the changes after it."""
    asked: list[Mapping[str, str]] = []

    def get(path: str, params: Mapping[str, str]) -> Answer:
        asked.append(params)
        return gives(server(1))(path, params)

    collected = collector(Place("a", get))
    for start in (collected.start, collected.start, collected.start_final, collected.start_final):
        start()
        finish(collected)

    since = {"changes-since": "2026-11-27T07:59:50Z"}
    assert [{}, since, {}, since] == asked
    assert collected.is_all_full()


def test_a_bug_in_a_thread_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not look like a region that is slow."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def get(path: str, params: Mapping[str, str]) -> Answer:
        raise ZeroDivisionError

    collected = collector(Place("a", get))
    collected.start()
    with pytest.raises(AssertionError, match="thread"):
        finish(collected)
    for thread in threading.enumerate():
        if thread.name == "list-0":
            thread.join(LONG)
