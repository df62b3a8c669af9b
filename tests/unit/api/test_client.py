"""The client against real servers: each answer its value, each trouble its plain reason."""

from __future__ import annotations

import datetime
import gzip
import http.client as http_client
import socket
import time
import warnings
from collections.abc import Callable
from email.utils import format_datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnetd.api import client as api
from rcnetd.api.client import (
    ENDPOINTS,
    ApiError,
    Client,
    Features,
    HttpError,
    Operation,
    RateLimitError,
    Status,
    endpoint_for,
)
from rcnetd.api.connection import MAX_WIRE
from rcnetd.core.model import AutomationStatus
from tests.support.apiserver import Connection, Lab, Server, _lab, http, lab
from tests.support.waiting import until

__all__ = ["_lab", "lab"]

UTC = datetime.timezone.utc
LOOPBACK = IPv4Address("127.0.0.1")
GATEWAY = http(b"10.180.31.254", "Content-Type: text/plain; charset=utf-8")
DEPLOYED = Status(AutomationStatus.DEPLOYED, "DEPLOYED")


def client(lab: Lab, server: Server, *, timeout: float = 5.0, **options: Any) -> Client:
    """A client of the tiny server, which trusts its authority."""
    options.setdefault("ca_file", lab.ca_file)
    return Client(server.endpoint, timeout=timeout, **options)


def failure(asked: Client, ask: Callable[[Client], object] = Client.gateway_ip) -> ApiError:
    """The error that asking leads to."""
    with pytest.raises(ApiError) as caught:
        ask(asked)
    assert caught.value.reason.isprintable()
    return caught.value


# The page


def test_the_six_regions() -> None:
    """The endpoints are those of the page; a region's case does not matter."""
    assert "dfw hkg iad lon ord syd" == " ".join(ENDPOINTS)
    assert "https://ord.api.rackconnect.rackspace.com" == endpoint_for("OrD")
    with pytest.raises(ValueError, match="region 'fra' is not one of dfw hkg iad lon ord syd"):
        endpoint_for("fra")


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize(
    ("ask", "line", "body", "value"),
    [
        (Client.automation_status, "automation_status?format=text", b"DEPLOYED", DEPLOYED),
        (Client.gateway_ip, "gateway_ip?format=text", b"10.0.0.1\n", IPv4Address("10.0.0.1")),
        (
            Client.automation_details,
            "automation_status/details?format=json",
            b'{"automation_status": "DEPLOYED"}',
            api.Details(DEPLOYED),
        ),
        (
            Client.automation_features,
            "automation_features?format=json",
            b'{"ConfigureNetworkStack": true}',
            Features((("ConfigureNetworkStack", True),)),
        ),
        (
            lambda client: client.automation_status("xml"),
            "automation_status?format=xml",
            b"<automation_status>DEPLOYED</automation_status>",
            DEPLOYED,
        ),
        (
            lambda client: client.raw(Operation.GATEWAY, "json"),
            "gateway_ip?format=json",
            b'{"gateway_ip": "10.0.0.1"}\n',
            b'{"gateway_ip": "10.0.0.1"}\n',
        ),
    ],
)  # fmt: skip
def test_the_operations(
    lab: Lab, tls: bool, ask: Callable[[Client], object], line: str, body: bytes, value: object
) -> None:
    """Each asks its path with its format, and its answer becomes a value."""
    server = lab.server(http(body), tls=tls)
    asked = client(lab, server)

    assert value == ask(asked)
    assert server.requests[0].startswith(f"GET /v1/{line} HTTP/1.1\r\n")
    assert LOOPBACK == asked.peer


def test_what_is_sent(lab: Lab) -> None:
    """The endpoint's name as Host, no encodings, one request per connection, and who we are."""
    server = lab.server(GATEWAY)
    client(lab, server).gateway_ip()
    _, *lines = server.requests[0].strip().split("\r\n")

    assert {
        f"host: localhost:{server.port}",
        "accept-encoding: identity",
        "connection: close",
        "user-agent: rcnetd/0.1.0",
    } == {line.lower() for line in lines}


def test_a_format_that_the_operation_has_not(lab: Lab) -> None:
    """A mistake of the caller is a ValueError, and nothing is sent."""
    with pytest.raises(ValueError, match="'automation_features' has no format 'text', but json"):
        Client("https://localhost:1").automation_features("text")


