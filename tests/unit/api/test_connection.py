"""Name, connection, TLS: the way to the API, against real sockets on 127.0.0.0/8."""

from __future__ import annotations

import socket
import ssl
import time
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from rcnetd.api.connection import MAX_WIRE, Bounds, PlainSocket, Way, secure, trust
from rcnetd.api.errors import (
    ApiError,
    ConnectError,
    Disconnected,
    DnsError,
    Oversize,
    TimedOut,
    TrustError,
)
from tests.support.apiserver import Connection, Lab, _lab, lab
from tests.support.unshared import run_unshared

__all__ = ["_lab", "lab"]

LOOPBACK = IPv4Address("127.0.0.1")


def greet(connection: Connection) -> None:
    """A server that says who it takes the client for."""
    connection.secure()
    connection.sock.sendall(connection.server.peers[-1].encode())
    connection.hang()


def test_from_the_source_address(lab: Lab) -> None:
    """The server sees the address that it knows us by."""
    server = lab.server(greet, tls=False)
    way = Way("localhost", server.port, source=IPv4Address("127.0.0.9"))
    with way.connect(Bounds(5.0))[0] as sock:
        sock.recv(1)

    assert ["127.0.0.9"] == server.peers


def test_by_the_device(lab: Lab) -> None:
    """The socket is bound to the link, where the kernel lets us."""
    server = lab.server(greet, tls=False)
    with Way("localhost", server.port, device="lo").connect(Bounds(5.0))[0] as sock:
        bound = sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)

    assert bound.rstrip(b"\0") in (b"lo", b"")


@pytest.mark.parametrize(
    ("way", "kind", "reason"),
    [
        (Way("localhost", 1), "connect", "cannot connect to 127.0.0.1 port 1: Connection refused"),
        (Way("no.such.name.invalid", 1), "dns", "cannot resolve 'no.such.name.invalid': "),
        (Way("localhost", 1, device="none0"), "device", "cannot send by link 'none0': "),
        (
            Way("localhost", 1, source=IPv4Address("192.0.2.1")),
            "source",
            "cannot send from address 192.0.2.1: Cannot assign requested address",
        ),
    ],
)
def test_no_way(way: Way, kind: str, reason: str) -> None:
    """Each trouble on the way has its own kind and plain reason."""
    with pytest.raises(ApiError) as caught:
        way.connect(Bounds(5.0))

    assert kind == caught.value.kind
    assert caught.value.reason.startswith(reason)
    assert isinstance(caught.value, DnsError if kind == "dns" else ConnectError)


def test_the_given_address_saves_the_resolver(lab: Lab) -> None:
    """With an address of its own the name is not looked up at all."""
    server = lab.server(greet, tls=False)
    phases: list[str] = []
    way = Way("no.such.name.invalid", server.port, address=LOOPBACK)
    sock, address = way.connect(Bounds(5.0, phases.append))
    sock.close()

    assert (LOOPBACK, ["connecting"]) == (address, phases)


def full_listener() -> socket.socket:
    """A listener whose queue is full: it neither accepts nor refuses."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    return listener


def test_a_connection_that_does_not_come_about() -> None:
    """The time is up while the other side says nothing at all to our SYN."""
    with full_listener() as listener:
        port = listener.getsockname()[1]
        first = socket.create_connection(("127.0.0.1", port))
        with first, pytest.raises(TimedOut, match=r"within 0\.2 s, still waiting for the connect"):
            Way("localhost", port).connect(Bounds(0.2))


def test_there_is_no_time_before_the_first_step() -> None:
    """A request that comes too late does not begin."""
    with pytest.raises(TimedOut, match="waiting for the name to be resolved"):
        Way("localhost", 1).connect(Bounds(-1.0))


def connected(answer: bytes) -> tuple[PlainSocket, socket.socket]:
    """A bounded socket and its other end, which has said *answer*."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near, _ = Way("localhost", listener.getsockname()[1]).connect(Bounds(0.3))
        far, _ = listener.accept()
    far.sendall(answer)
    return near, far


