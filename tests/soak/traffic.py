"""A datagram a second from the server to the internet, and whether each one came, and from whom."""

from __future__ import annotations

import contextlib
import socket
import threading
from ipaddress import IPv4Address

from rcnetd.lab.topology import INTERNET, Topology

PORT = 9009
INTERVAL = 1.0  # seconds


class Traffic:
    """Sends all the while; *source* is the address that the gateway's way gives a datagram."""

    def __init__(self, topology: Topology, source: IPv4Address) -> None:
        self._source = str(source)
        with topology.internet:
            self._receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._receiver.bind((str(INTERNET), PORT))
        self._receiver.settimeout(INTERVAL)
        with topology.server:
            self._sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._end = threading.Event()
        self._threads = [threading.Thread(target=loop) for loop in (self._send, self._receive)]
        self._sent = 0
        self._came: set[int] = set()
        self.misled: list[str] = []

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()
        self._sender.close()
        self._receiver.close()

    def counts(self) -> tuple[int, int]:
        """How many were sent, and how many of them did not come; the last may be on its way."""
        sent = self._sent
        return sent, max(0, sent - 1 - len(self._came))

    def _send(self) -> None:
        while not self._end.wait(INTERVAL):
            # Counted first: without any route it is lost, too.
            number, self._sent = self._sent, self._sent + 1
            with contextlib.suppress(OSError):
                # Not connected: the kernel looks up the route, and with it the source, each time.
                self._sender.sendto(str(number).encode(), (str(INTERNET), PORT))

    def _receive(self) -> None:
        while not self._end.is_set():
            with contextlib.suppress(OSError):
                data, (source, _) = self._receiver.recvfrom(64)
                self._came.add(int(data))
                if source != self._source:
                    self.misled.append(f"datagram {int(data)} came from {source}")
