"""`rcnetctl demo`: a whole boot behind RackConnect, in network namespaces of this process.

The real daemon, a real kernel's routes, the emulated API over verified TLS, and a real
NOTIFY_SOCKET. Exit codes: 0 only if READY=1 was sent and the kernel uses the route; 1 if not; 77 if
this machine does not allow network namespaces.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from rcnetd.basic.inotify import Watch
from rcnetd.basic.text import duration
from rcnetd.core.model import Query
from rcnetd.core.routes import OUTSIDE
from rcnetd.lab.narrator import DaemonWatcher, Narrator
from rcnetd.lab.topology import (
    API,
    GATEWAY,
    INTERNET,
    PUBLIC,
    PUBLIC_ROUTER,
    SERVICENET,
    SERVICENET_ROUTER,
    Topology,
    become_root_of_nothing,
    may_make_namespaces,
)
from rcnetd.netlink.kernel import Kernel

FAULT_FOR = "6s"
PORT = 80
PATIENCE = 10.0  # seconds for each step that normally takes a moment
STOP_PATIENCE = 5.0  # seconds for a process that was told to stop

SETTINGS = f"""\
region: dfw
api_address: {API}
ca_file: %s
"""


def run(*, scenario: Path | None, fault: str | None, as_json: bool, timeout: float) -> int:
    """Run the demonstration; return the exit code."""
    if not may_make_namespaces():
        try:
            become_root_of_nothing()
        except OSError as error:
            print(
                f"rcnetctl: Failed to create network namespaces: {error.strerror}; run the demo as"
                " root, or allow user namespaces (sysctl user.max_user_namespaces,"
                " kernel.apparmor_restrict_unprivileged_userns)",
                file=sys.stderr,
            )
            return os.EX_NOPERM
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rcnetd-demo-")))
        try:
            topology = stack.enter_context(Topology())
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"rcnetctl: Failed to create the demo's network: {error}", file=sys.stderr)
            return os.EX_NOPERM
        demo = _Demo(topology, directory, Narrator(as_json=as_json), stack)
        return demo.play(scenario, fault, timeout)


class _Demo:
    def __init__(
        self, topology: Topology, directory: Path, narrator: Narrator, stack: contextlib.ExitStack
    ) -> None:
        self._topology, self._directory = topology, directory
        self._narrator, self._stack = narrator, stack

    def play(self, scenario: Path | None, fault: str | None, timeout: float) -> int:
        narrator = self._narrator
        narrator.say("demo", f"the server: eth0 {PUBLIC} (public), eth1 {SERVICENET} (ServiceNet)")
        narrator.say("demo", f"its default route: via {PUBLIC_ROUTER} dev eth0, the public router")
        self._server_down()
        self._stack.enter_context(self._internet_host())
        if not self._start_emulator(scenario, fault):
            return 1
        self._connect("before")
        daemon, watcher = self._start_daemon()
        narrator.say("demo", "ServiceNet comes up on eth1")
        self._server_up()
        watcher.follow(daemon, timeout, self._directory / "log")
        if not watcher.is_ready:
            narrator.say("demo", f"no READY=1 within {duration(timeout)}: {watcher.status}")
        ours = self._kernel_uses_route()
        self._connect("after")
        self._stop(daemon)
        stays = self._kernel_uses_route()
        narrator.say("demo", f"rcnetd has stopped; its route {'stays' if stays else 'is gone'}")
        done = watcher.is_ready and ours and stays
        narrator.say(
            "demo", "done: READY=1 was sent, the kernel uses the route" if done else "failed"
        )
        return 0 if done else 1

    def _server_down(self) -> None:
        self._topology.server.ip("address flush dev eth1", "link set eth1 down")

    def _server_up(self) -> None:
        self._topology.server.ip(
            "link set eth1 up",
            f"address add {SERVICENET} brd + dev eth1",
            f"route add 10.176.0.0/12 via {SERVICENET_ROUTER} dev eth1",
            f"route add 10.208.0.0/12 via {SERVICENET_ROUTER} dev eth1",
        )

    @contextlib.contextmanager
    def _internet_host(self) -> Iterator[None]:
        """A host that tells each client the address it comes from."""
        with self._topology.internet:
            listener = socket.create_server((str(INTERNET), PORT))

        def serve() -> None:
            while True:
                try:
                    visitor, address = listener.accept()
                except OSError:
                    return
                with visitor, contextlib.suppress(OSError):
                    visitor.sendall(address[0].encode())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join(PATIENCE)

    def _connect(self, when: str) -> None:
        """Connect from the server to the internet host, and say which way that went."""
        try:
            with self._topology.server:
                connection = socket.create_connection((str(INTERNET), PORT), timeout=PATIENCE)
            with connection:
                seen = connection.recv(64).decode()
        except OSError as error:
            self._narrator.say("internet", f"{when}: {INTERNET} cannot be reached ({error})")
            return
        ways = {
            str(PUBLIC.ip): f"via the public router {PUBLIC_ROUTER}",
            str(SERVICENET.ip): f"via the RackConnect gateway {GATEWAY}",
        }
        way = ways.get(seen, "via an unknown router")
        self._narrator.say("internet", f"{when}: {INTERNET} sees the server as {seen}, {way}")

    def _start_emulator(self, scenario: Path | None, fault: str | None) -> bool:
        """Start the emulated API on the API host, with TLS; True once it listens."""
        ca_file = self._directory / "ca.pem"
        if scenario is None:
            scenario = Path(str(resources.files("rcnetd.emulator"))) / "demo.yaml"
        command = [
            sys.executable, "-m", "rcnetd.emulator", str(scenario),
            "--listen", f"{API}:443", "--ca-file", str(ca_file),
        ]  # fmt: skip
        if fault is not None:
            command += ["--fault", fault, "--fault-for", FAULT_FOR]
        with self._topology.api:
            emulator = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._stack.callback(self._stop, emulator)
        assert emulator.stdout is not None
        line = emulator.stdout.readline().strip()
        if not line:
            emulator.wait(PATIENCE)
            return False  # it has printed why
        self._narrator.say("API", line)
        return True

    def _start_daemon(self) -> tuple[subprocess.Popen[bytes], DaemonWatcher]:
        config = self._directory / "rcnetd.yaml"
        config.write_text(SETTINGS % (self._directory / "ca.pem"), encoding="utf-8")
        notify = self._stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        notify.bind(str(self._directory / "notify"))
        notify.setblocking(False)
        run = self._directory / "run"
        run.mkdir()
        environ = {
            **os.environ,
            "NOTIFY_SOCKET": str(self._directory / "notify"),
            "RUNTIME_DIRECTORY": str(run),
            "STATE_DIRECTORY": str(self._directory),
            "RCNETD_METADATA": str(self._directory / "no-metadata.json"),
        }
        log = self._stack.enter_context((self._directory / "log").open("wb"))
        with self._topology.server:
            daemon = subprocess.Popen(
                [sys.executable, "-m", "rcnetd", "--config", str(config)], env=environ, stderr=log
            )
        self._stack.callback(self._stop, daemon)
        self._narrator.say("demo", f"rcnetd starts, process {daemon.pid}")
        self._wait_for_first_status(run, daemon)
        return daemon, DaemonWatcher(self._narrator, run / "timeline.jsonl", notify)

    def _wait_for_first_status(self, run: Path, daemon: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + PATIENCE
        with Watch(run) as watch:
            while not (run / "status.json").exists() and time.monotonic() < end:
                if daemon.poll() is not None:
                    return
                watch.wait(0.5)

    def _kernel_uses_route(self) -> bool:
        """Whether the kernel's own lookup of an outside address takes rcnetd's route."""
        with self._topology.server:
            network = Kernel().read(Query(destinations=(OUTSIDE,)))
        found = network.lookup(OUTSIDE)
        if found is None or found.refusal:
            self._narrator.say("kernel", "has no route to the internet")
            return False
        link = network.link(found.ifindex)
        name = link.name if link else "?"
        self._narrator.say("kernel", f"would go to the internet via {found.gateway} dev {name}")
        return found.gateway == GATEWAY and name == "eth1"

    def _stop(self, process: subprocess.Popen[Any]) -> None:
        """Stop one of our own processes, and reap it."""
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()
