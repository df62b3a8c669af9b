"""The servers of one region over time: a full list first, then what has changed since.

Pure: lists and the time (CLOCK_MONOTONIC seconds) are arguments.

`changes-since` costs 0.1 s where a full list costs 20. It does not report that a metadata key was
removed, so a full list follows every few minutes. If a full list shows a change that a list of
changes read after it does not have, these cannot be trusted: full lists from then on.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any

from rcnetd.basic.dataclass import dataclass, field
from rcnetd.fleet.failures import Failure
from rcnetd.fleet.servers import Selection, Server, parse

FULL_INTERVAL = 300.0  # seconds between full lists
OVERLAP = 10.0  # seconds that two lists of changes have in common; Nova rounds to whole ones


@dataclass
class Listing:
    """What one list showed. *gone* are servers that are deleted or not selected any more."""

    full: bool
    servers: dict[str, Server] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    server_time: float | None = None  # POSIX, by the server's clock, when the list began

    def add(self, page: Iterable[Any], cloud: str, region: str, selection: Selection) -> None:
        """Take in the servers of one page."""
        for raw in page:
            server = parse(raw, cloud, region)
            if server is not None and selection.matches(server):
                self.servers[server.id] = server
            elif isinstance(raw, dict):
                self.gone.add(str(raw.get("id")))


@dataclass(frozen=True)
class Since:
    """When a server's status was first seen; None: it had it when it was first listed."""

    word: str
    at: float | None


class RegionWatch:
    """What is known of one region. *failure* is why the last list was not read."""

    def __init__(self, cloud: str, name: str) -> None:
        self.cloud, self.name = cloud, name
        self.servers: dict[str, Server] = {}
        self.since: dict[str, Since] = {}
        self.failure: Failure | None = None
        self.full_at: float | None = None
        self.is_full = False  # the last list was a full one
        self.trusts_changes = True
        self._server_time: float | None = None

    @property
    def begin_of_changes(self) -> str | None:
        """The time from which changes have to be listed (UTC); None before the first list."""
        if self._server_time is None:
            return None
        return _iso(self._server_time - OVERLAP)

    def needs_full(self, now: float) -> bool:
        """Whether the next list has to be a full one."""
        if self.full_at is None or self._server_time is None or not self.trusts_changes:
            return True
        return now - self.full_at >= FULL_INTERVAL

    def failed(self, failure: Failure) -> None:
        """The last list was not read: what was known before stays."""
        self.failure = failure

    def apply(self, listing: Listing, now: float, changes: Listing | None = None) -> None:
        """Take in a list; *changes* is what was listed as changed after a full list was read."""
        if listing.full:
            if changes is not None and self._hidden(listing.servers) - _named(changes):
                self.trusts_changes = False
            self.servers = dict(listing.servers)
        for one in (listing, changes):
            if one is not None and not one.full:
                self.servers.update(one.servers)
                for server_id in one.gone:
                    self.servers.pop(server_id, None)
        self._observe(now)
        if listing.full:
            self.full_at = now
        self.failure, self.is_full, self._server_time = None, listing.full, listing.server_time

    def _hidden(self, found: dict[str, Server]) -> set[str]:
        """The servers whose status is another than was known, or that are not listed any more."""
        return {
            server_id
            for server_id, server in self.servers.items()
            if server_id not in found or found[server_id].word != server.word
        }

    def _observe(self, now: float) -> None:
        first = self.full_at is None
        for server_id, server in self.servers.items():
            before = self.since.get(server_id)
            if before is None:
                self.since[server_id] = Since(server.word, None if first else now)
            elif before.word != server.word:
                self.since[server_id] = Since(server.word, now)
        if len(self.since) > len(self.servers):
            self.since = {one: self.since[one] for one in self.servers}


def _named(listing: Listing) -> set[str]:
    return listing.gone | listing.servers.keys()


def _iso(seconds: float) -> str:
    """A time as Nova reads it."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
