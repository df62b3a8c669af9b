"""All pages of a list of servers: one small reader, as the SDK's costs 13 to 37 s of CPU.

It asks `GET /servers/detail` without a limit (the server's maximum is a page) and continues after
the last server of a page as long as the page has a `next` link. A request that fails for a passing
reason is repeated; the marker of a server that vanished is replaced by the one before it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from rcnetd.basic.dataclass import dataclass
from rcnetd.fleet.failures import Failure, retry_after

MAX_PAGES = 2000
MAX_ATTEMPTS = 4  # of one page
MAX_UNREACHABLE = 2  # attempts that get no connection
BUSY = (413, 429, 503)  # over the limit (Rackspace), too many requests, unavailable
PASSING = (*BUSY, 500, 502, 504)
RETRY_DELAY = 1.0  # seconds; doubles with each attempt
MAX_MARKERS = 5  # servers before the marker that are tried in its place


@dataclass(frozen=True)
class Answer:
    """One HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Endpoint(Protocol):
    """The Cloud Servers API of one region."""

    def get(self, path: str, params: Mapping[str, str]) -> Answer:
        """Send one GET request. Raises `Failure`."""


class Page:
    """The servers of one page, and the marker of the next one."""

    def __init__(self, answer: Answer) -> None:
        try:
            content = json.loads(answer.body)
            self.servers: list[dict[str, Any]] = [
                one for one in content["servers"] if isinstance(one.get("id"), str)
            ]
            links = content.get("servers_links") or []
            self.next = next((str(link["href"]) for link in links if link["rel"] == "next"), None)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise Failure("its answer is not a list of servers", transient=True) from None
        self.date = answer.headers.get("Date")

    def markers(self) -> list[str]:
        """Where the next page begins: the marker of the link, then the servers before it."""
        ids = [one["id"] for one in reversed(self.servers[-MAX_MARKERS:])]
        linked = parse_qs(urlsplit(self.next or "").query).get("marker", [])
        return list(dict.fromkeys([*linked[:1], *ids]))


class Reader:
    """Reads whole lists from one region. *sleep* waits; *jitter* gives a number in [0, 1)."""

    def __init__(
        self,
        endpoint: Endpoint,
        sleep: Callable[[float], None],
        jitter: Callable[[], float],
    ) -> None:
        self._endpoint, self._sleep, self._jitter = endpoint, sleep, jitter
        self.requests = 0
        self.date: float | None = None  # the server's time when the last list began

    def pages(self, changes_since: str | None = None) -> Iterator[list[dict[str, Any]]]:
        """The servers of each page, all or only those changed since a time (UTC, ISO 8601).

        A server that moves between pages is listed once. Raises `Failure`, also in the middle.
        """
        base = {"changes-since": changes_since} if changes_since else {}
        page = self._page(base)
        self.date = _seconds(page.date)
        seen: set[str] = set()
        for _ in range(MAX_PAGES):
            fresh = [one for one in page.servers if one["id"] not in seen]
            seen.update([one["id"] for one in fresh])
            yield fresh
            if page.next is None:
                return
            if not fresh:
                raise Failure("its pages repeat themselves")
            page = self._after(base, page)
        raise Failure(f"its list has more than {MAX_PAGES} pages")

    def _after(self, base: Mapping[str, str], page: Page) -> Page:
        """The page after *page*; from an earlier server on if the last one is not known any more.

        Nova answers 400 to the marker of a server that it does not know.
        """
        markers = page.markers()
        for marker in markers[:-1]:
            try:
                return self._page({**base, "marker": marker})
            except UnknownMarker:
                continue
        return self._page({**base, "marker": markers[-1]})

    def _page(self, params: Mapping[str, str]) -> Page:
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._attempt(params)
            except Failure as failure:
                most = MAX_UNREACHABLE if failure.unreachable else MAX_ATTEMPTS
                if not failure.transient or attempt >= most:
                    raise
                backoff = RETRY_DELAY * 2 ** (attempt - 1) * (0.5 + self._jitter())
                self._sleep(max(failure.retry_after or 0.0, backoff))

    def _attempt(self, params: Mapping[str, str]) -> Page:
        self.requests += 1
        answer = self._endpoint.get("/servers/detail", params)
        status = answer.status
        if status == 200:
            return Page(answer)
        if status == 400 and "marker" in params:
            raise UnknownMarker("it does not know a server that it has just listed")
        raise Failure(
            f"it answers {status} to the list of servers{MEANINGS.get(status, '')}",
            CODES.get(status, 75),
            transient=status in PASSING,
            retry_after=retry_after(answer.headers.get("Retry-After")),
        )


class UnknownMarker(Failure):
    """The marker is refused."""


CODES = {401: 77, 403: 77}
MEANINGS = {
    401: " (not authorised)",
    403: " (this user may not list servers)",
    404: " (not a Cloud Servers API)",
    413: " (over the request limit)",
    429: " (over the request limit)",
}


def _seconds(date: str | None) -> float | None:
    """The POSIX time of a `Date` header."""
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except (TypeError, ValueError, IndexError):
        return None
