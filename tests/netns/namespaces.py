"""Fixtures: network namespaces for the tests, gone when the test is.

Ask for `namespace` (one, empty, entered), `topology` (the small cloud of `rcnetd.lab.topology`, not
entered) or `server` (that cloud's server, entered). Without root the whole pytest process moves
into a user namespace first.
"""

from __future__ import annotations

import os
import select
import shutil
from collections.abc import Iterator

import pytest

from rcnetd.lab.topology import Namespace, Topology, become_root_of_nothing, may_make_namespaces
from tests.conftest import missing


@pytest.fixture(scope="session")
def _privilege() -> str:
    """Why there can be no namespaces, empty if there can."""
    if shutil.which("ip") is None:
        return "the 'ip' program is not installed"
    if may_make_namespaces():
        return ""
    try:
        become_root_of_nothing()
    except OSError as error:
        return f"neither root nor user namespaces: {error}"
    return "" if may_make_namespaces() else "network namespaces are not allowed here"


@pytest.fixture
def namespaces(_privilege: str) -> None:
    """Namespaces can be made, or the test is skipped (in CI: fails)."""
    if _privilege:
        missing("netns", _privilege)


@pytest.fixture
def namespace(namespaces: None) -> Iterator[Namespace]:
    """An empty namespace; the test runs in it."""
    made = Namespace()
    try:
        with made:
            yield made
    finally:
        made.close()


@pytest.fixture
def topology(namespaces: None) -> Iterator[Topology]:
    """The small cloud; the test runs outside of it."""
    with Topology() as made:
        yield made


@pytest.fixture
def server(topology: Topology) -> Iterator[Namespace]:
    """The server of the small cloud; the test runs in it."""
    with topology.server as entered:
        yield entered


def readable(descriptor: int, timeout: float = 0.0) -> bool:
    """Whether there is something to read, waiting up to *timeout* seconds for it."""
    return bool(select.select([descriptor], [], [], timeout)[0])


def open_descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208
