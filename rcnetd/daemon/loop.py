"""The daemon: a thin shell that turns the world into events and actions into calls.

One select loop over the netlink subscription, the fetcher's pipe, signals and the points in time
that the core asks for. It never blocks and holds no policy: every decision is in `core/machine.py`.
"""

from __future__ import annotations

import contextlib
import os
import random
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from math import inf
from pathlib import Path
from typing import Any

from rcnetd import __version__
from rcnetd.config.fragments import ConfigError
from rcnetd.core.actions import (
    Action,
    AddRoute,
    Fetch,
    HoldRequests,
    Log,
    NoteRepair,
    NotifyReady,
    ProbeNeighbour,
    PublishRoute,
    ReleaseFetcher,
    RemoveRoutes,
    SaveLastGood,
    Stop,
    TakeLinkDown,
)
from rcnetd.core.events import (
    Answered,
    BudgetObserved,
    Event,
    NetworkObserved,
    NoSlot,
    Reconfigured,
    RouteChangeFailed,
)
from rcnetd.core.lastgood import Identity
from rcnetd.core.machine import Machine
from rcnetd.core.pacing import RESERVED
from rcnetd.core.routes import describe
from rcnetd.core.settings import Metadata, Settings
from rcnetd.daemon.journal import Journal
from rcnetd.daemon.notify import Notifier
from rcnetd.daemon.status import answer_fields, document, status_text
from rcnetd.fetcher.fetcher import Fetcher
from rcnetd.netlink.kernel import Kernel, Monitor, NetlinkError
from rcnetd.store.budget import Budget
from rcnetd.store.lastgood import load, machine_id, save
from rcnetd.store.ledger import Ledger, Slot
from rcnetd.store.paths import Paths
from rcnetd.store.runtime import RuntimeFiles
from rcnetd.store.timeline import Timeline

KILL_AFTER = 2.0  # seconds past its own time limit after which the fetcher is killed
EXTEND_INTERVAL, EXTEND_BY = 10.0, 30.0  # seconds, while systemd waits for READY
NOTIFY_RETRY_DELAY = 0.1  # seconds; systemd was too busy to listen
LIVE = {"at", "status"}  # of the status: no news by themselves
STATUS_INTERVAL = 5.0  # seconds between refreshes of what is live in STATUS=, until ready
MAX_READINGS = 8  # readings in a row before the other descriptors have their turn