@pytest.mark.parametrize(
    "endpoint",
    ["", "localhost", "ftp://localhost", "https://", "https://u:p@localhost", "https://a?b",
     "https://a#b", "https://a b", "https://[::1]:443", "https://a:99999", "https://é", "https://a..b"],
)  # fmt: skip
def test_a_bad_endpoint(endpoint: str) -> None:
    """What is not https://HOST[:PORT] is refused when it is given."""
    with pytest.raises(ValueError, match=r"."):
        Client(endpoint)


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("inf"), float("nan")])
def test_a_bad_timeout(timeout: float) -> None:
    """There is always a deadline."""
    with pytest.raises(ValueError, match="timeout"):
        Client("https://localhost", timeout=timeout)


def test_a_base_path(lab: Lab) -> None:
    """A lab may have its API below a path."""
    server = lab.server(GATEWAY)
    asked = Client(f"{server.endpoint}/lab/", ca_file=lab.ca_file)
    asked.gateway_ip()

    assert server.requests[0].startswith("GET /lab/v1/gateway_ip?format=text ")


# Where from, where to, whom to trust


def test_the_source_address(lab: Lab) -> None:
    """The API knows a server by its source address."""
    server = lab.server(GATEWAY)
    client(lab, server, source=IPv4Address("127.0.0.7"), device="lo").gateway_ip()

    assert ["127.0.0.7"] == server.peers


def test_the_api_address(lab: Lab) -> None:
    """Connected to that address; TLS and Host keep the endpoint's name, here one without DNS."""
    certificate = lab.authority.issue_cert("api.rackconnect.invalid")
    server = lab.server(GATEWAY, context=lab.context(certificate))
    asked = Client(
        f"https://api.rackconnect.invalid:{server.port}",
        ca_file=lab.ca_file,
        api_address=LOOPBACK,
    )

    assert IPv4Address("10.180.31.254") == asked.gateway_ip()
    assert f"Host: api.rackconnect.invalid:{server.port}\r\n" in server.requests[0]


def test_sni_has_the_name(lab: Lab) -> None:
    """A server with many names is told which one is meant."""
    names: list[object] = []
    context = lab.context()
    context.sni_callback = lambda _, name, __: names.append(name)
    client(lab, lab.server(GATEWAY, context=context), api_address=LOOPBACK).gateway_ip()

    assert ["localhost"] == names


