"""A server of the small cloud: its API, and what it says of itself from within."""

from __future__ import annotations

import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

from rcnetd.emulator.certificates import NAMES, Authority
from rcnetd.emulator.testing import RunningEmulator, emulator
from rcnetd.lab.topology import API, Topology
from tests.support.waiting import until

BOOT = 60.0  # seconds; a boot takes some


class Server(ABC):
    """Boots somewhere, and can run programs once it has."""

    patience = BOOT

    def __init__(self, topology: Topology, authority: Authority) -> None:
        self.topology = topology
        self._authority = authority
        self._stack = contextlib.ExitStack()
        self.api: RunningEmulator

    @abstractmethod
    def run(self, *command: str, check: bool = True) -> str:
        """Run a program in the booted server; returns what it printed."""

    def emulate(self, timeline: str) -> RunningEmulator:
        """Serve the API under its real names, over TLS that the image trusts."""
        self.silence()
        context = self._authority.context(NAMES)
        with self.topology.api:
            self.api = self._stack.enter_context(
                emulator(timeline, host=str(API), port=443, context=context)
            )
        return self.api

    def silence(self) -> None:
        """End the API: connections are refused."""
        self._stack.close()

    # From inside: systemd and rcnetd

    def show(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.run("systemctl", "show", "--value", "-p", name, unit).strip()

    def is_active(self, unit: str) -> bool:
        """Whether a unit is active."""
        return self.show(unit, "ActiveState") == "active"

    def is_in_file(self, text: str, path: str) -> bool:
        """Whether a file of the booted guest has this text."""
        return text in self.run("cat", path, check=False)

    def until_active(self, *units: str) -> None:
        """Wait for these units."""
        for unit in units:
            self.until(partial(self.is_active, unit))

    def result(self, unit: str) -> tuple[str, int]:
        """The unit's present state, and the exit code of its main process's last end."""
        return self.show(unit, "ActiveState"), int(self.show(unit, "ExecMainStatus") or 0)

    def since_boot(self, unit: str) -> float:
        """When the unit became active, in CLOCK_MONOTONIC seconds; 0 if it never did."""
        return int(self.show(unit, "ActiveEnterTimestampMonotonic") or 0) / 1e6

    @property
    def status(self) -> dict[str, Any]:
        """rcnetd's `status.json`, {} before there is one."""
        text = self.run("cat", "/run/rcnetd/status.json", check=False)
        content: dict[str, Any] = json.loads(text) if text else {}
        return content

    @property
    def journal(self) -> str:
        """What the guest's journal has, for a message of a failed test."""
        return self.run("journalctl", "-b", "--no-pager", "-n", "60", check=False)

    def until(self, claim: Callable[[], object], timeout: float = 0.0) -> float:
        """Wait until *claim* is true, or fail with what the guest has to say."""
        try:
            return until(claim, timeout or self.patience)
        except AssertionError:
            status = self.run("systemctl", "status", "--no-pager", "rcnetd*", check=False)
            raise AssertionError(f"it never came\n{status}\n{self.journal}") from None
