"""The daemon: a thin shell that turns the world into events and actions into calls.

One select loop over the netlink subscription, the fetcher's pipe, signals and the points in time
that the core asks for. It never blocks and holds no policy: every decision is in `core/machine.py`.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rcnetd import __version__
from rcnetd.basic.clock import ClockWatch
from rcnetd.basic.inotify import FileWatch
from rcnetd.config.fragments import ConfigError
from rcnetd.core.actions import (
    AbandonRequest,
    Action,
    AddRoute,
    Fetch,
    HoldRequests,
    Log,
    NoteRepair,
    NotifyReady,
    ProbeNeighbour,
    PublishRoute,
    RecordPublic,
    ReleaseFetcher,
    RemoveRoutes,
    RestartRequest,
    SaveLastGood,
    Stop,
    TakeLinkDown,
)
from rcnetd.core.events import (
    DependenciesChanged,
    Event,
    NetworkObserved,
    Reconfigured,
    RouteChangeFailed,
)
from rcnetd.core.fight import Repeats
from rcnetd.core.lastgood import Identity
from rcnetd.core.machine import Machine
from rcnetd.core.routes import describe
from rcnetd.core.settings import Metadata, Settings
from rcnetd.core.states import State
from rcnetd.daemon.journal import Journal
from rcnetd.daemon.notify import Notifier
from rcnetd.daemon.reporter import Reporter
from rcnetd.daemon.requests import Requests
from rcnetd.fetcher.fetcher import Fetcher
from rcnetd.netlink.kernel import Kernel, Monitor, NetlinkError
from rcnetd.store.lastgood import load, machine_id, save
from rcnetd.store.paths import Paths
from rcnetd.store.runtime import RuntimeFiles
from rcnetd.store.timeline import Timeline

RESOLV_CONF = Path("/etc/resolv.conf")
READ_RETRY_DELAY = 0.1  # seconds until a reading that has failed is tried again
MAX_READINGS = 8  # in a row before the other descriptors have their turn


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
        self._journal, self._reload, self._paths = journal, reload, paths
        self._warned: set[str] = set()
        self._unwritten: dict[Path, Callable[[], None]] = {}
        self._timeline = Timeline(paths.timeline)
        self._repeats = Repeats()
        self._files = RuntimeFiles(paths)
        self._reporter = Reporter(paths, self._files, Notifier(os.environ), self._warn_once)
        self._requests = Requests(
            paths, settings, fetcher, self._timeline, self._warn_once, self._reporter.tally
        )
        self._monitor = Monitor()  # subscribe first, then read
        self._kernel = Kernel(keep=True)
        self._dependencies = _dependencies()
        last_good, warnings = load(paths.last_good)
        for warning in warnings:
            journal.log("warning", warning)
        self._machine = Machine(
            settings,
            metadata,
            Identity(machine_id(), endpoint),
            last_good,
            was_ready=self._files.was_ready(),
            was_not_rackconnected=self._files.ready_state() == State.NOT_RACKCONNECTED.name,
            public=self._files.read_public(),
            now=time.monotonic(),
            jitter=_chance,
        )
        self._selector = selectors.DefaultSelector()
        self._fetcher_fd: int | None = None
        self._retry_at: float | None = None  # a reading has failed
        self._stopping = False
        self._state = self._machine.state

    def run(self) -> int:
        """Run until SIGTERM, SIGINT or the core's own end; returns the exit code."""
        wake_read, wake_write = socket.socketpair()
        wake_read.setblocking(False)
        wake_write.setblocking(False)
        signal.set_wakeup_fd(wake_write.fileno())
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        self._selector.register(wake_read, selectors.EVENT_READ, self._on_signal)
        self._selector.register(self._monitor, selectors.EVENT_READ, self._monitor)
        for watch in self._dependencies:
            self._selector.register(watch, selectors.EVENT_READ, watch)
        self._timeline.add(time.monotonic(), "started", pid=os.getpid(), version=__version__)
        try:
            self._observe()
            self._report()
            self._kernel.prepare()  # while the API is being asked
            while self._machine.exit is None and not self._stopping:
                self._iterate()
        finally:
            self._end()
            signal.set_wakeup_fd(-1)
            wake_read.close()
            wake_write.close()
        return self._machine.exit.exit_code if self._machine.exit else 0

    # The loop

    def _iterate(self) -> None:
        """Wait for whatever comes first, and deal with it."""
        self._watch_fetcher()
        look_again = False
        for key, _ in self._selector.select(self._time_left()):
            if key.data is self._monitor:
                look_again = self._monitor.drain() or look_again
            elif key.data in self._dependencies:
                if key.data.drain():
                    self._handle(DependenciesChanged())
            elif key.data == self._on_signal:
                self._on_signal(key.fileobj)
            else:
                self._take_answer(*self._requests.receive())
        now = time.monotonic()
        if self._requests.deadline_at is not None and now >= self._requests.deadline_at:
            self._take_answer(*self._requests.expire())
        if now >= self._observe_at:
            self._monitor.links_changed = True  # no message has told; read all there is
            look_again = True
        if look_again:
            self._observe()
        self._report()

    def _time_left(self) -> float:
        now = time.monotonic()
        points = [
            self._observe_at,
            self._reporter.wake_at(now, is_ready=self._machine.is_ready),
        ]
        if self._requests.deadline_at is not None:
            points.append(self._requests.deadline_at)
        return max(0.0, min(points) - now)

    @property
    def _observe_at(self) -> float:
        """When to read the kernel even if it tells nothing."""
        return self._machine.wake_at if self._retry_at is None else self._retry_at

    def _watch_fetcher(self) -> None:
        """The fetcher comes and goes: select on the pipe of the one that is there."""
        current = self._requests.fileno()
        if current == self._fetcher_fd:
            return
        if self._fetcher_fd is not None:
            self._selector.unregister(self._fetcher_fd)
        if current is not None:
            self._selector.register(current, selectors.EVENT_READ, self._requests)
        self._fetcher_fd = current

    def _on_signal(self, wake: Any) -> None:
        numbers = wake.recv(64)
        self._stopping = signal.SIGTERM in numbers or signal.SIGINT in numbers
        if signal.SIGHUP in numbers and not self._stopping:
            self._read_settings()

    def _read_settings(self) -> None:
        """Go on with what the settings are now; with the previous ones if they are wrong."""
        machine = self._machine
        if machine.is_ready:
            self._reporter.reloading()
        try:
            settings, endpoint = self._reload()
        except ConfigError as error:
            self._journal.log("error", f"{error}; keeping the previous settings")
        else:
            if self._fetcher_fd is not None:
                self._selector.unregister(self._fetcher_fd)
                self._fetcher_fd = None
            self._requests.reconfigure(settings, endpoint)
            identity = Identity(machine.facts.identity.machine_id, endpoint)
            self._handle(Reconfigured(settings, identity))
            self._observe()
        if machine.is_ready:
            self._reporter.reloaded(machine.snapshot(time.monotonic()))

    # The world into events

    def _observe(self) -> None:
        """Read the kernel and tell the core, until it has nothing more to change or to ask."""
        self._write_again()
        query = self._machine.query
        for number in range(MAX_READINGS):
            if number > 0:
                self._monitor.drain()  # of our own change above all, which the next reading shows
            links_changed, self._monitor.links_changed = self._monitor.links_changed, False
            try:
                network = self._kernel.read(query, links_changed=links_changed)
            except NetlinkError as error:
                self._read_failed(error)
                return
            self._retry_at = None
            changed = self._handle(NetworkObserved(network))
            before, query = query, self._machine.query
            self._monitor.watch_neighbours(query.neighbour is not None)
            self._monitor.watch_routes(self._machine.awaits_api)
            self._monitor.watch_ipv6(query.ipv6)
            if not changed and query == before:
                return

    def _read_failed(self, error: NetlinkError) -> None:
        """Read again soon: what was drained tells no second time."""
        self._retry_at = time.monotonic() + READ_RETRY_DELAY
        text = f"{error}, reading again"
        if text not in self._warned:
            self._warned.add(text)
            self._journal.log("warning", text)

    def _take_answer(self, answer: Event | None, observed: Iterable[Event]) -> None:
        for event in observed:
            self._handle(event)
        if answer is None:
            return
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
        return CARRY_OUT[type(action)](self, action) or ()

    def _log(self, action: Log) -> None:
        self._journal.log(action.level, action.text)
        if action.level != "debug":
            self._note("log", level=action.level, text=action.text)

    def _fetch(self, action: Fetch) -> Iterable[Event]:
        return self._requests.fetch(action)

    def _abandon_request(self, _: AbandonRequest) -> Iterable[Event]:
        return self._requests.abandon()

    def _restart_request(self, _: RestartRequest) -> None:
        self._requests.restart()

    def _hold_requests(self, action: HoldRequests) -> Iterable[Event]:
        return self._requests.block(action.seconds)

    def _release_fetcher(self, _: ReleaseFetcher) -> None:
        self._requests.release()

    def _probe(self, action: ProbeNeighbour) -> Iterable[Event]:
        self._monitor.watch_neighbours(True)
        return self._change(self._kernel.probe_neighbour, action.ifindex, action.address)

    def _add(self, action: AddRoute) -> Iterable[Event]:
        via = f" via {action.gateway}" if action.gateway else ""
        link = self._machine.facts.network.link(action.ifindex)
        text = f"added {action.destination}{via} dev {link.name if link else '?'}"
        return self._change(self._kernel.add_route, action, text=text)

    def _remove(self, action: RemoveRoutes) -> Iterable[Event]:
        network = self._machine.facts.network
        self._try(self._paths.removed, lambda: self._files.removed(action.record, network))
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
            self._files.taken_down(link, action.addresses)
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
            self._note_repeated(text, "change", text=text)
        return ()

    def _record_public(self, action: RecordPublic) -> None:
        self._try(self._paths.public, lambda: self._files.public(action.public))

    def _publish_route(self, action: PublishRoute) -> None:
        link = self._machine.facts.network.link(action.ifindex)
        self._try(
            self._paths.route,
            lambda: self._files.in_effect(link, action.gateway, action.settings),
        )

    def _save_last_good(self, action: SaveLastGood) -> None:
        self._try(self._paths.last_good, lambda: save(self._paths.last_good, action.last_good))

    def _ready(self, _: NotifyReady) -> None:
        self._reporter.ready(self._machine.snapshot(time.monotonic()), self._requests.answers)
        state = self._machine.state.name
        self._try(self._paths.ready, lambda: self._files.ready(os.getpid(), state))
        self._note("ready")

    def _note_repair(self, action: NoteRepair) -> None:
        count = self._machine.guard.repairs
        self._note_repeated(
            action.kind, "repair", kind=action.kind, count=count, text=action.reason
        )

    def _stop(self, _: Stop) -> None:
        """`run` looks at `Machine.exit`."""

    # What we say

    def _note(self, event: str, **fields: Any) -> None:
        self._timeline.add(time.monotonic(), event, **fields)

    def _note_repeated(self, key: str, event: str, **fields: Any) -> None:
        """Repairs in a row must not push the boot out of the timeline."""
        if self._repeats.is_noted(f"{event} {key}", time.monotonic()):
            self._note(event, **fields)

    def _note_state(self) -> None:
        if self._machine.state is not self._state:
            self._state = self._machine.state
            self._note("state", state=self._state.name, text=self._state.value)

    def _report(self) -> None:
        self._reporter.confinement = self._requests.confinement
        self._reporter.tell(self._machine.snapshot(time.monotonic()), self._requests.answers)

    def _try(self, path: Path, write: Callable[[], None]) -> None:
        """Write a file; what fails is tried again with each reading of the kernel."""
        self._unwritten.pop(path, None)
        try:
            write()
        except OSError as error:
            self._unwritten[path] = write
            self._warn_once(path, error)

    def _write_again(self) -> None:
        for path, write in tuple(self._unwritten.items()):
            self._try(path, write)

    def _warn_once(self, path: Path, error: OSError) -> None:
        """A file of ours cannot be used: say so once; the route matters more."""
        text = f"Failed to write '{path}': {error.strerror or error}, going on without"
        if text not in self._warned:
            self._warned.add(text)
            self._journal.log("error", text)

    def _end(self) -> None:
        """Leave nothing behind but the routes: they are what the server is reached by."""
        machine = self._machine
        text = machine.exit.reason if machine.exit else "stopping, the default route stays"
        self._note("stopping", text=text)
        snapshot = machine.snapshot(time.monotonic())
        self._reporter.stopping(snapshot, self._requests.answers, text)
        self._requests.close()
        for watch in self._dependencies:
            watch.close()
        self._monitor.close()
        self._kernel.close()
        self._selector.close()