@pytest.mark.parametrize("name", ["http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY"])
def test_no_proxy_from_the_environment(
    lab: Lab, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would have another source address."""
    monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert client(lab, lab.server(GATEWAY)).gateway_ip()


def test_no_trust_from_the_environment(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Certificate bundles in the environment do not make a server trusted."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(lab.ca_file))

    assert "certificate" == failure(client(lab, lab.server(GATEWAY), ca_file=None)).kind


def test_no_netrc(lab: Lab, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's password is sent."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server = lab.server(GATEWAY)
    client(lab, server).gateway_ip()

    assert "authorization" not in server.requests[0].lower()


def certificate(lab: Lab, name: str = "localhost", *, born: int = 0, dies: int = 1) -> Any:
    """A certificate that is valid from *born* to *dies* days from now."""
    now = datetime.datetime.now(UTC)
    day = datetime.timedelta(days=1)
    return lab.authority.issue_cert(name, not_before=now + born * day, not_after=now + dies * day)


@pytest.mark.parametrize(
    ("made", "kind", "reason"),
    [
        (
            {"born": -9, "dies": -1},
            "clock",
            "has expired, if this server's clock is right: it",
        ),
        ({"born": 1, "dies": 9}, "clock", "is not yet valid, if this server's clock is right: it"),
        ({"name": "other.test"}, "certificate", "the API's certificate is not for 'localhost'"),
    ],
)
def test_a_bad_certificate(lab: Lab, made: dict[str, Any], kind: str, reason: str) -> None:
    """The clock is named where it may be the clock, and says its date."""
    server = lab.server(GATEWAY, context=lab.context(certificate(lab, **made)))
    asked = client(lab, server)
    error = failure(asked)

    assert kind == error.kind
    assert reason in error.reason
    today = datetime.datetime.now(UTC).strftime("%Y-%m-%d")
    assert (today in error.reason) is (kind == "clock")
    assert LOOPBACK == asked.peer
    assert not server.requests


def test_an_untrusted_certificate(lab: Lab, tmp_path: Any) -> None:
    """Nobody we trust has signed it."""
    error = failure(client(lab, lab.server(GATEWAY), ca_file=None))

    assert "certificate" == error.kind
    assert error.reason.startswith("the API's certificate is not trusted: ")


def test_no_tls_at_all(lab: Lab) -> None:
    """A server that speaks HTTP where it should speak TLS."""

    def respond(connection: Connection) -> None:
        connection.sock.recv(1)
        connection.sock.sendall(GATEWAY)
        connection.hang()

    error = failure(client(lab, lab.server(respond)))

    assert "tls" == error.kind
    assert error.reason.startswith("the TLS handshake failed: ")


def test_no_authorities(lab: Lab) -> None:
    """A `ca_file` that cannot be read is a failure of its own."""
    error = failure(client(lab, lab.server(GATEWAY), ca_file=lab.ca_file / "none"))

    assert "ca-file" == error.kind


# Other answers


def test_not_assigned(lab: Lab) -> None:
    """404 on `gateway_ip` is a value."""
    server = lab.server(http(b"<html>", status="404 Not Found"))

    assert client(lab, server).gateway_ip() is None
    assert client(lab, server).raw(Operation.GATEWAY, "text") is None


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        ("404 Not Found", "http-404",
         "the API does not know this server (404 for '/v1/automation_status')"),
        ("403 Forbidden", "rate-limit", "too many requests (the API answered 403)"),
        ("500 Internal Server Error", "http-5xx", "the API answered 500 'Internal Server Error'"),
        ("503", "http-5xx", "the API answered 503"),
        ("401 \x1b[31mNo", "http-401", "the API answered 401 '[31mNo'"),
        ("204 No Content", "http-204", "the API answered 204 'No Content'"),
        ("206 Partial Content", "http-206", "the API answered 206 'Partial Content'"),
        ("304 Not Modified", "redirect", "the API answered 304, a redirect, which is not followed"),
    ],
)  # fmt: skip
def test_other_codes(lab: Lab, status: str, kind: str, reason: str) -> None:
    """Only 200 is an answer."""
    error = failure(
        client(lab, lab.server(http(b"DEPLOYED", status=status))), Client.automation_status
    )

    assert (kind, reason) == (error.kind, error.reason)


def test_a_redirect_is_not_followed(lab: Lab) -> None:
    """Not even to a place that would answer."""
    other = lab.server(GATEWAY)
    location = f"Location: {other.endpoint}/v1/gateway_ip"
    error = failure(client(lab, lab.server(http(b"", location, status="302 Found"))))

    assert "redirect" == error.kind
    shown = f"{other.endpoint}/v1/gateway_ip"
    assert f"the API answered 302, a redirect to '{shown}', which is not followed" == error.reason
    assert not other.requests


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("30", 30.0),
        ("0", 0.0),
        ("99999999", 3600.0),
        ("-5", None),
        ("soon", None),
        ("1e3", None),
    ],
)
def test_a_rate_limit(lab: Lab, header: str | None, seconds: float | None) -> None:
    """403, with the time to wait where the API says one; bounded."""
    headers = [] if header is None else [f"Retry-After: {header}"]
    error = failure(client(lab, lab.server(http(b"", *headers, status="403 Forbidden"))))

    assert isinstance(error, RateLimitError)
    assert seconds == error.retry_after


@pytest.mark.parametrize(
    ("ahead", "least", "most"), [(50, 45, 51), (-50, 0, 0), (9999, 3600, 3600)]
)
def test_a_rate_limit_with_a_date(lab: Lab, ahead: int, least: float, most: float) -> None:
    """Retry-After may be a date."""
    date = datetime.datetime.now(UTC) + datetime.timedelta(seconds=ahead)
    header = f"Retry-After: {format_datetime(date, usegmt=True)}"
    error = failure(client(lab, lab.server(http(b"", header, status="403 Forbidden"))))

    assert isinstance(error, RateLimitError)
    assert error.retry_after is not None
    assert least <= error.retry_after <= most


@given(st.text(max_size=60) | st.from_regex(r"\A\w{3}, [0-9]{1,9} \w{3} [0-9]{1,9} [0-9:]{1,9}"))
def test_any_retry_after(text: str) -> None:
    """Seconds within bounds or nothing, whatever it says."""
    seconds = api._retry_after(text)

    assert seconds is None or 0 <= seconds <= 3600


# Bodies on the wire

CHUNKED = "Transfer-Encoding: chunked"
LARGE = b"A" * (64 * 1024 + 1)


def chunks(body: bytes, size: int) -> bytes:
    """*body* in chunks of *size* bytes."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        http(chunks(b"10.180.31.254", 2), CHUNKED),
        b"HTTP/1.1 200 OK\r\n\r\n10.180.31.254",
        b"HTTP/1.0 200\r\n\r\n10.180.31.254",
        b"HTTP/1.1 100 Continue\r\n\r\n" + GATEWAY,
        http(b"10.180.31.254", "Content-Encoding: identity"),
        http(b"10.180.31.254" + b" " * (64 * 1024 - 13)),
        GATEWAY + b"garbage behind",
    ],
)
def test_ways_to_send_a_body(lab: Lab, answer: bytes) -> None:
    """Chunked, by its length up to 64 KiB, or ended properly by the end of the connection."""
    assert IPv4Address("10.180.31.254") == client(lab, lab.server(answer)).gateway_ip()


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (http(LARGE), "oversize", "the answer is larger than 64 KiB"),
        (http(b"", "Content-Length: 999999999999"), "oversize", "larger than 64 KiB"),
        (http(chunks(LARGE, 9999), CHUNKED), "oversize", "larger than 64 KiB"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + LARGE, "oversize", "larger than 64 KiB"),
        (http(chunks(LARGE[:-2], 1), CHUNKED), "oversize", f"than {MAX_WIRE // 1024} KiB"),
        (http(b"", *[f"X: {'x' * 60_000}"] * 9), "oversize", f"than {MAX_WIRE // 1024} KiB"),
        (http(gzip.compress(b"10.0.0.1"), "Content-Encoding: gzip"), "invalid", "encoded, unasked"),
        (http(b"10.0.0.1", "Content-Length: 99"), "disconnected", "the answer was cut short"),
        (http(b"8\r\n10.0.0.1\r\n", CHUNKED), "disconnected", "the answer was cut short"),
        (http(b"1f\r\n10.0.0.1\r\n", CHUNKED), "disconnected", "the answer was cut short"),
        (http(b"10.0.0.1", "Content-Length: -1"), "invalid", "the answer's length is no number"),
        (http(b"10.0.0.1", "Content-Length: 8, 9"), "invalid", ""),
        (http(b"10.0.0.1", "Content-Length: 8", "Content-Length: 9"), "invalid", ""),
        (http(b"10.0.0.1", CHUNKED, "Content-Length: 8"), "invalid", "no clear length"),
        (http(b"10.0.0.1", "Transfer-Encoding: gzip"), "invalid", "no clear length"),
        (http(b"xyz\r\n10.0.0.1\r\n", CHUNKED), "disconnected", "the answer was cut short"),
        (http(b""), "invalid", "the answer is empty"),
        (http(b"<html><body>Sorry"), "invalid", "an HTML page: '<html><body>Sorry'"),
        (http(b"10.0.0.1 10.0.0.2"), "invalid", "not one IPv4 address: '10.0.0.1 10.0.0.2'"),
        (http(b"2001:db8::1"), "invalid", "not one IPv4 address: '2001:db8::1'"),
        (http(b"\xff\xfe1\x000\x00"), "invalid", "the answer is not text"),
        (http(b"x", "Content-Type: text/plain; charset=koi8-r"), "invalid", "charset is 'koi8-r'"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "invalid", "the answer is not HTTP: 'SSH-2.0-OpenSSH_9.2'"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "invalid", "the answer is not HTTP: "),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 101 + b"\r\n", "invalid", "not HTTP: 'got more"),
        (b"HTTP/1.1 200 " + b"A" * 70_000, "invalid", "not HTTP: 'got more than 65536"),
        (b"", "disconnected", "the API closed the connection without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Len", "invalid", ""),
    ],
    ids=range(28),
)
def test_broken_answers(lab: Lab, answer: bytes, tls: bool, kind: str, reason: str) -> None:
    """Too large, cut short, ambiguous, encoded, not what was asked for: never a value."""
    error = failure(client(lab, lab.server(answer, tls=tls)))

    assert (kind, True) == (error.kind, reason in error.reason), error.reason


