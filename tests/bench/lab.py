"""The small cloud for benchmarks: daemons and their rivals, clean for each repetition.

The rule: nothing is told by polling what is measured. Packets have the kernel's own time stamps,
routes are seen by a netlink subscription.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rcnetd.emulator.testing import emulator
from rcnetd.lab.topology import API, PUBLIC_ROUTER, SERVICENET, SERVICENET_ROUTER, Topology
from tests.netns.daemons import Cloud, Daemon

CLONE_NEWNS = 0x20000  # linux/sched.h
ETH_P_ALL, ETH_P_ARP, IPV4 = 0x0003, 0x0806, b"\x08\x00"
SO_TIMESTAMPNS = 35
SYN, ACK = 0x02, 0x10
ROUTES = (
    f"route replace 10.176.0.0/12 via {SERVICENET_ROUTER} dev eth1",
    f"route replace 10.208.0.0/12 via {SERVICENET_ROUTER} dev eth1",
)
HOST = "dfw.api.rackconnect.rackspace.com"
PATIENCE = 15.0  # seconds for what takes a fraction of one


class Options(NamedTuple):
    """How thorough a run is."""

    full: bool = False
    repetitions: int = 0  # 0: as many as each measure thinks right

    def times(self, usual: int) -> int:
        """How often to repeat."""
        return self.repetitions or usual


def own_mounts() -> None:
    """Leave the machine's mounts, for good, for an /etc of our own that names the API."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare: the benchmarks need root")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    place = Path(tempfile.mkdtemp())
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(place)], check=True)
    upper, work = place / "upper", place / "work"
    upper.mkdir()
    work.mkdir()
    layers = f"lowerdir=/etc,upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "-o", layers, "overlay", "/etc"], check=True)
    subprocess.run(["umount", "--lazy", str(place)], check=True)
    place.rmdir()
    Path("/etc/hosts").write_text(f"127.0.0.1 localhost\n{API} {HOST}\n", encoding="ascii")


class Lab:
    """A topology with the API, and whatever runs in its server."""

    def __init__(self, stack: contextlib.ExitStack, timeline: str) -> None:
        self._stack = stack
        # A tmpfs, as /run is.
        self.directory = Path(tempfile.mkdtemp(prefix="rcnetd-bench-", dir="/dev/shm"))
        stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
        self.topology = stack.enter_context(Topology())
        self.server = self.topology.server
        with self.topology.api:
            running = emulator(timeline, host=str(API), port=443)
            self.api = stack.enter_context(running)
        self._number = 0

    def place(self) -> Path:
        """An empty directory."""
        self._number += 1
        path = self.directory / str(self._number)
        path.mkdir()
        return path

    def reset(self) -> None:
        """The server as it boots: its old default, ServiceNet, nobody in the neighbour table."""
        self.server.ip(
            "route flush exact 0.0.0.0/0",
            f"address replace {SERVICENET} brd + dev eth1",
            *ROUTES,
            f"route add default via {PUBLIC_ROUTER} dev eth0",
            "neighbour flush dev eth1",
        )

    def daemon(self, settings: str = "", **environ: str) -> Daemon:
        """A daemon whose settings are a file; it knows nothing of those before it."""
        cloud = Cloud(self.topology, self.place(), self._stack)
        cloud.api = self.api
        # The emulator's limit is for all of them.
        return cloud.start(settings, **environ)

    @contextlib.contextmanager
    def program(
        self, command: Sequence[str], **environ: str
    ) -> Iterator[tuple[int, subprocess.Popen[Any]]]:
        """Run a program in the server and kill it in the end: when it was started, and it."""
        with self.server:
            begin = time.time_ns()
            process = subprocess.Popen(
                command,
                env={**os.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        try:
            yield begin, process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()

    def without_settings(self) -> tuple[list[str], dict[str, str]]:
        """The daemon as on a server whose platform names the region: no settings file."""
        place = self.place()
        (place / "etc").mkdir()
        (place / "metadata.json").write_text('{"region": "dfw"}')
        return [sys.executable, "-m", "rcnetd"], {
            "RUNTIME_DIRECTORY": str(place),
            "STATE_DIRECTORY": str(place),
            "CONFIGURATION_DIRECTORY": str(place / "etc"),
            "RCNETD_METADATA": str(place / "metadata.json"),
        }

    def with_settings(self) -> tuple[list[str], dict[str, str]]:
        """The same with a settings file, which has to be parsed."""
        command, environ = self.without_settings()
        file = Path(environ["CONFIGURATION_DIRECTORY"], "rcnetd.yaml")
        file.write_text(f"api_address: {API}\nca_file: {self.api.ca_file}\n")
        return command, environ


class Packets:
    """Packets that leave the server by ServiceNet, as a *port* of its switch has them."""

    def __init__(self, lab: Lab, port: str = "server") -> None:
        with lab.topology.servicenet:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        # All: the bridge takes what is asked for by its protocol.
        self._socket.bind((port, ETH_P_ALL))
        self._socket.settimeout(PATIENCE)

    def __enter__(self) -> Packets:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def forget(self) -> None:
        """Drop what came so far."""
        self._socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(65536)
        self._socket.settimeout(PATIENCE)

    def syn(self) -> int:
        """When the next TCP connection was begun (CLOCK_REALTIME, ns)."""
        while True:
            frame, at = received(self._socket)
            if frame[12:14] != IPV4 or frame[23] != socket.IPPROTO_TCP:
                continue
            begin = 14 + (frame[14] & 15) * 4
            if frame[begin + 13] & (SYN | ACK) == SYN:
                return at


def received(packets: socket.socket) -> tuple[bytes, int]:
    """The next frame, and when the kernel had it (CLOCK_REALTIME, ns)."""
    frame, ancillary, _, _ = packets.recvmsg(65536, 64)
    seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
    return frame, seconds * 1_000_000_000 + nanoseconds


def cpu_ns(pid: int) -> int:
    """CPU time of one process so far, children not included."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def milliseconds(begin: int, end: int) -> float:
    """Between two points in nanoseconds."""
    return (end - begin) / 1e6
