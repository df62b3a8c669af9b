"""A tiny TLS server for what no well-behaved server does: every byte it sends is the test's."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

Respond = Callable[["Connection"], None]
LONG = 10.0  # seconds; nothing here takes that long unless it is broken


class Connection:
    """One accepted connection: raw, or TLS after `secure`."""

    def __init__(self, sock: socket.socket, server: Server) -> None:
        self.sock = sock
        self.server = server

    def secure(self) -> None:
        """The server's half of TLS."""
        context = self.server.context
        if context is not None:
            self.sock = context.wrap_socket(self.sock, server_side=True)

    def request(self) -> str:
        """The head of the request, which the server keeps too."""
        head = b""
        while b"\r\n\r\n" not in head:
            data = self.sock.recv(4096)
            if not data:
                raise OSError("the client has gone")
            head += data
        self.server.requests.append(head.decode("ascii"))
        return self.server.requests[-1]

    def hang(self) -> None:
        """Say nothing more until the client or the test is over."""
        with contextlib.suppress(OSError):
            while self.sock.recv(4096):
                pass

    def drip(self, data: bytes, every: float = 0.02) -> None:
        """Send a byte at a time, for ever if the client lets us."""
        for number in range(len(data)):
            self.sock.sendall(data[number : number + 1])
            if self.server.stopped.wait(every):
                return


class Server:
    """Accepts on 127.0.0.1 and lets *respond* deal with each connection, one after the other."""

    def __init__(self, respond: Respond, context: ssl.SSLContext | None) -> None:
        self.context = context
        self.requests: list[str] = []
        self.peers: list[str] = []
        self.stopped = threading.Event()
        self._respond = respond
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        """The base URL."""
        return f"{'https' if self.context else 'http'}://localhost:{self.port}"

    def _run(self) -> None:
        while True:
            try:
                sock, peer = self._listener.accept()
            except OSError:
                return
            sock.settimeout(LONG)
            self.peers.append(peer[0])
            connection = Connection(sock, self)
            with contextlib.suppress(OSError):
                self._respond(connection)
            with contextlib.suppress(OSError):
                connection.sock.close()

    def close(self) -> None:
        """Stop; the thread is gone afterwards."""
        self.stopped.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(LONG)
        assert not self._thread.is_alive()


def saying(answer: bytes) -> Respond:
    """Answer each request with these bytes, and end the connection as TLS wants it."""

    def respond(connection: Connection) -> None:
        connection.secure()
        connection.request()
        connection.sock.sendall(answer)
        if isinstance(connection.sock, ssl.SSLSocket):
            connection.sock.unwrap()

    return respond


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """An HTTP answer; its length is given unless *headers* speak of a length."""
    if not any(line.lower().startswith(("content-length", "transfer-enc")) for line in headers):
        headers = (*headers, f"Content-Length: {len(body)}")
    return "\r\n".join((f"HTTP/1.1 {status}", *headers, "", "")).encode("latin-1") + body


class Lab:
    """A certificate authority, and servers that are gone after the test."""

    def __init__(self, directory: Path) -> None:
        self.authority = trustme.CA()
        self.ca_file = directory / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca_file))
        self._servers: list[Server] = []

    def context(self, certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
        """A server's TLS with *certificate*, or with a good one for localhost."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (certificate or self.authority.issue_cert("localhost")).configure_cert(context)
        return context

    def server(
        self, respond: Respond | bytes, *, tls: bool = True, context: ssl.SSLContext | None = None
    ) -> Server:
        """A server that answers with *respond*: bytes, or a function for its every move."""
        if isinstance(respond, bytes):
            respond = saying(respond)
        server = Server(respond, (context or self.context()) if tls else None)
        self._servers.append(server)
        return server

    def close(self) -> None:
        """Stop all servers."""
        while self._servers:
            self._servers.pop().close()


@pytest.fixture(scope="session")
def _lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("lab"))


@pytest.fixture
def lab(_lab: Lab) -> Iterator[Lab]:
    """The tiny servers of this module."""
    yield _lab
    _lab.close()
