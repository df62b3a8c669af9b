"""A client for the RackConnect v2.0 API, usable by itself: strict, bounded, typed errors.

    from ipaddress import IPv4Address
    from rcnetd.api.client import ApiError, Client, endpoint_for

    client = Client(endpoint_for("dfw"), source=IPv4Address("10.180.5.7"), timeout=10.0)
    try:
        gateway = client.gateway_ip()  # None: not assigned yet
    except ApiError as error:
        print(error.kind, error.reason)

One request is one connection (`Connection: close`): a kept one that turns out to be stale would
have to be asked again, and nobody knows whether the API has counted the first try. The time-out is
for the whole request. Only the system's resolver cannot be cut off; `rcnetd.fetcher` runs this
module in a process of its own for that.

Proxies, netrc and certificate bundles from the environment are not used. requests and urllib3 are
imported here and nowhere else.
"""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Callable
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from rcnetd import __version__
from rcnetd.api import parse as answers
from rcnetd.api.connection import Connector
from rcnetd.api.errors import (
    CUT_SHORT,
    UNANSWERED,
    ApiError,
    CertificateError,
    ClockError,
    ConnectError,
    Disconnected,
    DnsError,
    HttpError,
    InvalidAnswer,
    Oversize,
    RateLimitError,
    Redirected,
    TimedOut,
    TlsError,
    TrustError,
    UnknownServer,
)
from rcnetd.api.parse import Details, Features, Status, Task
from rcnetd.basic.text import plain, quoted
from rcnetd.core.model import Operation

__all__ = [
    "ENDPOINTS",
    "ApiError",
    "CertificateError",
    "Client",
    "ClockError",
    "ConnectError",
    "Details",
    "Disconnected",
    "DnsError",
    "Features",
    "HttpError",
    "InvalidAnswer",
    "Operation",
    "Oversize",
    "RateLimitError",
    "Redirected",
    "Status",
    "Task",
    "TimedOut",
    "TlsError",
    "TrustError",
    "UnknownServer",
    "endpoint_for",
]

REGIONS = ("dfw", "hkg", "iad", "lon", "ord", "syd")
# "The RackConnect API is exposed via regional endpoints." (the API page)
ENDPOINTS = {region: f"https://{region}.api.rackconnect.rackspace.com" for region in REGIONS}
MAX_BODY = 64 * 1024  # bytes
# A rate limit by any of its names: the API page's 403, RFC 6585's 429, and 413 "Over Limit", which
# Rackspace's other APIs say.
RATE_LIMITS = (403, 413, 429)
MAX_RETRY_AFTER = 3600.0  # seconds
HEADERS = {
    "Accept-Encoding": "identity",
    "Connection": "close",
    "User-Agent": f"rcnetd/{__version__}",
}
T = TypeVar("T")


def endpoint_for(region: str) -> str:
    """The base URL of the API for a region code in any case. Raises `ValueError`."""
    try:
        return ENDPOINTS[region.lower()]
    except KeyError:
        codes = " ".join(ENDPOINTS)
        raise ValueError(f"region {quoted(region)} is not one of {codes}") from None


