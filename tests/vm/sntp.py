"""A time server on the internet: SNTP (RFC 4330), for the guest's systemd-timesyncd."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time

from rcnetd.lab.topology import INTERNET, Namespace

PORT, SIZE = 123, 48  # bytes of a packet
SERVER = 0x24  # no leap second, version 4, mode "server"
SINCE_1900 = 2_208_988_800  # seconds from NTP's epoch to POSIX'
TRANSMITTED = slice(40, 48)  # the client's own time, which the answer has to repeat


class TimeServer:
    """Tells this machine's time while it exists."""

    def __init__(self, internet: Namespace) -> None:
        with internet:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((str(INTERNET), PORT))
        self._end, self._ended = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while self._ended not in select.select([self._socket, self._ended], [], [])[0]:
            request, client = self._socket.recvfrom(1024)
            if len(request) >= SIZE:
                self._socket.sendto(answer(request, time.time()), client)

    def close(self) -> None:
        """Answer no more."""
        self._end.close()
        self._thread.join()
        self._ended.close()
        self._socket.close()


def answer(request: bytes, now: float) -> bytes:
    """The answer to *request* at *now* (POSIX seconds)."""
    seconds, fraction = divmod(now + SINCE_1900, 1.0)
    stamp = struct.pack("!II", int(seconds), int(fraction * 2**32))
    head = struct.pack("!BBbbII4s", SERVER, 1, 6, -20, 0, 0, b"LOCL")
    return head + stamp + request[TRANSMITTED] + stamp + stamp
