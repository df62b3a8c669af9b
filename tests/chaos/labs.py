"""Where the blows fall: the small cloud in namespaces, or a whole guest."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rcnetd.lab.topology import (
    API,
    GATEWAY,
    PUBLIC,
    SERVICENET,
    SERVICENET_ROUTER,
    Topology,
)
from tests.chaos.blows import BRIDGE, BRIDGES, CHURN, SECOND, carry_out
from tests.netns.daemons import Cloud, Daemon
from tests.support.waiting import LONG, until

GIVEN = (str(GATEWAY), SECOND)
# The API changes its mind every 40 s, for an hour.
TIMELINE = "servers: [{{timeline: [{{at: 0, status: DEPLOYED}}, {steps}]}}]".format(
    steps=", ".join(f"{{at: {40 * n}s, gateway: {GIVEN[n % 2]}}}" for n in range(90))
)
NAME = "dfw.api.rackconnect.rackspace.com"
YEARS = 10 * 365 * 24 * 3600  # seconds
Blow = Callable[[], None]


ROOM = 1024 * 1024  # bytes that /run has in the small cloud


class Violation(Exception):
    """Something that must hold does not; one line."""


def mend(topology: Topology, link: str) -> None:
    """Bring back what a network manager would."""
    topology.server.ip(
        "link set eth0 up",
        "link set eth1 up",
        f"link set {link} up",
        f"address replace {PUBLIC} brd + dev eth0",
        f"address replace {SERVICENET} brd + dev {link}",
        f"route replace {PUBLIC.network} dev eth0 proto kernel scope link src {PUBLIC.ip}",
        f"route replace {SERVICENET.network} dev {link} proto kernel scope link"
        f" src {SERVICENET.ip}",
        f"route replace 10.176.0.0/12 via {SERVICENET_ROUTER} dev {link}",
        f"route replace 10.208.0.0/12 via {SERVICENET_ROUTER} dev {link}",
    )


class Lab:
    """The small cloud, and the daemon as a process of ours; with a wall clock of its own."""

    def __init__(self, stack: contextlib.ExitStack, directory: Path) -> None:
        self.topology = stack.enter_context(Topology())
        self._cloud = Cloud(self.topology, directory, stack)
        self.api = self._cloud.emulate(TIMELINE)
        self._clock = directory / "clock"
        self._hosts = directory / "hosts"
        self._resolv = directory / "resolv.conf"
        self.rewrite_resolver()
        self.set_clock(0)
        self.set_dns(alive=True)
        library = directory / "clock.so"
        source = Path(__file__).parents[1] / "support" / "clock.c"
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, source], check=True)
        environ = {"LD_PRELOAD": str(library), "RCNETD_CLOCK": str(self._clock)}
        settings = f"region: dfw\nca_file: {self.api.ca_file}\ngateway: {{recheck_interval: 10s}}\n"
        files = {"/etc/hosts": self._hosts, "/etc/resolv.conf": self._resolv}
        self._run = directory / "run"
        self._run.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(self._run)]
        self._is_small = subprocess.run(mount, check=False).returncode == 0
        if self._is_small:
            stack.callback(subprocess.run, ["umount", "--lazy", str(self._run)], check=True)
        self._churn: subprocess.Popen[bytes] | None = None
        stack.callback(self.end_churn)
        self._daemon = Daemon(self._cloud, settings, environ, instead_of=files)
        stack.callback(self._daemon.close)
        self._daemon.until_ready(60)

    def set_clock(self, seconds: int) -> None:
        """Step the daemon's wall clock to so far from the real one."""
        self._clock.write_text(f"{seconds}\n")

    def set_dns(self, *, alive: bool) -> None:
        """Whether the API's name resolves."""
        self._hosts.write_text(f"127.0.0.1 localhost\n{f'{API} {NAME}' if alive else ''}\n")

    def rewrite_resolver(self) -> None:
        """As a DHCP client does, in place."""
        self._resolv.write_text("nameserver 127.0.0.1\noptions timeout:1\n")

    def fill_disk(self) -> None:
        """No byte is left under /run."""
        block = bytes(4096)
        with contextlib.suppress(OSError), (self._run / "fill").open("ab", buffering=0) as file:
            while file.write(block) == len(block):
                pass

    def free_disk(self) -> None:
        """There is room again."""
        (self._run / "fill").unlink(missing_ok=True)

    def begin_churn(self) -> None:
        """Links are made and removed from now on."""
        if self._churn is None:
            with self.topology.server:
                self._churn = subprocess.Popen(["sh", "-c", CHURN], stderr=subprocess.DEVNULL)

    def end_churn(self) -> None:
        """No more."""
        if self._churn is not None:
            self._churn.kill()
            self._churn.wait()
            self._churn = None

    def freeze(self, number: int) -> None:
        """SIGSTOP or SIGCONT for the daemon: a machine that is suspended, or short of memory."""
        self._daemon.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and started again as systemd would."""
        self._daemon.hear()
        self._daemon.restart(signal.SIGKILL)

    def reload(self) -> None:
        """SIGHUP; not to one that is being started, as systemd sends none either."""
        if self._has_started():
            self._daemon.process.send_signal(signal.SIGHUP)

    def signal_fetcher(self, number: int) -> None:
        """A signal for its child; what is being started still has others, such as mount."""
        for pid in self._daemon.children() if self._has_started() else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def blows(self) -> dict[str, Blow]:
        """What can happen here only."""
        disk: dict[str, Blow] = {"disk full": self.fill_disk, "disk has room": self.free_disk}
        return {
            **{name: partial(carry_out, self.topology, *BRIDGES[name]) for name in BRIDGES},
            **(disk if self._is_small else {}),
            "SIGKILL": self.kill,
            "SIGKILL for the fetcher": partial(self.signal_fetcher, signal.SIGKILL),
            "SIGSTOP for the fetcher": partial(self.signal_fetcher, signal.SIGSTOP),
            "SIGSTOP": partial(self.freeze, signal.SIGSTOP),
            "SIGCONT": partial(self.freeze, signal.SIGCONT),
            "links come and go": self.begin_churn,
            "links stay": self.end_churn,
            "resolv.conf is rewritten": self.rewrite_resolver,
            "SIGHUP": self.reload,
            "DNS is dead": lambda: self.set_dns(alive=False),
            "DNS is back": lambda: self.set_dns(alive=True),
            "ten years later": lambda: self.set_clock(YEARS),
            "ten years ago": lambda: self.set_clock(-YEARS),
            "the clock is right": lambda: self.set_clock(0),
        }

    def calm(self) -> None:
        """Its links are managed by nobody: bring back what a manager would."""
        self.freeze(signal.SIGCONT)
        self.free_disk()
        port = json.loads(self.topology.server.run("ip", "-j", "link", "show", "eth1"))[0]
        link = port.get("master", "eth1")
        # Two links with ServiceNet's address are nobody's configuration.
        flush = "address flush dev eth1" if link == BRIDGE else f"link del {BRIDGE}"
        carry_out(self.topology, flush)
        mend(self.topology, link)
        self.until_there()

    def until_there(self) -> None:
        """Wait for what was killed: how long a start takes on a busy machine is not held here."""
        until(lambda: self._has_started() or self._has_ended(), 4 * LONG)
        if self._has_ended():
            raise Violation("the daemon has ended")

    def _has_started(self) -> bool:
        return bool(self._daemon.status.get("pid") == self._daemon.process.pid)

    def _has_ended(self) -> bool:
        return self._daemon.process.poll() is not None

    def check(self) -> None:
        """Nothing has ended by itself."""
        self._daemon.hear()
        log = self._daemon.log.read_text()
        if self._daemon.process.poll() is not None or "Traceback" in log:
            raise Violation(f"the daemon has ended:\n{log[-3000:]}")

    def status(self) -> dict[str, Any]:
        """What the daemon says of itself."""
        return self._daemon.status

    def said(self) -> str:
        """The daemon's log."""
        return self._daemon.log.read_text()


