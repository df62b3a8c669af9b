"""The way to the API: name, connection and TLS, all within one deadline.

The rule: no step waits longer than what is left of the whole request, and no byte is read beyond
its limit. A socket with a time-out of its own would start anew with each byte of a slow drip; here
every read gets the time that is left.
"""

from __future__ import annotations

import math
import os
import re
import socket
import ssl
import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import lru_cache
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rcnetd.api.errors import (
    CUT_SHORT,
    UNANSWERED,
    ApiError,
    CertificateError,
    ClockError,
    ConnectError,
    Disconnected,
    DnsError,
    Oversize,
    TimedOut,
    TlsError,
    TrustError,
)
from rcnetd.basic.dataclass import dataclass
from rcnetd.basic.text import plain, quoted

REUSE_ADDRESS_FOR = 60.0  # seconds
MAX_WIRE = 256 * 1024  # bytes of a whole answer: head, chunk sizes and body
HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE)
PORTS = {"http": 80, "https": 443}
# X509_V_ERR_*, openssl/x509_vfy.h
NOT_YET_VALID, EXPIRED = 9, 10
OP_IGNORE_UNEXPECTED_EOF = 0x80  # openssl/ssl.h; a name in Python 3.10
HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH = 62, 64


# The address of a host that has just worked, and until when it is used without another look-up.
_worked: dict[str, tuple[IPv4Address, float]] = {}


class Bounds:
    """What one request may take, and what it is waiting for just now.

    *timeout* is in seconds from now; *progress* is told each phase (a word of `PHASES`) as it
    begins.
    """

    def __init__(self, timeout: float, progress: Callable[[str], None] | None = None) -> None:
        self.timeout = timeout
        self.deadline = time.monotonic() + timeout
        self.bytes_left = MAX_WIRE
        self.phase = "resolving"
        self._progress = progress

    def enter(self, phase: str) -> None:
        """Begin a phase. Raises `TimedOut` if there is no time left for it."""
        self.time_left()
        self.phase = phase
        if self._progress is not None:
            self._progress(phase)

    def resolved(self, seconds: float) -> None:
        """Looking up the name took so long, which is not the request's time.

        The system's resolver has time-outs of its own (resolv.conf(5): 5 to 30 s, for each name
        server): cut off at the request's, an answer of the second server would never be used.
        """
        self.deadline += seconds

    def time_left(self) -> float:
        """Seconds left, more than 0. Raises `TimedOut`."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimedOut(self.timeout, self.phase)
        return left

    def receive(self, sock: socket.socket, read: Callable[[], int]) -> int:
        """One read from *sock* by *read*, in the time and of the bytes that are left."""
        try:
            sock.settimeout(self.time_left())
            count = read()
        except OSError as error:
            raise self._read_error(error) from error
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise Oversize(f"the answer is larger than {MAX_WIRE // 1024} KiB")
        return count

    def _read_error(self, error: OSError) -> ApiError:
        if _is_timeout(error):
            return TimedOut(self.timeout, self.phase)
        if _is_ragged_eof(error):
            return Disconnected(CUT_SHORT if self.phase == "reading" else UNANSWERED)
        return Disconnected(f"the connection broke: {_why(error)}")


class PlainSocket(socket.socket):
    """A TCP socket that reads within the bounds of the request."""

    bounds: Bounds

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As `socket.recv_into`. Raises `TimedOut`, `Disconnected` and `Oversize`."""
        read = super().recv_into
        return self.bounds.receive(self, lambda: read(buffer, nbytes, flags))


class TlsSocket(ssl.SSLSocket):
    """A TLS socket that reads within the bounds of the request."""

    bounds: Bounds

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """As `SSLSocket.recv_into`. Raises `TimedOut`, `Disconnected` and `Oversize`."""
        read = super().recv_into
        return self.bounds.receive(self, lambda: read(buffer, nbytes, flags))


