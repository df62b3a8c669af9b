"""A start judges like a running daemon: each state of the world, whenever it has come."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.netns.daemons import Cloud
from tests.netns.worlds import (
    AT_READY,
    AT_RESTART,
    AT_UPGRADE,
    BEFORE,
    WAITS,
    WORLDS,
    Host,
)

pytestmark = pytest.mark.netns
Record = Callable[[str, object], None]


@pytest.fixture
def host(cloud: Cloud, tmp_path: Path) -> Host:
    """A fresh server."""
    return Host(cloud, tmp_path)


@pytest.mark.parametrize("name", WORLDS)
def test_a_world_before_the_first_start(host: Host, name: str, record_property: Record) -> None:
    """It is there when rcnetd starts for the first time."""
    world = WORLDS[name]
    expected = world.said(BEFORE)
    world.arrive(host)
    host.start()
    if not expected.endswith(WAITS):
        host.until_returned()
    host.until_says(expected)
    record_property("world", (name, BEFORE, expected))


@pytest.mark.parametrize("name", WORLDS)
def test_a_world_on_a_server_that_was_ready(host: Host, name: str, record_property: Record) -> None:
    """It comes at READY, is there at a restart, and at an upgrade: those return within 10 s."""
    world = WORLDS[name]
    host.start()
    host.daemon.until_ready()
    world.arrive(host)
    host.wake()
    host.until_says(world.said(AT_READY))
    record_property("world", (name, AT_READY, world.said(AT_READY)))

    for column in (AT_RESTART, AT_UPGRADE):
        world.arrive(host)
        host.restart(upgrade=column == AT_UPGRADE)
        host.until_returned()
        host.until_says(world.said(column))
        record_property("world", (name, column, world.said(column)))
