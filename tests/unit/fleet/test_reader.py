"""Pages of servers, against an endpoint in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from rcnetd.fleet.failures import Failure
from rcnetd.fleet.reader import Answer, Reader


class Endpoint:
    """Gives one answer after the other, and remembers what was asked."""

    def __init__(self, *answers: Answer | Failure) -> None:
        self.answers = list(answers)
        self.asked: list[Mapping[str, str]] = []

    def get(self, path: str, params: Mapping[str, str]) -> Answer:
        assert "/servers/detail" == path
        self.asked.append(params)
        answer = self.answers.pop(0)
        if isinstance(answer, Failure):
            raise answer
        return answer


def page(*ids: str, following: str | None = None, **headers: str) -> Answer:
    """A page of servers; *following* is the marker of its `next` link."""
    content: dict[str, Any] = {"servers": [{"id": one} for one in ids]}
    if following is not None:
        href = f"http://elsewhere/v2.1/servers/detail?marker={following}"
        content["servers_links"] = [{"rel": "next", "href": href}]
    return Answer(200, headers, json.dumps(content).encode())


def status(code: int, **headers: str) -> Answer:
    """An error."""
    return Answer(code, {key.replace("_", "-"): text for key, text in headers.items()}, b"{}")


def read(endpoint: Endpoint, since: str | None = None) -> tuple[list[str], list[float]]:
    """The ids of all pages, and how long was waited."""
    waits: list[float] = []
    reader = Reader(endpoint, waits.append, lambda: 0.5)
    return [one["id"] for servers in reader.pages(since) for one in servers], waits


def test_pages_follow_one_another() -> None:
    """By the marker of the link; its host, which may be a proxy's, is not used."""
    endpoint = Endpoint(page("a", "b", following="b"), page("c", following="c"), page())

    assert (["a", "b", "c"], []) == read(endpoint)
    assert [{}, {"marker": "b"}, {"marker": "c"}] == endpoint.asked


def test_changes_keep_their_begin_on_every_page() -> None:
    """Otherwise the second page is one of all servers."""
    endpoint = Endpoint(page("a", following="a"), page("b"))

    assert (["a", "b"], []) == read(endpoint, "2026-11-27T08:00:00Z")
    assert all("2026-11-27T08:00:00Z" == one["changes-since"] for one in endpoint.asked)


def test_a_link_without_a_marker_continues_after_the_last_server() -> None:
    """Some clouds' links are of another form."""
    first = json.loads(page("a", "b").body)
    first["servers_links"] = [{"rel": "next", "href": "/servers/detail?page=2"}]
    endpoint = Endpoint(Answer(200, {}, json.dumps(first).encode()), page("c"))

    assert ["a", "b", "c"] == read(endpoint)[0]
    assert {"marker": "b"} == endpoint.asked[1]


def test_a_server_on_two_pages_is_listed_once() -> None:
    """One that was created meanwhile moves the others on."""
    assert ["a", "b", "c"] == read(Endpoint(page("a", "b", following="b"), page("b", "c")))[0]


def test_a_marker_that_vanished_is_replaced_by_the_one_before() -> None:
    """A server that was deleted between two pages hides none of the others."""
    endpoint = Endpoint(
        page("a", "b", "c", following="c"), status(400), status(400), page("b", "d")
    )

    assert ["a", "b", "c", "d"] == read(endpoint)[0]
    assert ["c", "b", "a"] == [one.get("marker") for one in endpoint.asked[1:]]


def test_no_marker_is_known() -> None:
    """A plain failure, after a few."""
    endpoint = Endpoint(page(*"abcdefgh", following="h"), *[status(400)] * 5)

    with pytest.raises(Failure, match="does not know a server"):
        read(endpoint)


def test_pages_that_repeat_themselves_end() -> None:
    """Nova does so with some rows; nobody reads for ever."""
    with pytest.raises(Failure, match="repeat"):
        read(Endpoint(page("a", following="a"), page("a", following="a")))


@pytest.mark.parametrize("code", [413, 429, 500, 502, 503, 504])
def test_a_passing_error_is_tried_again(code: int) -> None:
    """Backing off, or as long as the server says."""
    assert (["a"], [1.0]) == read(Endpoint(status(code), page("a")))
    assert (["a"], [7.0]) == read(Endpoint(status(code, Retry_After="7"), page("a")))


def test_it_is_not_tried_for_ever() -> None:
    """Four attempts; the reason is that of the last one."""
    endpoint = Endpoint(*[status(429)] * 5)

    with pytest.raises(Failure, match="429") as caught:
        read(endpoint)
    assert 4 == len(endpoint.asked)
    assert caught.value.transient


def test_who_cannot_be_reached_is_tried_twice() -> None:
    """A dead region must not hold up a list for a minute."""
    dead = Failure("refused", transient=True, unreachable=True)
    endpoint = Endpoint(dead, dead, dead)

    with pytest.raises(Failure, match="refused"):
        read(endpoint)
    assert 2 == len(endpoint.asked)


@pytest.mark.parametrize(("code", "expected"), [(401, 77), (403, 77), (404, 75), (400, 75)])
def test_what_will_not_pass_is_said_at_once(code: int, expected: int) -> None:
    """With its exit code."""
    endpoint = Endpoint(status(code))

    with pytest.raises(Failure, match=str(code)) as caught:
        read(endpoint)
    assert (expected, False) == (caught.value.code, caught.value.transient)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"[]", b"{}", b'{"servers": 5}', b'{"servers": [5]}', b"[" * 100_000,
        b'{"servers": [{"id": "a"}], "servers_links": [{"rel": "next"}]}', b"\xff",
    ],
)  # fmt: skip
def test_nonsense_is_tried_again(body: bytes) -> None:
    """Half a page, a proxy's page: never an exception of another kind."""
    assert ["a"] == read(Endpoint(Answer(200, {}, body), page("a")))[0]


def test_the_time_is_the_servers() -> None:
    """Of the first page: what changes while the others are read is in the next list."""
    endpoint = Endpoint(
        page("a", following="a", Date="Fri, 27 Nov 2026 08:00:00 GMT"),
        page("b", Date="Fri, 27 Nov 2026 08:00:20 GMT"),
    )
    reader = Reader(endpoint, lambda _: None, lambda: 0.5)

    assert 2 == len(list(reader.pages()))
    assert 1795766400.0 == reader.date
    assert 2 == reader.requests


def test_a_wrong_date_is_none() -> None:
    """Full lists only, then."""
    reader = Reader(Endpoint(page("a", Date="yesterday")), lambda _: None, lambda: 0.5)

    assert 1 == len(list(reader.pages()))
    assert reader.date is None
