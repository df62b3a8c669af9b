"""The emulator's shell: sockets, TLS, HTTP, and the faults that need their bytes.

One task per connection, one dictionary look-up per request. A connection's fate (its certificate,
a refusal) is decided by its source address before the first byte.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address
from typing import Any

import h11

from rcnetd.emulator import responses as answers
from rcnetd.emulator.certificates import Certificates
from rcnetd.emulator.faults import CONNECTION, Fault
from rcnetd.emulator.ratelimit import RateLimit
from rcnetd.emulator.responses import Answer
from rcnetd.emulator.scenario import REGIONS, Scenario, Server, State

MAX_IDLE = 30.0  # seconds a connection may wait for its next request
MAX_HANDSHAKE = 10.0  # seconds
MAX_CONNECTIONS = 4096
ACCEPTED_AT_ONCE = 64  # before others get a turn
ACCEPT_RETRY_DELAY = 0.05  # seconds
REQUESTS_KEPT = 100_000  # of the log
DRIP_INTERVAL = 0.2  # seconds
HANG_FOR = 3600.0  # seconds
FORGET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset


@dataclass(frozen=True)
class Request:
    """One request as it was answered. *at* is in seconds since the emulator's start."""

    at: float
    source: str
    host: str
    method: str
    target: str
    status: int | None  # None: no answer was sent
    count: int  # in the present minute, this one included
    fault: str | None = None


