"""A router's answer to router solicitations on one link (RFC 4861): a default router, no prefix."""

from __future__ import annotations

import select
import socket
import struct
import threading

from rcnetd.lab.topology import Namespace

SOLICITATION, ADVERTISEMENT = 133, 134
ALL_NODES, ALL_ROUTERS = "ff02::1", "ff02::2"


class Advertiser:
    """Answers on a link of a namespace from its link-local address, until it is closed."""

    def __init__(self, where: Namespace, link: str, lifetime: int) -> None:
        with where:
            self._socket = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
            self._index = socket.if_nametoindex(link)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())
        self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, self._index)
        group = socket.inet_pton(socket.AF_INET6, ALL_ROUTERS) + struct.pack("@I", self._index)
        self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        self._end, self._ended = socket.socketpair()
        # Type, code, checksum (the kernel's), hop limit, flags, lifetime, two timers of no concern.
        self._answer = struct.pack("!BBHBBHII", ADVERTISEMENT, 0, 0, 64, 0, lifetime, 0, 0)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._end.close()
        self._thread.join()
        self._ended.close()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            ready, _, _ = select.select([self._socket, self._ended], [], [])
            if self._ended in ready:
                return
            if self._socket.recv(2048)[:1] == bytes([SOLICITATION]):
                self._socket.sendto(self._answer, (ALL_NODES, 0, 0, self._index))
