"""One server of the list, and which ones are selected."""

from __future__ import annotations

from typing import Any

import pytest

from rcnetd.fleet.servers import Automation, Selection, count, parse
from tests.support.openstack import KEY, server


def test_a_server_is_read() -> None:
    """All that is shown."""
    found = parse(server(7), "rax", "ORD")

    assert found is not None
    assert ("web-7", "rax", "ORD", "ACTIVE") == (
        found.name, found.cloud, found.region, found.server_status,
    )  # fmt: skip
    assert Automation.DEPLOYED is found.automation
    assert ("203.0.0.7", "10.180.0.7") == (found.access_address, found.servicenet_address)
    assert {"configure_network_stack": "ENABLED"} == found.features


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("DEPLOYED", Automation.DEPLOYED),
        (" deployed\n", Automation.DEPLOYED),
        ("DEPLOYING", Automation.DEPLOYING),
        ("FAILED", Automation.FAILED),
        ("UNPROCESSABLE", Automation.UNPROCESSABLE),
        ("DEPLOYED?", Automation.UNKNOWN),
        ("UNKNOWN", Automation.UNKNOWN),
        ("NOT_RACKCONNECTED", Automation.UNKNOWN),
        ("", Automation.NOT_RACKCONNECTED),
        (None, Automation.NOT_RACKCONNECTED),
    ],
)
def test_every_status_has_its_meaning(word: str | None, expected: Automation) -> None:
    """A word that is not documented is never DEPLOYED; no word is not RackConnected."""
    found = parse(server(1, word), "c", "r")

    assert found is not None
    assert expected is found.automation


@pytest.mark.parametrize(
    "change",
    [
        {"status": "DELETED"},
        {"status": "SOFT_DELETED"},
        {"OS-EXT-STS:task_state": "deleting"},
        {"id": ""},
        {"id": None},
    ],
)
def test_a_server_that_goes_is_none(change: dict[str, Any]) -> None:
    """Also while it is still ACTIVE, with its metadata."""
    assert parse(server(1, **change), "c", "r") is None


@pytest.mark.parametrize("raw", [None, 5, "x", [], {}])
def test_nonsense_is_no_server(raw: Any) -> None:
    """Never an exception."""
    assert parse(raw, "c", "r") is None


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": None},
        {"metadata": [1]},
        {"metadata": {KEY: 5}},
        {"addresses": None},
        {"addresses": {"private": None}},
        {"addresses": {"private": [None, {"addr": 7}, {"addr": "nonsense"}]}},
        {"accessIPv4": None},
        {"accessIPv4": ""},
        {"accessIPv4": "::1"},
        {"name": None},
        {"status": 7},
    ],
)
def test_what_is_not_of_its_form_is_missing(change: dict[str, Any]) -> None:
    """The rest of the server is shown."""
    assert parse({**server(1), **change}, "c", "r") is not None


def test_names_are_on_one_line() -> None:
    """Whoever may name a server writes no escape sequences to our terminal."""
    found = parse(server(1, name="a\x1b[31m\nb\x9b"), "c", "r")

    assert found is not None
    assert "a [31m b" == found.name


def test_servicenet_is_found_under_another_name() -> None:
    """By its networks, on a cloud that does not call it private."""
    addresses = {"rack": [{"addr": "192.0.2.1"}, {"addr": "10.208.1.2"}]}
    found = parse(server(1, addresses=addresses), "c", "r")

    assert found is not None
    assert "10.208.1.2" == found.servicenet_address


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), True),
        (Selection(names=("web-*",)), True),
        (Selection(names=("eb-",)), False),  # no regular expression, not unanchored
        (Selection(names=("WEB-*",)), False),
        (Selection(names=("db-*", "web-?")), True),
        (Selection(metadata=((KEY, "DEPLOYED"),)), True),
        (Selection(metadata=((KEY.upper(), "DEPLOYED"),)), False),
        (Selection(metadata=((KEY, "DEPLOYED"), ("group", "a"))), False),
        (Selection(ids=frozenset({server(1)["id"]})), True),
        (Selection(ids=frozenset({server(2)["id"]})), False),
    ],
)
def test_selection(selection: Selection, expected: bool) -> None:
    """All that is given holds; globs match whole names, in their case."""
    found = parse(server(1), "c", "r")

    assert found is not None
    assert expected is selection.matches(found)


def test_counts() -> None:
    """Of each status, and in words."""
    listed = [parse(server(n, s), "c", "r") for n, s in enumerate(["DEPLOYED", "FAILED", None])]
    counts = count([one for one in listed if one is not None])

    assert 3 == counts.total
    assert 0 == counts[Automation.DEPLOYING]
    assert "3 servers: 1 DEPLOYED, 1 FAILED, 1 not RackConnected" == str(counts)
    assert "0 servers: none" == str(count([]))
