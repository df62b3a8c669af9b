"""The emulator over TLS on one core, beside the least server that asyncio can be."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

from rcnetd.emulator.certificates import Authority
from tests.bench.figures import Figure, Measure
from tests.bench.lab import PATIENCE, Options, cpu_ns

SERVER_CORE, CLIENT_CORE = 0, 1
SECONDS = 1.5  # of each piece; the pieces take turns
SERVERS = (1, 100, 10_000)
FIRST = IPv4Address("127.1.0.0")
REQUEST = b"GET /v1/gateway_ip HTTP/1.1\r\nHost: localhost\r\n\r\n"
LEAST = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\n10.180.31.254"


def measure(options: Options) -> list[Measure]:
    """New connections a second, and requests on a kept one, in turn."""
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        contenders = [stack.enter_context(_emulator(place, count)) for count in SERVERS]
        contenders.append(stack.enter_context(_minimal(place)))
        stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        os.sched_setaffinity(0, {CLIENT_CORE})
        for _ in range(options.times(7)):
            for contender in contenders:
                contender.measure()
    goal = "500 new connections a second, 0.3 x the minimal server"
    return [
        Measure(title, goal, [Figure(c.who, getattr(c, name), unit) for c in contenders])
        for title, name, unit in (
            ("emulator: new TLS connections", "connections", "/s"),
            ("emulator: the same, by CPU time of the server", "connections_cpu", "ms CPU"),
            ("emulator: requests on a kept connection", "requests", "/s"),
            ("emulator: CPU without anybody", "idle", "% of a core"),
        )
    ]


class Contender:
    """A server on a core of its own, and what it did."""

    def __init__(self, who: str, process: subprocess.Popen[str], servers: int) -> None:
        assert process.stdout is not None
        self.who = who
        self._process = process
        self._port = int(process.stdout.readline())
        self._servers = servers
        self._next = 0
        self.connections: list[float] = []
        self.connections_cpu: list[float] = []
        self.requests: list[float] = []
        self.idle: list[float] = []
        # The least that a client can do: who serves is measured.
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE

    def measure(self) -> None:
        """A piece of each kind."""
        before, count, begin, end = cpu_ns(self._process.pid), 0, time.monotonic(), 0.0
        while end < begin + SECONDS:
            with self._connect() as connection:
                _ask(connection)
            count, end = count + 1, time.monotonic()
        self.connections.append(count / (end - begin))
        self.connections_cpu.append((cpu_ns(self._process.pid) - before) / 1e6 / count)
        with self._connect() as connection:
            count, begin, end = 0, time.monotonic(), 0.0
            while end < begin + SECONDS / 3:
                _ask(connection)
                count, end = count + 1, time.monotonic()
            self.requests.append(count / (end - begin))
        before = cpu_ns(self._process.pid)
        time.sleep(SECONDS / 3)
        self.idle.append((cpu_ns(self._process.pid) - before) / 1e9 / (SECONDS / 3) * 100)

    def _connect(self) -> ssl.SSLSocket:
        self._next = (self._next + 1) % self._servers
        raw = socket.socket()
        raw.bind((str(FIRST + self._next), 0))
        raw.settimeout(PATIENCE)
        raw.connect(("127.0.0.1", self._port))
        return self._context.wrap_socket(raw)


def _ask(connection: ssl.SSLSocket) -> None:
    connection.sendall(REQUEST)
    answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    if not answer.endswith(b"10.180.31.254"):
        connection.recv(4096)


@contextlib.contextmanager
def _emulator(place: Path, count: int) -> Iterator[Contender]:
    timeline = place / f"{count}.yaml"
    entries = "".join(
        f"- {{address: {FIRST + number}, timeline: [{{at: 0, gateway: 10.180.31.254}}]}}\n"
        for number in range(count)
    )
    timeline.write_text(f"limit: 1000000\nservers:\n{entries}")
    with _started(f"{count:,} servers", "emulator", str(timeline), servers=count) as contender:
        yield contender


@contextlib.contextmanager
def _minimal(place: Path) -> Iterator[Contender]:
    with _started("a minimal asyncio server", "minimal", str(place)) as contender:
        yield contender


@contextlib.contextmanager
def _started(who: str, *words: str, servers: int = 1) -> Iterator[Contender]:
    command = ["taskset", "-c", str(SERVER_CORE), sys.executable, "-m", __name__, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Contender(who, process, servers)
        finally:
            process.kill()


def main(kind: str, path: str) -> None:
    """One of the servers: prints its port, then serves until it is killed."""
    if kind == "emulator":
        from rcnetd.emulator.scenario import load
        from rcnetd.emulator.server import Emulator

        served = Emulator(load(Path(path)), [("127.0.0.1", 0)])
        loop = asyncio.new_event_loop()
        loop.run_until_complete(served.start())
        print(served.addresses[0][1], flush=True)
        loop.run_forever()
    context = Authority().context(["localhost"])
    asyncio.run(_serve(context))


async def _serve(context: ssl.SSLContext) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(LEAST)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