class Client:
    """The API of one server, asked from that server.

    *endpoint* is `https://HOST[:PORT]` (`endpoint_for`), or `http://…` in a lab. *source* is the
    address to send from: it is how the API knows the server. *device* is the link to send by.
    *ca_file* has authorities (PEM) to trust besides the system's. *api_address* is connected to
    instead of what the resolver says, while TLS and Host keep the endpoint's name. *timeout* is in
    seconds for a whole request. *progress* is called with a word of `rcnetd.api.errors.PHASES` as
    each phase of a request begins.

    Every method raises an `ApiError`; `ValueError` is for a bad argument. After a request `peer`
    is the API's address if a connection came about, else None.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        source: IPv4Address | None = None,
        device: str | None = None,
        ca_file: Path | None = None,
        api_address: IPv4Address | None = None,
        timeout: float = 10.0,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self._connector = Connector(
            endpoint,
            source=source,
            device=device,
            ca_file=ca_file,
            api_address=api_address,
            timeout=timeout,
            progress=progress,
        )
        self._timeout = timeout

    @classmethod
    def over(cls, connector: Connector, timeout: float) -> Client:
        """A client whose first connection may be open already."""
        client = cls.__new__(cls)
        client._connector, client._timeout = connector, timeout
        return client

    @property
    def peer(self) -> IPv4Address | None:
        """The API's address if a connection came about in the last request."""
        return self._connector.peer

    def automation_status(self, format: str = "text") -> Status:
        """The automation status of this server."""
        return self._value(Operation.STATUS, format, Status)

    def automation_details(self, format: str = "json") -> Details:
        """The automation status with the tasks behind it."""
        return self._value(Operation.DETAILS, format, Details)

    def gateway_ip(self, format: str = "text") -> IPv4Address | None:
        """The gateway for this server's default route; None while it is not assigned (404)."""
        answer = self._ask(Operation.GATEWAY, format)
        return None if answer is None else _typed(answer.value, IPv4Address)

    def automation_features(self, format: str = "json") -> Features:
        """The automation features, and whether each is enabled, as far as the answer tells."""
        return self._value(Operation.FEATURES, format, Features)

    def raw(self, operation: Operation, format: str) -> bytes | None:
        """The body of an answer that makes sense for *operation*; None for `gateway_ip`'s 404."""
        answer = self._ask(operation, format)
        return None if answer is None else answer.body

    def _value(self, operation: Operation, format: str, expected: type[T]) -> T:
        answer = self._ask(operation, format)
        assert answer is not None, "only gateway_ip has an answer without a value"
        return _typed(answer.value, expected)

    def _ask(self, operation: Operation, format: str) -> _Answer | None:
        """One request; None for "If the gateway IP address has not yet been assigned"."""
        answers.check_format(operation, format)
        connector = self._connector
        bounds = connector.begin()
        pools = _TlsPool if connector.is_tls else _PlainPool
        pool = pools(connector.way.host, connector.way.port, opener=connector.take)
        url = f"{connector.base}/v1/{operation.value}?format={format}"
        try:
            request = requests.Request("GET", url, headers=HEADERS).prepare()
            # The adapter by itself: a session would add what the environment says, and reads the
            # body of a redirect, however large.
            with _Adapter(pool).send(request, stream=True, timeout=self._timeout) as response:
                if response.status_code == 404 and operation is Operation.GATEWAY:
                    return None
                _check_status(operation, response)
                bounds.enter("reading")
                body = _body(response)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise _protocol_error(error) from error
        finally:
            pool.close()
            connector.end()
        text = answers.decode(body, response.headers.get("Content-Type", ""))
        return _Answer(body, answers.parse(operation, format, text))


class _Answer(NamedTuple):
    body: bytes
    value: object


def _typed(value: object, expected: type[T]) -> T:
    assert isinstance(value, expected)
    return value


# HTTP, by requests and urllib3. The connection is opened by us, from name to TLS: the same with
# every urllib3, and no word of verification is left to options that differ between them.


class _PlainConnection(HTTPConnection):
    def __init__(self, *args: Any, opener: Callable[[], socket.socket], **options: Any) -> None:
        super().__init__(*args, **options)
        self._opener = opener

    def connect(self) -> None:
        self.sock = self._opener()


class _TlsConnection(HTTPSConnection):
    def __init__(self, *args: Any, opener: Callable[[], socket.socket], **options: Any) -> None:
        super().__init__(*args, **options)
        self._opener = opener

    def connect(self) -> None:
        self.sock = self._opener()
        self.is_verified = True


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    """Sends through the one pool it is given; neither proxies nor certifi have a say."""

    def __init__(self, pool: urllib3.HTTPConnectionPool) -> None:
        super().__init__()
        self._pool = pool

    def get_connection(self, *_: Any, **__: Any) -> Any:  # requests up to 2.31
        return self._pool

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> Any:
        return self._pool

    def cert_verify(self, *_: Any, **__: Any) -> None:
        pass  # done when the connection was opened


