"""The emulator in your own tests: a context manager, and a pytest fixture.

pytest_plugins = ["rcnetd.emulator.testing"]

def test_my_image(rackconnect):
    with rackconnect("servers: [{timeline: [{at: 0, gateway: 10.180.31.254}]}]") as api:
        ...  # api.url, api.ca_file, api.requests, api.set_fault("hang")
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from rcnetd.emulator.faults import Fault
from rcnetd.emulator.scenario import Scenario, load, parse
from rcnetd.emulator.server import Emulator, Request

PATIENCE = 10.0  # seconds for the emulator to start or stop


class RunningEmulator:
    """An emulator in a thread of its own. *url* is for `localhost`, *port* for other names."""

    def __init__(self, emulator: Emulator, loop: asyncio.AbstractEventLoop, ca_file: Path) -> None:
        self._emulator, self._loop = emulator, loop
        self.ca_file = ca_file
        self.host, self.port = emulator.addresses[0]
        scheme = "https" if emulator.ca_pem else "http"
        self.url = f"{scheme}://localhost:{self.port}"

    def region_url(self, region: str) -> str:
        """The endpoint of a region, on our port: connect to `host` for it."""
        return f"https://{region}.api.rackconnect.rackspace.com:{self.port}"

    @property
    def requests(self) -> list[Request]:
        """All requests so far."""
        return list(self._emulator.requests)

    def set_fault(
        self, name: str, *, on: str | None = None, retry_after: int | None = None
    ) -> None:
        """Have a fault from now on, for all servers."""
        self._call(lambda: self._emulator.set_fault(Fault(name, on, retry_after)))

    def clear_fault(self) -> None:
        """End the fault."""
        self._call(lambda: self._emulator.set_fault(None))

    def _call(self, do: Callable[[], None]) -> None:
        async def call() -> None:
            do()

        asyncio.run_coroutine_threadsafe(call(), self._loop).result(PATIENCE)


@contextmanager
def emulator(
    timeline: Scenario | Path | str, *, host: str = "127.0.0.1", port: int = 0, **options: Any
) -> Iterator[RunningEmulator]:
    """Run an emulator. *timeline* is a file, its text, or a `Timeline`; *options* `Emulator`'s.

    It listens in the network namespace of the calling thread.
    """
    if isinstance(timeline, Path):
        timeline = load(timeline)
    elif isinstance(timeline, str):
        timeline = parse(timeline)
    served = Emulator(timeline, [(host, port)], **options)
    loop = asyncio.new_event_loop()
    # Here, not in the thread: sockets belong to the namespace of who makes them.
    loop.run_until_complete(served.start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        with tempfile.TemporaryDirectory() as directory:
            ca_file = Path(directory) / "ca.pem"
            ca_file.write_bytes(served.ca_pem)
            yield RunningEmulator(served, loop, ca_file)
    finally:
        asyncio.run_coroutine_threadsafe(served.stop(), loop).result(PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()


@pytest.fixture
def rackconnect() -> Callable[..., AbstractContextManager[RunningEmulator]]:
    """`emulator` as a fixture."""
    return emulator
