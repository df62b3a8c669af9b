"""A DHCP server for one client on one link: RFC 2131's four messages, and a router."""

from __future__ import annotations

import select
import socket
import struct
import threading
from ipaddress import IPv4Address, IPv4Interface

from rcnetd.lab.topology import Namespace

COOKIE = bytes.fromhex("63825363")
DISCOVER, OFFER, REQUEST, ACK = 1, 2, 3, 5
MASK, ROUTER, LEASE, KIND, SERVER = 1, 3, 51, 53, 54


class DhcpServer:
    """Serves *client* with *router* on a link of a namespace, until it is closed."""

    def __init__(
        self, where: Namespace, link: str, client: IPv4Interface, router: IPv4Address
    ) -> None:
        self._client, self._router = client, router
        with where:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())
        self._socket.bind(("0.0.0.0", 67))
        self._end, self._ended = socket.socketpair()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._end.close()
        self._thread.join()
        self._ended.close()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            ready, _, _ = select.select([self._socket, self._ended], [], [])
            if self._ended in ready:
                return
            self._socket.sendto(self._answer(self._socket.recv(2048)), ("255.255.255.255", 68))

    def _answer(self, request: bytes) -> bytes:
        at = request.index(COOKIE) + 4
        asked = {}
        while request[at] != 255:
            length = request[at + 1] if request[at] else -1
            asked[request[at]] = request[at + 2 : at + 2 + max(length, 0)]
            at += 2 + length
        kind = OFFER if asked[KIND][0] == DISCOVER else ACK
        options = {
            KIND: bytes([kind]),
            SERVER: self._router.packed,
            LEASE: struct.pack("!I", 3600),
            MASK: self._client.netmask.packed,
            ROUTER: self._router.packed,
        }
        fixed = b"\x02" + request[1:4] + request[4:8] + bytes(2) + request[10:12] + bytes(4)
        fixed += self._client.ip.packed + self._router.packed + request[24:44] + bytes(192)
        body = b"".join(bytes([key, len(value)]) + value for key, value in options.items())
        return fixed + COOKIE + body + b"\xff"
