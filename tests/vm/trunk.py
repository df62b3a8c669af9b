"""A switch for two bonded ports that carry tagged frames: OnMetal's wiring, in user space.

The kernel underneath may have no VLANs. Each VLAN's frames go, without their tag, to a tap of the
server's place; what comes from there is tagged and goes to the port that the server last used.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rcnetd.lab.topology import Namespace

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000  # linux/if_tun.h
TAG = 0x8100  # 802.1Q
MAX_FRAME = 65536


def open_tap(where: Namespace, name: str) -> int:
    """The descriptor of a tap that exists in a namespace."""
    with where:
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TAP | IFF_NO_PI))
    return descriptor


class Trunk:
    """Joins qemu's two datagram sockets in *place* to taps, by VLAN."""

    def __init__(self, place: Path, where: Namespace, taps: Mapping[int, str]) -> None:
        self.ports = []
        for number in range(2):
            port = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            port.bind(str(place / f"switch{number}"))
            self.ports.append(port)
        self._peers = [str(place / f"card{number}") for number in range(2)]
        self._taps = {vlan: open_tap(where, name) for vlan, name in taps.items()}
        self._active = 0
        self._end, self._ended = socket.socketpair()
        self._thread = threading.Thread(target=self._forward, daemon=True)
        self._thread.start()

    def arguments(self, number: int) -> str:
        """The -netdev of a port, for qemu."""
        port, peer = self.ports[number].getsockname(), self._peers[number]
        return (
            f"dgram,id=net{number},local.type=unix,local.path={peer},"
            f"remote.type=unix,remote.path={port}"
        )

    def close(self) -> None:
        """Unplug everything."""
        self._end.close()
        self._thread.join()
        for end in (self._ended, *self.ports):
            end.close()
        for tap in self._taps.values():
            os.close(tap)

    def _forward(self) -> None:
        vlans = {tap: vlan for vlan, tap in self._taps.items()}
        while True:
            waiting: list[Any] = [self._ended, *self.ports, *vlans]
            ready, _, _ = select.select(waiting, [], [])
            if self._ended in ready:
                return
            for source in ready:
                if source in vlans:
                    self._to_server(os.read(source, MAX_FRAME), vlans[source])
                else:
                    self._from_server(source.recv(MAX_FRAME), self.ports.index(source))

    def _to_server(self, frame: bytes, vlan: int) -> None:
        tagged = frame[:12] + struct.pack("!HH", TAG, vlan) + frame[12:]
        try:
            self.ports[self._active].sendto(tagged, self._peers[self._active])
        except OSError:
            return  # there is no machine at the moment

    def _from_server(self, frame: bytes, port: int) -> None:
        if len(frame) < 18 or struct.unpack_from("!H", frame, 12)[0] != TAG:
            return  # LACP
        self._active = port
        tap = self._taps.get(struct.unpack_from("!H", frame, 14)[0] & 0xFFF)
        if tap is not None:
            os.write(tap, frame[:12] + frame[16:])