def test_what_the_library_cannot_read_is_no_traceback(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """http.client has errors of its own for its peer's mistakes, and of Python's for the rest."""

    def read(*_: object) -> bytes:
        raise ValueError("read length must be non-negative or -1")

    monkeypatch.setattr(http_client.HTTPResponse, "read", read)
    error = failure(client(lab, lab.server(http(b"8\r\n10.0.0.1\r\n0\r\n\r\n", CHUNKED))))

    assert error.kind == "invalid"
    assert error.reason == "the answer is not HTTP: 'read length must be non-negative or -1'"


def test_a_cut_in_tls_is_no_end(lab: Lab) -> None:
    """A body that ends with the connection has to end by TLS: 10.180.31.25 is no answer."""

    def respond(connection: Connection) -> None:
        connection.secure()
        connection.request()
        connection.sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n10.180.31.25")
        connection.sock.shutdown(socket.SHUT_RDWR)

    error = failure(client(lab, lab.server(respond)))

    assert "disconnected" == error.kind
    assert "the answer was cut short" == error.reason


@pytest.mark.parametrize("when", ["handshake", "head", "body"])
def test_a_reset(lab: Lab, when: str) -> None:
    """The connection breaks: during TLS, before the answer, within it."""

    def respond(connection: Connection) -> None:
        if when == "handshake":
            connection.sock.recv(1)
        else:
            connection.secure()
            connection.request()
        if when == "body":
            connection.sock.sendall(GATEWAY[:-5])
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    error = failure(client(lab, lab.server(respond)))

    assert "disconnected" == error.kind


# Time


def dripping(where: str) -> Callable[[Connection], None]:
    """A server that sends a byte now and then: head, body, or no end of interim answers."""

    def respond(connection: Connection) -> None:
        connection.secure()
        connection.request()
        if where == "continue":
            connection.drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000, every=0.0001)
        elif where == "body":
            connection.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
        connection.drip((b"" if where == "body" else b"HTTP/1.1 200 OK\r\nX: ") + b"x" * 10_000)

    return respond


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize(
    ("where", "phase"),
    [
        ("head", "the answer to begin"),
        ("body", "the rest of the answer"),
        ("continue", "the answer to begin"),
    ],
)
def test_a_drip_does_not_buy_time(lab: Lab, tls: bool, where: str, phase: str) -> None:
    """The time-out is for the whole request, however alive the server seems."""
    server = lab.server(dripping(where), tls=tls)
    started = time.monotonic()
    error = failure(client(lab, server, timeout=1.0))

    assert ("timeout", f"no answer within 1 s, still waiting for {phase}") == (
        error.kind,
        error.reason,
    )
    assert time.monotonic() - started < 2.0


