"""What is known of a region, list by list."""

from __future__ import annotations

import pytest

from rcnetd.fleet.failures import Failure
from rcnetd.fleet.servers import Selection
from rcnetd.fleet.watch import FULL_INTERVAL, Listing, RegionWatch
from tests.support.openstack import server

TIME = 1795766400.0  # 2026-11-27T08:00:00Z


def listing(*servers: tuple[int, str | None], full: bool = True, gone: int = 0) -> Listing:
    """A list with these servers."""
    result = Listing(full=full, server_time=TIME)
    result.add([server(*one) for one in servers], "c", "ORD", Selection())
    if gone:
        result.add([{**server(gone), "status": "DELETED"}], "c", "ORD", Selection())
    return result


@pytest.fixture
def watch() -> RegionWatch:
    """A region whose two servers were listed at 0."""
    result = RegionWatch("c", "ORD")
    result.apply(listing((1, "DEPLOYING"), (2, "DEPLOYED")), 0.0)
    return result


def words(watch: RegionWatch) -> dict[str, str]:
    """The status of each server."""
    return {one.name: one.word for one in watch.servers.values()}


def test_the_first_list_is_a_full_one() -> None:
    """There is nothing yet from which changes could be told."""
    watch = RegionWatch("c", "ORD")

    assert watch.needs_full(0.0)
    assert watch.begin_of_changes is None


def test_changes_begin_before_the_last_list(watch: RegionWatch) -> None:
    """By the server's clock, with an overlap."""
    assert not watch.needs_full(1.0)
    assert "2026-11-27T07:59:50Z" == watch.begin_of_changes


def test_a_full_list_now_and_then(watch: RegionWatch) -> None:
    """The removal of a metadata key is not a change."""
    assert not watch.needs_full(FULL_INTERVAL - 1)
    assert watch.needs_full(FULL_INTERVAL)


def test_changes_are_applied(watch: RegionWatch) -> None:
    """Changed, new and deleted servers."""
    watch.apply(listing((1, "DEPLOYED"), (3, "DEPLOYING"), full=False, gone=2), 10.0)

    assert {"web-1": "DEPLOYED", "web-3": "DEPLOYING"} == words(watch)
    assert not watch.is_full


def test_since_when_is_by_our_own_observation(watch: RegionWatch) -> None:
    """A status that was there at first has been there for an unknown time."""
    watch.apply(listing((1, "DEPLOYED"), (3, "DEPLOYING"), full=False), 10.0)
    watch.apply(listing((1, "DEPLOYED"), full=False), 20.0)

    times = {watch.servers[one].name: since.at for one, since in watch.since.items()}
    assert {"web-1": 10.0, "web-2": None, "web-3": 10.0} == times


def test_a_full_list_replaces_all(watch: RegionWatch) -> None:
    """Whatever is not listed any more is gone."""
    watch.apply(listing((2, "DEPLOYED")), 10.0, listing(full=False, gone=1))

    assert {"web-2": "DEPLOYED"} == words(watch)
    assert watch.trusts_changes


def test_changes_that_are_kept_back_are_not_trusted(watch: RegionWatch) -> None:
    """A key that was removed, a server that vanished: full lists from then on."""
    watch.apply(listing((1, None), (2, "DEPLOYED")), 10.0, listing(full=False))

    assert not watch.trusts_changes
    assert watch.needs_full(11.0)


def test_a_change_just_before_the_full_list_is_no_reason_for_distrust(watch: RegionWatch) -> None:
    """The list of changes that is read after it has it as well."""
    watch.apply(
        listing((1, "DEPLOYED"), (2, "DEPLOYED")), 10.0, listing((1, "DEPLOYED"), full=False)
    )

    assert watch.trusts_changes


def test_what_changed_after_the_full_list_is_newer(watch: RegionWatch) -> None:
    """The list of changes is read after it."""
    watch.apply(listing((1, "DEPLOYING"), (2, "DEPLOYED")), 9.0, listing((1, "FAILED"), full=False))

    assert {"web-1": "FAILED", "web-2": "DEPLOYED"} == words(watch)


def test_a_failure_keeps_what_was_known(watch: RegionWatch) -> None:
    """Until the next list."""
    watch.failed(Failure("refused"))
    assert watch.failure is not None
    assert 2 == len(watch.servers)

    watch.apply(listing(full=False), 10.0)
    assert watch.failure is None


def test_without_the_servers_time_all_lists_are_full() -> None:
    """Changes cannot be asked for."""
    watch = RegionWatch("c", "ORD")
    watch.apply(Listing(full=True), 0.0)

    assert watch.needs_full(1.0)