class GuestLab:
    """A whole guest: systemd restarts the daemon, its manager manages the links."""

    def __init__(self, stack: contextlib.ExitStack, manager: str) -> None:
        from tests.boot.single import built_guest

        self._manager = manager
        self._guest, _ = built_guest(stack, manager)
        self.topology, root = self._guest.topology, self._guest.root
        self._guest.set("gateway: {recheck_interval: 10s}\n")
        self.api = self._guest.emulate(TIMELINE)
        stack.enter_context(self._guest.boot())
        self._guest.until_active("rcnetd.service")
        self._files = {
            path: path.read_bytes()
            for path in (root / "etc").rglob("*")
            if path.is_file() and {"netplan", "network", "system-connections"} & set(path.parts)
        }

    def _run(self, *command: str) -> Blow:
        def call() -> None:
            self._guest.call(*command)

        return call

    def rewrite(self) -> None:
        """As nova-agent does: all files as they were, then everything restarted."""
        for path, data in self._files.items():
            path.write_bytes(data)

    def blows(self) -> dict[str, Blow]:
        """What can happen here only."""
        found = {
            "SIGKILL": self._run("systemctl", "kill", "--signal=KILL", "rcnetd"),
            "restart": self._run("systemctl", "--no-block", "restart", "rcnetd"),
            "reload": self._run("systemctl", "--no-block", "reload", "rcnetd"),
            "an agent writes the files anew": self.rewrite,
            "persist": self._run("rcnetctl", "persist"),
            "daemon-reexec": self._run("systemctl", "daemon-reexec"),
            "D-Bus is restarted": self._run("systemctl", "restart", "dbus"),
        }
        restarts = {
            "netplan": "systemd-networkd", "networkd": "systemd-networkd",
            "network-manager": "NetworkManager",
        }  # fmt: skip
        if self._manager in restarts:
            unit = restarts[self._manager]
            found[f"restart {unit}"] = self._run("systemctl", "restart", unit)
        if self._manager == "netplan":
            found["netplan apply"] = self._run("netplan", "apply")
        return found

    def calm(self) -> None:
        """The manager brings back the most; the rest is done as a person would."""
        mend(self.topology, "eth1")
        self.until_there()

    def until_there(self) -> None:
        """Wait for what was killed: it comes back after RestartSec=."""
        until(lambda: self._guest.show("rcnetd.service", "MainPID") != "0", 4 * LONG)

    def check(self) -> None:
        """systemd has not given up, and nothing was raised. Not ready is no fault of ours here."""
        going = ("active", "activating", "reloading")
        until(lambda: self._guest.show("rcnetd.service", "ActiveState") in going, LONG)
        if "Traceback" in self.said():
            raise Violation("the daemon has ended")

    def status(self) -> dict[str, Any]:
        """What the daemon says of itself."""
        return self._guest.status

    def said(self) -> str:
        """The daemon's log."""
        return self._guest.run("journalctl", "-u", "rcnetd", "--no-pager", "-o", "cat")