@dataclass(frozen=True)
class Way:
    """How to get to the API.

    *source* is the address to send from and *device* the link to send by, where given; *address*
    is used instead of asking the resolver for *host*.
    """

    host: str
    port: int
    source: IPv4Address | None = None
    device: str | None = None
    address: IPv4Address | None = None

    def connect(self, bounds: Bounds) -> tuple[PlainSocket, IPv4Address]:
        """A connected socket, and to which address.

        Raises `DnsError`, `ConnectError` and `TimedOut`. A name with several addresses: they are
        tried in turn, each for its share of the time left.
        """
        addresses = [self.address] if self.address else self._resolve(bounds)
        bounds.enter("connecting")
        for left in range(len(addresses), 0, -1):
            address = addresses[-left]
            try:
                sock = self._connect_to(address, bounds, share=bounds.time_left() / left)
                _worked[self.host] = (address, time.monotonic() + REUSE_ADDRESS_FOR)
                return sock, address
            except OSError as error:
                _worked.pop(self.host, None)
                if left > 1:
                    continue
                if _is_timeout(error):
                    raise TimedOut(bounds.timeout, bounds.phase) from error
                text = f"cannot connect to {address} port {self.port}: {_why(error)}"
                raise ConnectError(text) from error
        raise AssertionError("a name without addresses is a DnsError")

    def _resolve(self, bounds: Bounds) -> list[IPv4Address]:
        """The IPv4 addresses of the host. The system's resolver knows no deadline."""
        bounds.enter("resolving")
        worked = _worked.get(self.host)
        if worked is not None and time.monotonic() < worked[1]:
            return [worked[0]]
        began = time.monotonic()
        try:
            found = socket.getaddrinfo(
                self.host.encode("ascii"), self.port, socket.AF_INET, socket.SOCK_STREAM
            )
        except socket.gaierror as error:
            raise DnsError(f"cannot resolve {quoted(self.host)}: {_why(error)}") from error
        finally:
            bounds.resolved(time.monotonic() - began)
        return list(dict.fromkeys(IPv4Address(entry[4][0]) for entry in found))

    def _connect_to(self, address: IPv4Address, bounds: Bounds, share: float) -> PlainSocket:
        sock = PlainSocket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            self._bind(sock)
            sock.settimeout(share)
            sock.connect((str(address), self.port))
        except BaseException:
            sock.close()
            raise
        sock.bounds = bounds
        return sock

    def _bind(self, sock: socket.socket) -> None:
        if self.device is not None:
            name = os.fsencode(self.device) + b"\0"
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)
            except PermissionError:
                pass  # before Linux 5.7 it needs CAP_NET_RAW; the source address has to do
            except OSError as error:
                text = f"cannot send by link {quoted(self.device)}: {_why(error)}"
                raise ConnectError(text, kind="device") from error
        if self.source is not None:
            try:
                sock.bind((str(self.source), 0))
            except OSError as error:
                text = f"cannot send from address {self.source}: {_why(error)}"
                raise ConnectError(text, kind="source") from error


