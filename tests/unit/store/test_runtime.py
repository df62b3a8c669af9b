"""The JSON files that the daemon writes for others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rcnetd.core.model import Address, Network
from rcnetd.core.settings import PublicInterface, Settings
from rcnetd.store.paths import Paths
from rcnetd.store.runtime import MAX_ENTRIES, RuntimeFiles, read_removed
from tests.support.playbook import ETH0, ETH1, GATEWAY, PUBLIC, foreign_default

NETWORK = Network((ETH0, ETH1))


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Places in a temporary directory."""
    return Paths(run=tmp_path, state=tmp_path)


def test_status_is_readable_by_all(paths: Paths) -> None:
    """Every user may ask how the server is."""
    RuntimeFiles(paths).status({"version": 1})

    assert json.loads(paths.status.read_text()) == {"version": 1}
    assert paths.status.stat().st_mode & 0o777 == 0o644


def test_each_ready_is_news(paths: Paths) -> None:
    """A path unit watches the file: the READY of a later daemon has to change it."""
    assert "" == RuntimeFiles(paths).ready_state()
    RuntimeFiles(paths).ready(7, "READY")
    first = paths.ready.stat().st_ino
    RuntimeFiles(paths).ready(8, "READY_UNMANAGED")

    assert json.loads(paths.ready.read_text()) == {
        "version": 1, "pid": 8, "state": "READY_UNMANAGED",
    }  # fmt: skip
    assert "READY_UNMANAGED" == RuntimeFiles(paths).ready_state()
    assert first != paths.ready.stat().st_ino


def test_the_route_in_effect(paths: Paths) -> None:
    """What the persister needs: link, MAC and gateway; and what it reads elsewhere, as news."""
    RuntimeFiles(paths).in_effect(ETH1, GATEWAY, Settings())

    assert json.loads(paths.route.read_text()) == {
        "version": 1,
        "interface": "eth1",
        "mac": ETH1.mac,
        "gateway": "10.180.31.254",
        "persist": "auto",
        "public_interface": "no-default",
        "public_ipv6": "keep",
        "public_routes": [],
    }
    written = paths.route.stat().st_ino
    RuntimeFiles(paths).in_effect(ETH1, GATEWAY, Settings(requests_per_minute=5))
    assert written == paths.route.stat().st_ino
    RuntimeFiles(paths).in_effect(ETH1, GATEWAY, Settings(public_interface=PublicInterface.DOWN))
    assert written != paths.route.stat().st_ino
    RuntimeFiles(paths).in_effect(None, GATEWAY, Settings())
    assert json.loads(paths.route.read_text())["interface"] is None


def test_removed_routes_add_up(paths: Paths) -> None:
    """Each is kept once, in order, with its words for people."""
    first, second = foreign_default(0), foreign_default(100)
    RuntimeFiles(paths).removed((first,), NETWORK)
    RuntimeFiles(paths).removed((first, second), NETWORK)
    RuntimeFiles(paths).removed((), NETWORK)

    routes = json.loads(paths.removed.read_text())["routes"]
    assert [first.raw.hex(), second.raw.hex()] == [route["raw"] for route in routes]
    assert routes[0]["text"] == "default via 203.0.113.1 dev eth0 proto boot metric 0"


def test_a_link_that_is_set_down_is_recorded_with_its_addresses(paths: Paths) -> None:
    """Beside the routes, once."""
    records = RuntimeFiles(paths)
    records.removed((foreign_default(),), NETWORK)
    for _ in range(2):
        records.taken_down(ETH0, (Address(2, PUBLIC),))

    content = json.loads(paths.removed.read_text())
    assert content["links"] == [{"name": "eth0", "mac": ETH0.mac, "addresses": ["203.0.113.10/24"]}]
    assert len(content["routes"]) == 1


def test_records_are_bounded(paths: Paths) -> None:
    """Another program that sets a new route each second cannot fill /run."""
    records = RuntimeFiles(paths)
    for metric in range(MAX_ENTRIES + 20):
        records.removed((foreign_default(metric),), NETWORK)
        records.taken_down(ETH0, (Address(metric, PUBLIC),))

    assert len(json.loads(paths.removed.read_text())["routes"]) == MAX_ENTRIES


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"routes": 5}', '{"routes": [{}], "links": []}']
)
def test_a_damaged_record_does_not_stop_the_switch(paths: Paths, damage: str) -> None:
    """What is recorded now is worth more than what cannot be read."""
    paths.removed.write_text(damage)
    RuntimeFiles(paths).removed((foreign_default(),), NETWORK)

    assert len(json.loads(paths.removed.read_text())["routes"]) == 1


def test_what_was_removed_is_read_back(paths: Paths) -> None:
    """A damaged file, or none, says that nothing was removed."""
    nothing: dict[str, list[object]] = {"routes": [], "links": []}
    assert nothing == read_removed(paths)
    for text in ("", "[]", '{"routes": 5, "links": []}', '{"routes": [5], "links": []}'):
        paths.removed.write_text(text)
        assert nothing == read_removed(paths)
    paths.removed.write_text('{"routes": [{"raw": "x"}], "links": []}')
    assert {"routes": [{"raw": "x"}], "links": []} == read_removed(paths)