@pytest.mark.parametrize(
    ("respond", "phase"),
    [
        (Connection.hang, "the TLS handshake"),
        (lambda connection: (connection.secure(), connection.hang()), "the answer to begin"),
    ],
)
def test_silence(lab: Lab, respond: Callable[[Connection], None], phase: str) -> None:
    """A server that accepts and says nothing more: the reason tells how far it went."""
    error = failure(client(lab, lab.server(respond), timeout=1.0))

    assert f"no answer within 1 s, still waiting for {phase}" == error.reason


def test_progress(lab: Lab) -> None:
    """Who asked for it is told each phase."""
    phases: list[str] = []
    client(lab, lab.server(GATEWAY), progress=phases.append).gateway_ip()

    assert ["resolving", "connecting", "securing", "asking", "reading"] == phases


def test_the_peer_is_of_the_last_request(lab: Lab) -> None:
    """Nothing is left from an earlier request."""
    server = lab.server(GATEWAY)
    asked = client(lab, server)
    asked.gateway_ip()
    server.close()

    assert "connect" == failure(asked).kind
    assert asked.peer is None


def test_nothing_is_left_open(lab: Lab) -> None:
    """Sockets are closed whatever came."""
    servers = [
        lab.server(GATEWAY),
        lab.server(http(LARGE)),
        lab.server(http(b"", status="302 Found")),
        lab.server(b"x"),
        lab.server(http(b"1", "Content-Length: 9")),
        lab.server(GATEWAY, context=lab.context(certificate(lab, "other.test"))),
    ]
    clients = [client(lab, server) for server in servers]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = len(list_descriptors())
        for asked in clients * 3:
            try:
                asked.gateway_ip()
            except ApiError:
                continue

    # The servers are threads of this process: they close their ends a moment later.
    until(lambda: before == len(list_descriptors()))


def list_descriptors() -> list[str]:
    """What the client's end of the connections looks like in this process."""
    found = []
    for path in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(path.readlink()))
        except FileNotFoundError:
            continue
    return found


@pytest.mark.parametrize("status", ["413 Over Limit", "429 Too Many Requests"])
def test_a_rate_limit_by_its_other_names(lab: Lab, status: str) -> None:
    """Rackspace's other APIs say 413, RFC 6585 says 429."""
    error = failure(client(lab, lab.server(http(b"", "Retry-After: 40", status=status))))

    assert isinstance(error, RateLimitError)
    assert (error.kind, error.retry_after) == ("rate-limit", 40.0)


def test_any_answer_may_say_when_to_come_again(lab: Lab) -> None:
    """A 503's Retry-After counts, too (RFC 9110, 10.2.3)."""
    busy = http(b"", "Retry-After: 7", status="503 Service Unavailable")
    error = failure(client(lab, lab.server(busy)))

    assert isinstance(error, HttpError)
    assert (error.kind, error.retry_after) == ("http-5xx", 7.0)