class Connector:
    """The connection of one request after the other to an endpoint, from name to TLS.

    The arguments are those of `Client`. A connection may be opened ahead, before there is
    anything that could send a request by it: `take` has it then. *peer* is the API's address once
    a connection has come about.
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
        parts = urlsplit(endpoint)
        bare = parts.username is None and not parts.query and not parts.fragment
        if parts.scheme not in PORTS or not HOST.fullmatch(parts.hostname or "") or not bare:
            raise ValueError(f"endpoint {quoted(endpoint)} is not like https://HOST[:PORT]")
        if not 0 < timeout < math.inf:
            raise ValueError(f"timeout {timeout} is not a positive number of seconds")
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
        self.base = endpoint.rstrip("/")
        self.is_tls = parts.scheme == "https"
        self.way = Way(host.rstrip("."), port, source, device, api_address)
        self.peer: IPv4Address | None = None
        self._ca_file = ca_file
        self._context: ssl.SSLContext | None = None
        self._timeout = timeout
        self._progress = progress
        self._bounds: Bounds | None = None
        self._ahead: socket.socket | None = None
        self._opened: list[socket.socket] = []

    def begin(self) -> Bounds:
        """What the request may take, from now; from `open_ahead` if that was called."""
        if self._bounds is None:
            self.peer = None
            self._bounds = Bounds(self._timeout, self._progress)
        return self._bounds

    def open_ahead(self) -> None:
        """Begin a request with its connection. Raises an `ApiError`."""
        self._ahead = self.take()

    def take(self) -> socket.socket:
        """The open connection; `end` closes it. Raises an `ApiError`."""
        ahead, self._ahead = self._ahead, None
        return ahead or self._open(self.begin())

    def end(self) -> None:
        """The request is over."""
        self._bounds = self._ahead = None
        while self._opened:
            _close_for_good(self._opened.pop())

    def _open(self, bounds: Bounds) -> socket.socket:
        sock: socket.socket
        sock, self.peer = self.way.connect(bounds)
        self._opened.append(sock)
        if self.is_tls:
            # Not before there is a connection: it takes 20 ms once.
            self._context = self._context or trust(self._ca_file)
            sock = secure(sock, self._context, self.way.host, bounds)
            self._opened.append(sock)
        bounds.enter("asking")
        return sock


def _close_for_good(sock: socket.socket) -> None:
    """Close *sock*, even if a response that nobody will read still refers to it."""
    descriptor = sock.detach()
    if descriptor != -1:
        os.close(descriptor)


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """What to trust: the system's authorities and, in addition, those in *ca_file* (PEM).

    OpenSSL's own places, whatever SSL_CERT_FILE and its like in the environment say. Reading them
    takes 20 ms, so they are read again only when a file has changed. Raises `TrustError`.
    """
    system = ssl.get_default_verify_paths()
    bundle = Path(system.openssl_cafile)
    return _trust(ca_file, bundle, system.openssl_capath, _stamp(ca_file), _stamp(bundle))


def _stamp(path: Path | None) -> tuple[int, ...]:
    """What changes when a file does; () where there is none."""
    try:
        status = path.stat() if path is not None else None
    except OSError:
        status = None
    return (status.st_mtime_ns, status.st_size, status.st_ino) if status is not None else ()


@lru_cache(maxsize=1)
def _trust(ca_file: Path | None, bundle: Path, capath: str, *stamps: object) -> ssl.SSLContext:
    cafile = bundle if stamps[1] else None
    try:
        context = ssl.create_default_context(cafile=cafile, capath=capath)
    except OSError as error:
        text = f"cannot read the system's certificate authorities '{bundle}': {_why(error)}"
        raise TrustError(text) from error
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:  # also ssl.SSLError: not a PEM file
            raise TrustError(f"cannot read ca_file '{ca_file}': {_why(error)}") from error
    context.sslsocket_class = TlsSocket
    # Python has OpenSSL 3 take a connection that just ends for one that TLS has ended.
    context.options &= ~ssl.Options(OP_IGNORE_UNEXPECTED_EOF)
    return context


def secure(sock: socket.socket, context: ssl.SSLContext, host: str, bounds: Bounds) -> TlsSocket:
    """TLS over *sock*, verified for *host*; *sock* is used up, also by an error.

    Raises `TlsError`, `CertificateError`, `ClockError`, `Disconnected` and `TimedOut`.
    """
    bounds.enter("securing")
    wrapped: ssl.SSLSocket | None = None
    try:
        sock.settimeout(bounds.time_left())
        wrapped = context.wrap_socket(
            sock,
            server_hostname=host,
            do_handshake_on_connect=False,
            # An answer without a length ends with the connection: a cut must not look like an end.
            suppress_ragged_eofs=False,
        )
        wrapped.do_handshake()
    except BaseException as error:
        (wrapped or sock).close()
        if isinstance(error, OSError):
            raise _handshake_error(error, host, bounds) from error
        raise
    assert isinstance(wrapped, TlsSocket)
    wrapped.bounds = bounds
    return wrapped


def _handshake_error(error: OSError, host: str, bounds: Bounds) -> ApiError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate_error(error, host)
    if _is_timeout(error):
        return TimedOut(bounds.timeout, bounds.phase)
    if _is_ragged_eof(error):
        return Disconnected("the API closed the connection during the TLS handshake")
    if isinstance(error, ssl.SSLError):
        return TlsError(f"the TLS handshake failed: {_why(error)}")
    return Disconnected(f"the connection broke during the TLS handshake: {_why(error)}")


def _certificate_error(error: ssl.SSLCertVerificationError, host: str) -> CertificateError:
    if error.verify_code in (NOT_YET_VALID, EXPIRED):
        state = "has expired" if error.verify_code == EXPIRED else "is not yet valid"
        today = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M")
        return ClockError(
            f"the API's certificate {state}, if this server's clock is right: it says {today} UTC"
        )
    if error.verify_code in (HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH):
        return CertificateError(f"the API's certificate is not for {quoted(host)}")
    why = plain(error.verify_message, 80)
    return CertificateError(f"the API's certificate is not trusted: {why}")


def _is_timeout(error: OSError) -> bool:
    """Our own time-out, not ETIMEDOUT: since Python 3.10 both are TimeoutError."""
    return isinstance(error, socket.timeout) and error.errno is None


def _is_ragged_eof(error: OSError) -> bool:
    """The connection ended without TLS saying so: the rest may have been cut off."""
    if isinstance(error, ssl.SSLEOFError):
        return True
    return isinstance(error, ssl.SSLError) and error.reason == "UNEXPECTED_EOF_WHILE_READING"


def _why(error: OSError) -> str:
    """The system's own words, without numbers and source lines."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return plain(error.reason.replace("_", " ").lower(), 80)
    return plain(error.strerror or str(error), 80)