def test_all_reads_share_one_deadline() -> None:
    """A byte now and then does not buy more time."""
    near, far = connected(b"a")
    with near, far:
        started = time.monotonic()

        assert 1 == near.recv_into(bytearray(10))
        with pytest.raises(TimedOut):
            near.recv_into(bytearray(10))
        far.sendall(b"b")
        with pytest.raises(TimedOut):
            near.recv_into(bytearray(10))
        assert time.monotonic() - started < 1.0


def test_the_wire_is_bounded() -> None:
    """More bytes than any answer has, head and all, are not read."""
    near, far = connected(b"12345")
    with near, far:
        near.bounds.bytes_left = 4

        with pytest.raises(Oversize, match=f"larger than {MAX_WIRE // 1024} KiB"):
            near.recv_into(bytearray(10))


def test_a_reset() -> None:
    """The connection may break under our hands."""
    near, far = connected(b"")
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    far.close()

    with near, pytest.raises(Disconnected, match="the connection broke: Connection reset by peer"):
        near.recv_into(bytearray(10))


# Trust


def test_the_system_is_trusted_too(lab: Lab) -> None:
    """`ca_file` comes on top of the system's authorities, it does not replace them."""
    system = trust(None).get_ca_certs()
    both = trust(lab.ca_file).get_ca_certs()

    assert len(system) + 1 == len(both)


def test_the_environment_has_no_say(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSL's own variables do not make anybody trusted."""
    before = trust(None).get_ca_certs()
    monkeypatch.setenv("SSL_CERT_FILE", str(lab.ca_file))
    monkeypatch.setenv("SSL_CERT_DIR", str(lab.ca_file.parent))

    assert before == trust(None).get_ca_certs()


@pytest.mark.parametrize("content", [None, "no PEM", ""])
def test_a_bad_ca_file(content: str | None, tmp_path: Path) -> None:
    """A file that is not there or has no certificate is named."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)

    with pytest.raises(TrustError, match=f"cannot read ca_file '{path}': ") as caught:
        trust(path)
    assert "ca-file" == caught.value.kind


def test_tls_is_verified_by_the_name(lab: Lab) -> None:
    """The context asks for a certificate and for the name in it."""
    context = trust(lab.ca_file)

    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_a_handshake_that_does_not_end(lab: Lab) -> None:
    """A server that accepts and says nothing: the time is up during TLS; nothing stays open."""
    server = lab.server(Connection.hang)
    bounds = Bounds(0.2)
    sock, _ = Way("localhost", server.port).connect(bounds)

    with pytest.raises(TimedOut, match="still waiting for the TLS handshake"):
        secure(sock, trust(None), "localhost", bounds)
    assert -1 == sock.fileno()


HOSTS = """
import sys
from rcnetd.api.connection import Bounds, Way
sock, address = Way("api.test", int(sys.argv[1])).connect(Bounds(1.0))
assert str(address) == sock.getpeername()[0]
sock.close()
print(address)
"""
LISTEN = """
import socket, subprocess, sys
with socket.create_server(("127.0.0.3", 0)) as good, socket.socket() as full:
    full.bind(("127.0.0.2", good.getsockname()[1]))
    if sys.argv[2] == "silent":
        full.listen(0)
        keep = socket.create_connection(full.getsockname())
    port = str(good.getsockname()[1])
    sys.exit(subprocess.run([sys.executable, "-c", sys.argv[1], port]).returncode)
"""


@pytest.mark.netns
@pytest.mark.parametrize("first", ["refuses", "silent"])
def test_several_addresses_are_tried_in_turn(first: str, tmp_path: Path) -> None:
    """The first address refuses or says nothing: the next one gets its share of the time."""
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.2 api.test\n127.0.0.3 api.test\n")

    assert "127.0.0.3\n" == run_unshared(LISTEN, HOSTS, first, instead_of={"/etc/hosts": hosts})