class Emulator:
    """Serves a timeline on *listen*, addresses with ports (0: any free one).

    *phase* moves the rate limit's minute by so many seconds; *on_request* is told of every
    request; *context* is a TLS context of your own, *tls* False serves plain HTTP.
    """

    def __init__(
        self,
        timeline: Scenario,
        listen: Sequence[tuple[str, int]],
        *,
        tls: bool = True,
        context: ssl.SSLContext | None = None,
        phase: float = 0.0,
        fault: Fault | None = None,
        on_request: Callable[[Request], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._servers = {
            None if server.address is None else str(server.address): server
            for server in timeline.servers
        }
        self._limit = RateLimit(timeline.limit, phase)
        self._listen = list(listen)
        self._certificates = Certificates([host for host, _ in listen]) if tls else None
        if self._certificates is not None and context is not None:
            self._certificates.use(context)
        self._clock = clock
        self._began = clock()
        self._started: dict[IPv4Address | None, float] = {}  # by server, when its time 0 was
        self._fault = fault
        self._on_request = on_request
        self._sockets: list[socket.socket] = []
        self._connections: dict[asyncio.Task[None], socket.socket] = {}
        self._refusing: asyncio.Task[None] | None = None
        self.requests: deque[Request] = deque(maxlen=REQUESTS_KEPT)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens, ports resolved."""
        return list(self._listen)

    @property
    def ca_pem(self) -> bytes:
        """The authority that clients have to trust; b"" without TLS."""
        return self._certificates.authority.pem if self._certificates else b""

    async def start(self) -> None:
        """Listen. Raises `OSError`."""
        self._began = self._clock()
        if self._certificates is not None:
            self._certificates.context(None)
        try:
            self._open()
        except OSError:
            self._close()
            raise
        self._listen = [entry.getsockname()[:2] for entry in self._sockets]
        self._refuse_or_not()
        steps = (step for server in self._servers.values() for step in server.steps)
        if any(state.fault is not None and state.fault.name == "refuse" for _, state in steps):
            self._refusing = asyncio.ensure_future(self._refuse_when_told())

    async def stop(self) -> None:
        """Close everything."""
        self._close()
        if self._refusing is not None:
            self._refusing.cancel()
        for _ in range(3):  # what was accepted just now has its transport then, which can be closed
            await asyncio.sleep(0)
        tasks = [task for task in (self._refusing, *self._connections) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(2):  # what was closed is let go in the loop's next turns
            await asyncio.sleep(0)

    def set_fault(self, fault: Fault | None) -> None:
        """Have this fault for all servers, over what the timeline says; None ends it."""
        self._fault = fault
        self._refuse_or_not()

    # Listening

    def _open(self) -> None:
        for host, port in self._listen:
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self._sockets.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setblocking(False)
            listener.bind((host, port))
            listener.listen(1024)
            asyncio.get_event_loop().add_reader(listener, self._accept, listener)

    def _close(self) -> None:
        for listener in self._sockets:
            asyncio.get_event_loop().remove_reader(listener)
            listener.close()
        self._sockets = []

    async def _refuse_when_told(self) -> None:
        """Close the listeners while every server refuses: then the kernel itself refuses."""
        while True:
            self._refuse_or_not()
            await asyncio.sleep(0.05)

    def _refuse_or_not(self) -> None:
        now = self._clock()
        # Up to the first that does not: there may be 10,000.
        faults = (self._state(server, now).fault for server in self._servers.values())
        refuses = all(fault is not None and fault.name == "refuse" for fault in faults)
        if refuses and self._sockets:
            self._close()
        elif not refuses and not self._sockets:
            self._open()

    def _accept(self, listener: socket.socket) -> None:
        """Take what waits. No task of its own: one that is cancelled with a connection just
        accepted would lose it."""
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, (source, _port) = listener.accept()
            except BlockingIOError:
                return
            except OSError:
                self._pause(listener)  # no descriptors left: some will be
                return
            if len(self._connections) >= MAX_CONNECTIONS:
                connection.close()
                continue
            task = asyncio.ensure_future(self._connection(connection, source))
            self._connections[task] = connection
            task.add_done_callback(self._done)

    def _pause(self, listener: socket.socket) -> None:
        loop = asyncio.get_event_loop()
        loop.remove_reader(listener)
        loop.call_later(ACCEPT_RETRY_DELAY, self._resume, listener)

    def _resume(self, listener: socket.socket) -> None:
        if listener in self._sockets:
            asyncio.get_event_loop().add_reader(listener, self._accept, listener)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._connections.pop(task).close()

    # One connection

    async def _connection(self, connection: socket.socket, source: str) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        fault = self._fault_of(source)
        name = fault.name if fault is not None and fault.name in CONNECTION else None
        loop = asyncio.get_event_loop()
        try:
            if name == "refuse":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, FORGET)
                return
            if name == "tls-garbage":
                await loop.sock_sendall(connection, b"This is not TLS.\r\n")
                return
            await self._serve(connection, source, name)
        except (OSError, ssl.SSLError, asyncio.TimeoutError, h11.RemoteProtocolError):
            pass  # the client's affair: it went away, or did not trust us

    async def _serve(self, connection: socket.socket, source: str, fault: str | None) -> None:
        loop = asyncio.get_event_loop()
        assert isinstance(loop, asyncio.BaseEventLoop)
        reader = asyncio.StreamReader(limit=65536)
        protocol = _Abortable(reader)
        context = self._certificates.context(fault) if self._certificates else None
        options: dict[str, Any] = {}
        if context is not None:
            options = {"ssl": context, "ssl_handshake_timeout": MAX_HANDSHAKE}
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, sock=connection, **options
            )
            writer = asyncio.StreamWriter(transport, protocol, reader, loop)
            await self._conversation(_Http(reader, writer), source)
        finally:
            protocol.abort()

    async def _conversation(self, http: _Http, source: str) -> None:
        while True:
            request = await http.request()
            if request is None:
                return
            method, target, host = request
            if not await self._respond(http, source, method, target, host):
                return

    async def _respond(self, http: _Http, source: str, method: str, target: str, host: str) -> bool:
        """Answer one request; False when the connection is over."""
        server = self._server(source)
        now = self._clock()
        count = self._limit.count(source, now - self._began)
        state = self._state(server, now) if server is not None else State()
        fault = state.fault
        if fault is not None and not fault.strikes(answers.operation_of(target)):
            fault = None
        if server is None or not _serves(server, host):
            answer = answers.unknown_server()
        elif self._limit.is_exceeded(count):
            answer = answers.forbidden()
        else:
            answer = answers.answer(server, state, method, target)
        name = fault.name if fault is not None else None
        if fault is not None and server is not None and not self._limit.is_exceeded(count):
            answer = _with_fault(answer, fault)
        silent = name in ("hang", "garbage")
        entry = Request(
            now - self._began, source, host, method, target, None if silent else answer.status,
            count, name,
        )  # fmt: skip
        self.requests.append(entry)
        if self._on_request is not None:
            self._on_request(entry)
        return await http.answer(answer, name, head=method == "HEAD")

    # Who asks, and how it is with them

    def _server(self, source: str) -> Server | None:
        return self._servers.get(source) or self._servers.get(None)

    def _state(self, server: Server, now: float) -> State:
        at_boot = server.start == "boot"
        begin = self._began if at_boot else self._started.get(server.address, now)
        state = server.state(now - begin)
        return State(state.status, state.gateway, self._fault or state.fault)

    def _fault_of(self, source: str) -> Fault | None:
        server = self._server(source)
        if server is None:
            return None
        now = self._clock()
        self._started.setdefault(server.address, now)
        return self._state(server, now).fault


def _serves(server: Server, host: str) -> bool:
    """Whether *host* is the endpoint of the server's region; other names are this machine's."""
    region = host.partition(".api.rackconnect.rackspace.com")[0].lower()
    return server.region is None or region not in REGIONS or region == server.region


def _with_fault(answer: Answer, fault: Fault) -> Answer:
    """The answer that a fault makes of *answer*, where it is one that HTTP can say."""
    name = fault.name
    retry = (("Retry-After", str(fault.retry_after)),) if fault.retry_after is not None else ()
    page = b"<!DOCTYPE html>\n<html><body><h1>Service problem</h1></body></html>\n"
    bodies = {
        "oversize": b"x" * 100_000,
        "empty": b"",
        "two-addresses": b"10.180.31.254\n10.180.31.253\n",
        "ipv6": b"2001:db8::1",
        "bad-charset": b"\xff\xfe\x80DEPLOYED",
        "unknown-word": b"MIGRATING",
    }
    if name in bodies:
        return Answer(200, bodies[name])
    if name == "html":
        return Answer(200, page, "text/html")
    if name == "redirect":
        return Answer(302, b"", headers=(("Location", "https://elsewhere.example/v1/"),))
    if name == "rate-limit":
        return answers.forbidden(fault.retry_after)
    if name == "not-found":
        return Answer(404, b"Not found")
    if name.startswith("http-"):
        status = int(name[len("http-") :])
        return Answer(status, b"" if status == 204 else page, "text/html", retry)
    return answer


@lru_cache(maxsize=64)  # h11 takes as long to make one as for all the rest of an answer
def _head(
    status: int, content_type: str, length: int, more: tuple[tuple[str, str], ...]
) -> h11.Response:
    headers = [("Content-Type", content_type), ("Server", "rcnetd-emulator")]
    if status != 204:
        headers.append(("Content-Length", str(length)))
    return h11.Response(status_code=status, headers=[*headers, *more])


class _Abortable(asyncio.StreamReaderProtocol):
    """Knows its transport from the end of the handshake on.

    Who is cancelled then has none yet, and asyncio would wait for the client's farewell.
    """

    _made: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._made = transport
        super().connection_made(transport)

    def abort(self) -> None:
        """Close the connection at once."""
        if self._made is not None:
            self._made.abort()


class _Http:
    """HTTP/1.1 on one connection, by h11, and the faults that break it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=16384)

    async def request(self) -> tuple[str, str, str] | None:
        """Method, target and Host of the next request; None at the end of the connection."""
        method = target = host = ""
        while True:
            event = self._h11.next_event()
            if event is h11.NEED_DATA:
                self._h11.receive_data(await self._read())
            elif isinstance(event, h11.Request):
                headers = dict(event.headers)
                method, target = event.method.decode("ascii"), event.target.decode("ascii")
                host = headers.get(b"host", b"").decode("latin-1").rpartition(":")[0]
                host = host or headers.get(b"host", b"").decode("latin-1")
            elif isinstance(event, h11.EndOfMessage):
                return method, target, host
            elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
                return None

    async def _read(self) -> bytes:
        """What comes next; b"" also if nothing does. `wait_for` would make a task of each."""
        transport = self._writer.transport
        too_late = asyncio.get_event_loop().call_later(MAX_IDLE, transport.abort)
        try:
            return await self._reader.read(65536)
        finally:
            too_late.cancel()

    async def answer(self, answer: Answer, fault: str | None, *, head: bool) -> bool:
        """Send an answer, or break while doing it; False when the connection is over."""
        if fault == "hang":
            await asyncio.wait_for(self._reader.read(), HANG_FOR)
            return False
        if fault == "garbage":
            await self._send(b"\x00\x01\x02 not HTTP at all\r\n\r\n")
            return False
        length = len(answer.body) + (100 if fault == "truncate" else 0)
        top = self._h11.send(_head(answer.status, answer.content_type, length, answer.headers))
        body = b"" if head else answer.body
        if fault in ("drip", "drip-body"):
            await self._drip(top or b"", body, fault)
            return False
        if fault == "reset":
            await self._send((top or b"") + body[: len(body) // 2])
            await self._reset()
            return False
        if fault == "truncate":
            await self._send((top or b"") + body)
            return False
        await self._send((top or b"") + body)
        if not head and body:
            self._h11.send(h11.Data(data=body))
        self._h11.send(h11.EndOfMessage())
        if self._h11.our_state is h11.MUST_CLOSE:
            return False
        self._h11.start_next_cycle()
        return True

    async def _drip(self, top: bytes, body: bytes, fault: str) -> None:
        if fault == "drip-body":
            await self._send(top)
            top = b""
        for byte in top + body:
            await self._send(bytes([byte]))
            await asyncio.sleep(DRIP_INTERVAL)

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def _reset(self) -> None:
        connection = self._writer.get_extra_info("socket")
        await asyncio.sleep(0.05)  # let what was sent arrive before the reset takes it
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, FORGET)
        self._writer.transport.abort()