def _dependencies() -> list[FileWatch | ClockWatch]:
    """What tells that a request could succeed now; without a clock's word, its backoff ends."""
    watches: list[FileWatch | ClockWatch] = [FileWatch(RESOLV_CONF)]
    with contextlib.suppress(OSError):
        watches.append(ClockWatch())
    return watches


def _chance() -> float:
    """A number in [0, 1) by the system's entropy: no seed that servers of one image share.

    As `random.SystemRandom` makes it, which takes 1.2 ms to load.
    """
    return (int.from_bytes(os.urandom(7), "big") >> 3) * 2.0**-53


CHANGES = (AddRoute, RemoveRoutes, TakeLinkDown, ProbeNeighbour)
CARRY_OUT: dict[type[Action], Callable[[Daemon, Any], Iterable[Event] | None]] = {
    Log: Daemon._log,
    NoteRepair: Daemon._note_repair,
    Fetch: Daemon._fetch,
    AbandonRequest: Daemon._abandon_request,
    RestartRequest: Daemon._restart_request,
    HoldRequests: Daemon._hold_requests,
    ReleaseFetcher: Daemon._release_fetcher,
    ProbeNeighbour: Daemon._probe,
    AddRoute: Daemon._add,
    RemoveRoutes: Daemon._remove,
    TakeLinkDown: Daemon._take_down,
    RecordPublic: Daemon._record_public,
    PublishRoute: Daemon._publish_route,
    NotifyReady: Daemon._ready,
    SaveLastGood: Daemon._save_last_good,
    Stop: Daemon._stop,
}
