"""All clouds and regions at once, each in a thread of its own: a dead one holds up no other.

The threads only read; everything that is known changes in the caller's thread.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from typing import Protocol

from rcnetd.basic.dataclass import dataclass
from rcnetd.fleet.failures import Failure
from rcnetd.fleet.reader import Answer, Reader
from rcnetd.fleet.servers import Counts, Selection, Server, count
from rcnetd.fleet.watch import Listing, RegionWatch

__all__ = ["Answer", "Collector", "Trouble"]


class Region(Protocol):
    """One region of a cloud: it is the `Endpoint` of a reader."""

    @property
    def cloud(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def get(self) -> Callable[..., Answer]: ...


class Cloud(Protocol):
    """A cloud that can be logged in to."""

    name: str

    def regions(self, wanted: tuple[str, ...], /) -> Iterable[Region]:
        """Log in. Raises `Failure`."""


Key = tuple[str, int]  # "login" or "list", and the index of the cloud or region
Task = Callable[[], Callable[[], None]]  # runs in a thread; what it returns, in the caller's


@dataclass(frozen=True)
class Trouble:
    """A cloud, or one of its regions, that gave no answer."""

    cloud: str
    region: str | None
    failure: Failure

    def __str__(self) -> str:
        place = f"'{self.cloud}'" + (f", region '{self.region}'" if self.region else "")
        return f"Failed to list the servers of {place}: {self.failure.reason}"


class Collector:
    """What is known of all clouds. *sleep* and *jitter* are the readers'."""

    def __init__(
        self,
        clouds: Iterable[Cloud],
        wanted: tuple[str, ...],
        selection: Selection,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        jitter: Callable[[], float],
    ) -> None:
        self._clouds, self._wanted, self._selection = list(clouds), wanted, selection
        self._clock, self._sleep, self._jitter = clock, sleep, jitter
        self._logins: dict[int, Failure | None] = {}  # by the index of the cloud; None: done
        self._readers: dict[int, Reader] = {}
        self._regions: list[Region] = []
        self._busy: set[Key] = set()
        self._not_before: dict[Key, float] = {}
        self._results: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.watches: list[RegionWatch] = []

    # What is known.

    def servers(self) -> list[Server]:
        """All selected servers, in the order of clouds, regions and names."""
        order = {cloud.name: index for index, cloud in enumerate(self._clouds)}
        watches = sorted(self.watches, key=lambda one: (order.get(one.cloud, 0), one.name))
        return [
            server
            for watch in watches
            for server in sorted(watch.servers.values(), key=lambda one: (one.name, one.id))
        ]

    def counts(self) -> Counts:
        """The numbers of all selected servers."""
        return count(server for watch in self.watches for server in watch.servers.values())

    def troubles(self) -> list[Trouble]:
        """Every cloud and region whose last answer is missing."""
        found = [
            Trouble(cloud.name, None, failure)
            for cloud, failure in zip(self._clouds, map(self._login_failure, self._indexes()))
            if failure is not None
        ]
        for watch in self.watches:
            failure = watch.failure
            if failure is None and watch.full_at is None:
                failure = Failure("no answer yet", transient=True)
            if failure is not None:
                found.append(Trouble(watch.cloud, watch.name, failure))
        return found

    def requests(self) -> int:
        """How many lists' pages have been asked for."""
        return sum(reader.requests for reader in self._readers.values())

    def alive(self) -> list[RegionWatch]:
        """The regions whose last list was read."""
        return [one for one in self.watches if one.failure is None and one.full_at is not None]

    def has_answers(self) -> bool:
        """Whether any region has been listed."""
        return any(watch.full_at is not None for watch in self.watches)

    def is_all_full(self) -> bool:
        """Whether the last list of each region that answers was a full one."""
        return all(watch.is_full for watch in self.alive())

    def _indexes(self) -> range:
        return range(len(self._clouds))

    def _login_failure(self, index: int) -> Failure | None:
        return self._logins.get(index, Failure("no answer yet", transient=True))

    # Asking.

    def start(self) -> None:
        """Ask every cloud and region that is not being asked, unless that cannot help."""
        now = self._clock()
        for index in self._indexes():
            failure = self._login_failure(index)
            if failure is not None and failure.transient:
                self._run(("login", index), now, self._login(index))
        for index, watch in enumerate(self.watches):
            if watch.failure is None or watch.failure.transient:
                self._run(("list", index), now, self._list(index, watch.needs_full(now)))

    def start_final(self) -> None:
        """Have a full list from every region that answers and gave another kind last."""
        for index, watch in enumerate(self.watches):
            if watch.failure is None and not watch.is_full:
                self._run(("list", index), self._clock(), self._list(index, True))

    def wait(self, until: float) -> bool:
        """Take in one result; False if none came until *until*."""
        try:
            apply = self._results.get(timeout=max(until - self._clock(), 0.0))
        except queue.Empty:
            return False
        apply()
        return True

    def is_idle(self) -> bool:
        """Whether nothing is being asked."""
        return not self._busy

    def _run(self, key: Key, now: float, task: Callable[[], Callable[[], None]]) -> None:
        """Run *task* in a thread; what it returns is called in the caller's thread."""
        if key in self._busy or now < self._not_before.get(key, now):
            return
        self._busy.add(key)

        def run() -> None:
            apply = _crash  # where the task raises what no task should
            try:
                apply = task()
            finally:
                self._results.put(lambda: self._done(key, apply))

        threading.Thread(target=run, name=f"{key[0]}-{key[1]}", daemon=True).start()

    def _done(self, key: Key, apply: Callable[[], None]) -> None:
        self._busy.discard(key)
        apply()

    def _postpone(self, key: Key, failure: Failure) -> None:
        if failure.retry_after:
            self._not_before[key] = self._clock() + failure.retry_after

    def _login(self, index: int) -> Task:
        def failed(failure: Failure) -> None:
            self._logins[index] = failure
            self._postpone(("login", index), failure)

        def task() -> Callable[[], None]:
            try:
                regions = list(self._clouds[index].regions(self._wanted))
            except Failure as failure:
                reason = failure
                return lambda: failed(reason)
            return lambda: self._logged_in(index, regions)

        return task

    def _logged_in(self, index: int, regions: list[Region]) -> None:
        self._logins[index] = None
        for region in regions:
            number = len(self._regions)
            self._regions.append(region)
            self._readers[number] = Reader(region, self._sleep, self._jitter)
            self.watches.append(RegionWatch(region.cloud, region.name))
            self._run(("list", number), self._clock(), self._list(number, True))

    def _list(self, number: int, full: bool) -> Task:
        watch, reader = self.watches[number], self._readers[number]
        since, check = watch.begin_of_changes, watch.trusts_changes

        def failed(failure: Failure) -> None:
            watch.failed(failure)
            self._postpone(("list", number), failure)

        def task() -> Callable[[], None]:
            try:
                listing = self._read(watch, reader, None if full else since)
                more = full and check and since is not None
                changes = self._read(watch, reader, since) if more else None
            except Failure as failure:
                reason = failure
                return lambda: failed(reason)
            return lambda: watch.apply(listing, self._clock(), changes)

        return task

    def _read(self, watch: RegionWatch, reader: Reader, since: str | None) -> Listing:
        listing = Listing(full=since is None)
        for page in reader.pages(since):
            listing.add(page, watch.cloud, watch.name, self._selection)
        listing.server_time = reader.date
        return listing


def _crash() -> None:
    raise AssertionError("A thread has ended with an exception")