class Daemon:
    """One run of rcnetd, from its first reading of the kernel to its exit code."""

    def __init__(
        self,
        settings: Settings,
        metadata: Metadata,
        endpoint: str,
        paths: Paths,
        journal: Journal,
        reload: Callable[[], tuple[Settings, str]],
        fetcher: Fetcher,
    ) -> None:
        """*reload* reads the settings again: they and the endpoint, or a `ConfigError`."""
        self._fetcher = fetcher
        self._journal = journal
        self._reload = reload
        self._paths = paths
        self._timeline = Timeline(paths.timeline)
        self._records = RuntimeFiles(paths)
        self._notifier = Notifier(os.environ)
        self._ledger = self._open_ledger(settings)
        self._monitor = Monitor()  # subscribe first, then read
        self._kernel = Kernel()
        # The system's entropy, not a seed that servers of one image share.
        chance = random.SystemRandom().random
        memory, warnings = load(paths.last_good)
        for warning in warnings:
            journal.log("warning", warning)
        self._machine = Machine(
            settings,
            metadata,
            Identity(machine_id(), endpoint),
            memory,
            now=time.monotonic(),
            jitter=chance,
        )
        self._selector = selectors.DefaultSelector()
        self._fetcher_fd: int | None = None
        self._slot: Slot | None = None
        self._sent_at = 0.0
        self._stopping = False
        self._state = self._machine.state
        self._answers: dict[str, dict[str, Any]] = {}
        self._document: dict[str, Any] = {}
        self._complaints: set[str] = set()
        self._status = ""
        self._status_at = self._extended_at = self._watchdog_at = -inf

    def _open_ledger(self, settings: Settings) -> Ledger:
        return Ledger(self._paths.requests, settings.requests_per_minute)

    def run(self) -> int:
        """Run until SIGTERM, SIGINT or the core's own end; returns the exit code."""
        wake_read, wake_write = socket.socketpair()
        wake_read.setblocking(False)
        wake_write.setblocking(False)
        signal.set_wakeup_fd(wake_write.fileno())
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        self._selector.register(wake_read, selectors.EVENT_READ, self._signalled)
        self._selector.register(self._monitor, selectors.EVENT_READ, self._monitor.drain)
        self._timeline.add(time.monotonic(), "started", pid=os.getpid(), version=__version__)
        try:
            self._observe()
            self._say()
            while self._machine.exit is None and not self._stopping:
                self._turn()
        finally:
            self._end()
            signal.set_wakeup_fd(-1)
            wake_read.close()
            wake_write.close()
        return self._machine.exit.exit_code if self._machine.exit else 0

    # The loop

    def _turn(self) -> None:
        """Wait for whatever comes first, and deal with it."""
        self._watch_fetcher()
        look_again = False
        for key, _ in self._selector.select(self._time_left()):
            if key.data == self._monitor.drain:
                look_again = self._monitor.drain() or look_again
            elif key.data == self._signalled:
                self._signalled(key.fileobj)
            else:
                self._take_answer(self._fetcher.receive())
        now = time.monotonic()
        if self._fetcher.deadline_at is not None and now >= self._fetcher.deadline_at:
            self._take_answer(self._fetcher.expire())
        if look_again or now >= self._machine.wake_at:
            self._observe()
        self._say()

    def _time_left(self) -> float:
        now = time.monotonic()
        points = [self._machine.wake_at]
        if self._fetcher.deadline_at is not None:
            points.append(self._fetcher.deadline_at)
        if not self._machine.is_ready:
            points += [self._status_at + STATUS_INTERVAL, self._extended_at + EXTEND_INTERVAL]
        if self._notifier.watchdog_interval is not None:
            points.append(self._watchdog_at + self._notifier.watchdog_interval)
        if self._notifier.is_waiting:
            points.append(now + NOTIFY_RETRY_DELAY)
        return max(0.0, min(points) - now)

    def _watch_fetcher(self) -> None:
        """The fetcher comes and goes: select on the pipe of the one that is there."""
        current = self._fetcher.fileno()
        if current == self._fetcher_fd:
            return
        if self._fetcher_fd is not None:
            self._selector.unregister(self._fetcher_fd)
        if current is not None:
            self._selector.register(current, selectors.EVENT_READ, self._fetcher)
        self._fetcher_fd = current

    def _signalled(self, wake: Any) -> None:
        numbers = wake.recv(64)
        self._stopping = signal.SIGTERM in numbers or signal.SIGINT in numbers
        if signal.SIGHUP in numbers and not self._stopping:
            self._read_settings()

    def _read_settings(self) -> None:
        """Go on with what the settings are now; with those of before, if they are wrong."""
        machine = self._machine
        if machine.is_ready:
            self._notifier.reloading(time.monotonic(), "reading the settings")
        try:
            settings, endpoint = self._reload()
        except ConfigError as error:
            self._journal.log("error", f"{error}; keeping the settings of before")
        else:
            self._close_fetcher()
            self._ledger = self._open_ledger(settings)
            self._fetcher = Fetcher.started(settings, endpoint)
            identity = Identity(machine.facts.identity.machine_id, endpoint)
            self._handle(Reconfigured(settings, identity))
            self._observe()
        if machine.is_ready:
            self._notifier.ready(status_text(machine, time.monotonic()))

    def _close_fetcher(self) -> None:
        """End it with the request that is on its way; that counts as one that was sent."""
        if self._slot is not None:
            slot, self._slot = self._slot, None
            with contextlib.suppress(OSError):  # the ledger gives the slot up by itself
                self._ledger.end(slot)
        if self._fetcher_fd is not None:
            self._selector.unregister(self._fetcher_fd)
            self._fetcher_fd = None
        self._fetcher.close()

    # The world into events

    def _observe(self) -> None:
        """Read the kernel and tell the core, until it has nothing more to change or to ask."""
        for _ in range(MAX_READINGS):
            query = self._machine.query
            try:
                network = self._kernel.read(query)
            except NetlinkError as error:
                self._journal.log("warning", f"{error}, reading again")
                return
            changed = self._handle(NetworkObserved(network))
            self._monitor.watch_neighbours(self._machine.query.neighbour is not None)
            if not changed and self._machine.query == query:
                return

    def _take_answer(self, answer: Answered | None) -> None:
        if answer is None:
            return
        now = time.monotonic()
        if self._slot is not None:
            slot, self._slot = self._slot, None
            try:
                self._handle(_budget_observed(self._ledger.end(slot)))
            except OSError as error:
                self._complain(self._paths.requests, error)
        took, name = round(now - self._sent_at, 6), answer.operation.value
        fields = answer_fields(answer)
        self._answers[name] = {**fields, "at": now}
        self._timeline.add(now, "answer", operation=name, took=took, **fields)
        query = self._machine.query
        if self._handle(answer) or self._machine.query != query:
            self._observe()

    def _handle(self, event: Event) -> bool:
        """Give *event* to the core and carry out what it says; True if the kernel was changed."""
        events, changed = deque([event]), False
        while events:
            actions = self._machine.handle(events.popleft(), time.monotonic())
            self._note_state()
            for action in actions:
                changed = isinstance(action, CHANGES) or changed
                events.extend(self._carry_out(action))
        return changed

    # Actions into calls

    def _carry_out(self, action: Action) -> Iterable[Event]:
        return CARRY_OUT[type(action)](self, action)

    def _log(self, action: Log) -> Iterable[Event]:
        self._journal.log(action.level, action.text)
        if action.level != "debug":
            now = time.monotonic()
            self._timeline.add(now, "log", level=action.level, text=action.text)
        return ()

    def _fetch(self, action: Fetch) -> Iterable[Event]:
        deadline = action.timeout + KILL_AFTER
        try:
            slot, budget = self._ledger.take(deadline=deadline, reserve=RESERVED)
        except OSError as error:
            self._complain(self._paths.requests, error)
            return (NoSlot(action.operation),)
        if slot is None:
            return (_budget_observed(budget), NoSlot(action.operation))
        self._slot, self._sent_at = slot, time.monotonic()
        self._fetcher.submit(
            action.operation,
            source=action.source,
            device=action.device,
            address=action.address,
            timeout=action.timeout,
            deadline_at=self._sent_at + deadline,
        )
        self._timeline.add(self._sent_at, "request", operation=action.operation.value)
        return (_budget_observed(budget),)

    def _hold_requests(self, action: HoldRequests) -> Iterable[Event]:
        try:
            return (_budget_observed(self._ledger.block(action.seconds)),)
        except OSError as error:
            self._complain(self._paths.requests, error)
            return ()

    def _release_fetcher(self, _: ReleaseFetcher) -> Iterable[Event]:
        self._fetcher.close()
        return ()

    def _probe(self, action: ProbeNeighbour) -> Iterable[Event]:
        self._monitor.watch_neighbours(True)
        return self._change(self._kernel.probe_neighbour, action.ifindex, action.address)

    def _add(self, action: AddRoute) -> Iterable[Event]:
        network = self._machine.facts.network
        link = network.link(action.ifindex)
        text = f"added {action.destination} via {action.gateway} dev {link.name if link else '?'}"
        return self._change(self._kernel.add_route, action, text=text)

    def _remove(self, action: RemoveRoutes) -> Iterable[Event]:
        network = self._machine.facts.network
        try:
            self._records.removed(action.record, network)
        except OSError as error:
            return (RouteChangeFailed(f"Failed to record the routes to remove: {error}"),)
        for route in action.routes:
            text = f"removed {describe(route, network)}"
            refused = self._change(self._kernel.remove_route, route, text=text)
            if refused:
                return refused
        return ()

    def _take_down(self, action: TakeLinkDown) -> Iterable[Event]:
        link = self._machine.facts.network.link(action.ifindex)
        if link is None:
            return ()
        try:
            self._records.taken_down(link, action.addresses)
        except OSError as error:
            return (RouteChangeFailed(f"Failed to record '{link.name}': {error}"),)
        return self._change(
            self._kernel.take_link_down, action.ifindex, text=f"set '{link.name}' down"
        )

    def _change(self, call: Callable[..., None], *args: Any, text: str = "") -> tuple[Event, ...]:
        try:
            call(*args)
        except NetlinkError as error:
            return (RouteChangeFailed(str(error)),)
        if text:
            self._timeline.add(time.monotonic(), "change", text=text)
        return ()

    def _write_route(self, action: PublishRoute) -> Iterable[Event]:
        link = self._machine.facts.network.link(action.ifindex)
        try:
            self._records.in_effect(link, action.gateway, action.settings)
        except OSError as error:
            self._complain(self._paths.route, error)
        return ()

    def _remember(self, action: SaveLastGood) -> Iterable[Event]:
        try:
            save(self._paths.last_good, action.last_good)
        except OSError as error:
            self._complain(self._paths.last_good, error)
        return ()

    def _ready(self, _: NotifyReady) -> Iterable[Event]:
        self._say()  # who is started by READY finds the status of a ready server
        self._notifier.ready(status_text(self._machine, time.monotonic()))
        self._timeline.add(time.monotonic(), "ready")
        try:
            self._records.ready(os.getpid())
        except OSError as error:
            self._complain(self._paths.ready, error)
        return ()

    def _note_repair(self, action: NoteRepair) -> Iterable[Event]:
        count, text = self._machine.guard.repairs, action.reason
        self._timeline.add(time.monotonic(), "repair", kind=action.kind, count=count, text=text)
        return ()

    def _nothing(self, _: Stop) -> Iterable[Event]:
        return ()  # `run` looks at `Machine.exit`

    # What we say

    def _note_state(self) -> None:
        if self._machine.state is not self._state:
            self._state = self._machine.state
            self._timeline.add(
                time.monotonic(), "state", state=self._state.name, text=self._state.value
            )

    def _say(self) -> None:
        """Keep systemd, `status.json` and the watchdog up to date: after a healthy turn only."""
        now = time.monotonic()
        text = status_text(self._machine, now)
        ready = self._machine.is_ready
        content = document(self._machine, pid=os.getpid(), now=now, answers=self._answers)
        news = {name: content[name] for name in content.keys() - LIVE}
        if news != self._document or (not ready and now >= self._status_at + STATUS_INTERVAL):
            self._document, self._status_at = news, now
            self._write_status(content)
            if text != self._status:
                self._status = text
                self._notifier.status(text)
        if not ready and now >= self._extended_at + EXTEND_INTERVAL:
            self._extended_at = now
            self._notifier.extend_timeout(EXTEND_BY)
        interval = self._notifier.watchdog_interval
        if interval is not None and now >= self._watchdog_at + interval:
            self._watchdog_at = now
            self._notifier.watchdog()
        self._notifier.flush()

    def _write_status(self, content: dict[str, Any]) -> None:
        try:
            self._records.status(content)
        except OSError as error:
            self._complain(self._paths.status, error)

    def _complain(self, path: Path, error: OSError) -> None:
        """A file of ours cannot be written: say so once; the route matters more."""
        text = f"Failed to write '{path}': {error.strerror or error}, going on without"
        if text not in self._complaints:
            self._complaints.add(text)
            self._journal.log("error", text)

    def _end(self) -> None:
        """Leave nothing behind but the routes: they are what the server is reached by."""
        machine = self._machine
        text = machine.exit.reason if machine.exit else "stopping, the default route stays"
        self._notifier.stopping(text)
        now = time.monotonic()
        self._timeline.add(now, "stopping", text=text)
        content = document(machine, pid=os.getpid(), now=now, answers=self._answers)
        self._write_status({**content, "pid": None, "status": text})
        self._fetcher.close()
        self._monitor.close()
        self._kernel.close()
        self._selector.close()


def _budget_observed(budget: Budget) -> BudgetObserved:
    return BudgetObserved(budget.free_in, budget.blocked_for)


CHANGES = (AddRoute, RemoveRoutes, TakeLinkDown, ProbeNeighbour)
CARRY_OUT: dict[type[Action], Callable[[Daemon, Any], Iterable[Event]]] = {
    Log: Daemon._log,
    NoteRepair: Daemon._note_repair,
    Fetch: Daemon._fetch,
    HoldRequests: Daemon._hold_requests,
    ReleaseFetcher: Daemon._release_fetcher,
    ProbeNeighbour: Daemon._probe,
    AddRoute: Daemon._add,
    RemoveRoutes: Daemon._remove,
    TakeLinkDown: Daemon._take_down,
    PublishRoute: Daemon._write_route,
    NotifyReady: Daemon._ready,
    SaveLastGood: Daemon._remember,
    Stop: Daemon._nothing,
}
