"""The whole daemon in the small cloud: the real process, a real kernel, the real emulator."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rcnetd.core.model import Query, RouteLookup
from rcnetd.core.routes import OUTSIDE
from rcnetd.emulator.testing import RunningEmulator, emulator
from rcnetd.lab.topology import API, Topology
from rcnetd.netlink.kernel import Kernel
from tests.support.waiting import LONG, until

ONCE = "servers: [{timeline: [{at: 0, gateway: 10.180.31.254}, {at: 0, status: DEPLOYED}]}]"
ASSIGNED = "servers: [{timeline: [{at: 0, gateway: 10.180.31.254}]}]"
NEVER = "servers: [{}]"
RCNETD = (sys.executable, "-m", "rcnetd")


class Daemon:
    """One rcnetd process in the server's namespace, and what systemd would hear of it."""

    def __init__(
        self,
        cloud: Cloud,
        settings: str,
        environ: dict[str, str],
        instead_of: dict[str, Path] | None = None,
        program: Sequence[str] = RCNETD,
    ) -> None:
        """*instead_of* has the files that it sees in the place of others; *program* runs it."""
        self.cloud = cloud
        self.directory = cloud.directory
        self.run = self.directory / "run"
        self.run.mkdir(exist_ok=True)
        config = self.directory / "rcnetd.yaml"
        config.write_text(settings)
        notify = self.directory / "notify"
        notify.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(notify))
        self.socket.setblocking(False)
        self.messages: list[tuple[float, str]] = []
        self.log = self.directory / "log"
        self._environ = {
            **os.environ,
            "NOTIFY_SOCKET": str(notify),
            "RUNTIME_DIRECTORY": str(self.run),
            "STATE_DIRECTORY": str(self.directory),
            "RCNETD_METADATA": str(self.directory / "metadata.json"),
            **environ,
        }
        self._command = [*program, "--config", str(config)]
        if instead_of:
            mounts = [f"mount --bind {file} {place}" for place, file in instead_of.items()]
            script = " && ".join([*mounts, 'exec "$@"'])
            self._command = ["unshare", "-m", "sh", "-c", script, "sh", *self._command]
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log, self.cloud.topology.server:
            return subprocess.Popen(self._command, env=self._environ, stderr=log)

    def restart(self, number: int = signal.SIGKILL) -> None:
        """End it by this signal and start it again, as systemd would."""
        self.process.send_signal(number)
        self.process.wait(LONG)
        self.process = self._start()

    def stop(self) -> float:
        """SIGTERM; returns how many seconds the end took."""
        begin = time.monotonic()
        self.process.terminate()
        assert self.process.wait(LONG) == 0, self.log.read_text()
        return time.monotonic() - begin

    def close(self) -> None:
        """Leave nothing running."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.socket.close()

    def hear(self) -> list[str]:
        """All lines of sd_notify so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                text = self.socket.recv(8192).decode()
                self.messages += [(time.monotonic(), line) for line in text.splitlines()]
        return [line for _, line in self.messages]

    @property
    def status(self) -> dict[str, Any]:
        """`status.json`, {} before there is one."""
        try:
            content: dict[str, Any] = json.loads((self.run / "status.json").read_text())
        except FileNotFoundError:
            return {}
        return content

    @property
    def timeline(self) -> list[dict[str, Any]]:
        """All lines of `timeline.jsonl` so far."""
        try:
            text = (self.run / "timeline.jsonl").read_text()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.splitlines()]

    def until_state(self, name: str, timeout: float = LONG) -> None:
        """Wait until the daemon is in this state."""
        with self.told():
            until(lambda: self._is_alive() and self.status.get("state") == name, timeout)

    def until_ready(self, timeout: float = LONG) -> None:
        """Wait until READY=1 was sent."""
        with self.told():
            until(lambda: self._is_alive() and "READY=1" in self.hear(), timeout)

    def until_end(self, timeout: float = LONG) -> int:
        """Wait until the process has ended by itself; returns its exit code."""
        return self.process.wait(timeout)

    def _is_alive(self) -> bool:
        assert self.process.poll() is None, f"rcnetd has ended: {self.log.read_text()}"
        return True

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Have a failed assertion say what the daemon did."""
        try:
            yield
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.status}\n{self.log.read_text()}") from None

    def children(self) -> list[int]:
        """The process ids of its children."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]


class Cloud:
    """The small cloud with an emulated API in it, and daemons as they are needed."""

    def __init__(self, topology: Topology, directory: Path, stack: contextlib.ExitStack) -> None:
        self.topology, self.directory, self._stack = topology, directory, stack
        self.api: RunningEmulator

    def emulate(self, timeline: str, **options: Any) -> RunningEmulator:
        """Serve the API by this timeline on the API host."""
        with self.topology.api:
            running = emulator(timeline, host=str(API), port=443, **options)
            self.api = self._stack.enter_context(running)
        return self.api

    def start(
        self, settings: str = "", *, program: Sequence[str] = RCNETD, **environ: str
    ) -> Daemon:
        """Start the daemon with the lab's settings and these."""
        text = f"region: dfw\napi_address: {API}\nca_file: {self.api.ca_file}\n{settings}"
        daemon = Daemon(self, text, environ, program=program)
        self._stack.callback(daemon.close)
        return daemon

    def callback(self, call: Callable[[], object]) -> None:
        """Call this when the test is over."""
        self._stack.callback(call)

    def lookup(self) -> RouteLookup | None:
        """How the server's kernel would go to the outside."""
        with self.topology.server:
            return Kernel().read(Query(destinations=(OUTSIDE,))).lookup(OUTSIDE)

    def defaults(self) -> list[str]:
        """The server's default routes, as `ip` has them."""
        return self.topology.server.run("ip", "-4", "route", "show", "default").splitlines()

    def goes_by_gateway(self) -> bool:
        """Whether the kernel uses the RackConnect gateway."""
        verdict = self.lookup()
        return verdict is not None and str(verdict.gateway) == "10.180.31.254"


@pytest.fixture
def cloud(topology: Topology, tmp_path: Path) -> Iterator[Cloud]:
    """The small cloud; all that was started ends with the test."""
    with contextlib.ExitStack() as stack:
        yield Cloud(topology, tmp_path, stack)