def _check_status(operation: Operation, response: requests.Response) -> None:
    """Nothing for 200. Raises an `HttpError` for anything else."""
    status = response.status_code
    if 300 <= status < 400:
        raise Redirected(status, response.headers.get("Location", ""))
    retry_after = _retry_after(response.headers.get("Retry-After", ""))
    if status in RATE_LIMITS:
        raise RateLimitError(status, retry_after)
    if status == 404:
        raise UnknownServer(operation.value)
    if status != 200:
        said = f" {quoted(response.reason)}" if response.reason else ""
        kind = "http-5xx" if 500 <= status < 600 else None
        text = f"the API answered {status}{said}"
        raise HttpError(status, text, kind=kind, retry_after=retry_after)


def _retry_after(text: str) -> float | None:
    """Seconds from a Retry-After, which is a number of seconds or a date (RFC 9110, 10.2.3)."""
    if re.fullmatch(r"[0-9]{1,12}", text.strip()):
        seconds = float(text)
    else:
        try:
            date = parsedate_to_datetime(text)
        except (TypeError, ValueError, IndexError, OverflowError):
            return None
        if date.tzinfo is None:
            date = date.replace(tzinfo=timezone.utc)
        seconds = (date - datetime.now(timezone.utc)).total_seconds()
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _body(response: requests.Response) -> bytes:
    """The whole body as it came. Raises `Oversize`, `InvalidAnswer` and `Disconnected`."""
    headers = response.headers
    encoding = headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise InvalidAnswer(f"the answer is encoded, unasked: {quoted(encoding)}")
    transfer, length = headers.get("Transfer-Encoding"), headers.get("Content-Length")
    if transfer is not None and (transfer.lower() != "chunked" or length is not None):
        raise InvalidAnswer("the answer has no clear length")
    if length is not None and not re.fullmatch(r"[0-9]{1,18}", length):
        raise InvalidAnswer(f"the answer's length is no number: {quoted(length)}")
    if length is not None and int(length) > MAX_BODY:
        raise Oversize(f"the answer is larger than {MAX_BODY // 1024} KiB")
    body = b""
    while len(body) <= MAX_BODY:
        try:
            piece = response.raw.read(MAX_BODY + 1 - len(body), decode_content=False)
        except ValueError as error:  # http.client's, of a chunk whose size is none
            raise InvalidAnswer(f"the answer is not HTTP: {quoted(str(error))}") from error
        if not piece:
            break
        body += piece
    if len(body) > MAX_BODY:
        raise Oversize(f"the answer is larger than {MAX_BODY // 1024} KiB")
    if length is not None and len(body) != int(length):
        raise Disconnected(CUT_SHORT)  # urllib3 before 2 does not look
    return body


def _protocol_error(error: Exception) -> ApiError:
    """What went wrong below requests, by the exception that it all began with."""
    causes: list[BaseException] = [error]
    while causes[-1].__context__ is not None:
        causes.append(causes[-1].__context__)
    for cause in reversed(causes):
        if isinstance(cause, http.client.RemoteDisconnected):
            return Disconnected(UNANSWERED)
        if isinstance(cause, http.client.IncompleteRead):
            return Disconnected(CUT_SHORT)
        if isinstance(cause, http.client.HTTPException):
            why = str(cause) or type(cause).__name__
            return InvalidAnswer(f"the answer is not HTTP: {quoted(why)}")
        if isinstance(cause, OSError) and cause.strerror:
            return Disconnected(f"the connection broke: {plain(cause.strerror, 80)}")
    return InvalidAnswer(f"the answer is not HTTP as it should be: {quoted(str(causes[-1]))}")
