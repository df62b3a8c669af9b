"""The parent's side of the fetcher: starts it, asks it, reads its answers, ends it. Never blocks.

The rule: the fetcher is trusted less than we are. It reads what the network sends, so each of its
lines is checked like anything from outside, and a line that is not in its protocol is its end. The
protocol is described in `rcnetd.fetcher.process`.

One request is on its way at a time. At its deadline the fetcher is killed: no resolver library can
be relied on to give up in time. So is one whose request starts over, once a second process has
loaded that takes it.
"""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import time
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import urlsplit

from rcnetd.api.errors import PHASES
from rcnetd.api.parse import FORMATS
from rcnetd.basic.dataclass import dataclass
from rcnetd.basic.text import quoted
from rcnetd.core.events import Answered, RequestFailed
from rcnetd.core.model import Operation
from rcnetd.core.settings import Settings
from rcnetd.fetcher.child import MAX_REPLY_SIZE, Child
from rcnetd.fetcher.protocol import BodyReceived, Confined, Progress, understand
from rcnetd.fetcher.spawn import spawn

__all__ = ["BodyReceived", "Fetcher", "fetch_once"]

MAX_REQUEST_SIZE = 4096  # bytes; PIPE_BUF: written at once or not at all
EXIT_GRACE = 0.2  # seconds for an exit code of its own
UNCONNECTED = ("starting", "resolving", "connecting")  # of `PHASES`: nothing was sent yet
RESOLVE_TIMEOUT = 45.0  # seconds more for looking up the name: the resolver has its own time-outs
# Seconds without a connection after which another process loads, for `restart`; and how often what
# the process took to begin is added: a busy machine is slow, and gets no more to do by this.
SPARE_AFTER, SPARE_PATIENCE = 0.5, 10
EXPIRE_AFTER = 2.0  # seconds past its own time-out after which the fetcher is killed


@dataclass(frozen=True)
class _Request:
    operation: Operation
    raw: bool
    timeout: float


class Fetcher:
    """The fetcher process, there when needed: started ahead or by a request, gone after `close`.

    *endpoint*, *ca_file* and *api_address* are as for `rcnetd.api.client.Client`; *process* is one
    that was spawned already.

    Select on `fileno`, call `receive` when it is readable and `expire` when `deadline_at`
    (monotonic seconds, None without a request) has come. Exactly one answer follows each request.
    A request that hangs may have to start over, and a process takes some 0.1 s to load: with
    *spare* another one loads meanwhile.
    Looking up the API's name may take *resolve_timeout* seconds more. `confinement` is the word of
    the last process.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        ca_file: str | Path | None = None,
        api_address: IPv4Address | None = None,
        resolve_timeout: float = RESOLVE_TIMEOUT,
        process: subprocess.Popen[bytes] | None = None,
        spare: bool = False,
    ) -> None:
        self.confinement: Confined | None = None
        self._resolve_timeout = resolve_timeout
        self._fixed = {
            "endpoint": endpoint,
            "ca_file": None if ca_file is None else str(ca_file),
            "api_address": None if api_address is None else str(api_address),
        }
        self._host = urlsplit(endpoint).hostname or endpoint
        self._wants_spare = spare
        self._spare: Child | None = None
        self._spare_at: float | None = None  # when to start it
        self._spare_after = SPARE_AFTER
        self._handed_at = 0.0
        self._successor: Child | None = None  # has the request, too, and is about to take over
        self._expires_at: float | None = None  # when the request has to be over
        # Children come and go, and the number of a closed pipe is soon another's: whoever selects
        # on us gets one descriptor that stays the same.
        self._poll = select.epoll()
        self._request: _Request | None = None
        self._line = b""  # the request as it was written
        self._trouble = ""  # why the request could not even be handed over
        self._phase = "starting"
        self._resolving_at: float | None = None
        self._child = None if process is None else self._watched(Child(process))

    @classmethod
    def started(
        cls, settings: Settings, endpoint: str, process: subprocess.Popen[bytes] | None = None
    ) -> Fetcher:
        """A fetcher by these settings, which loads its libraries from now on, or *process* does."""
        fetcher = cls(
            endpoint=endpoint,
            ca_file=settings.ca_file,
            api_address=settings.api_address,
            process=process,
            spare=True,
        )
        fetcher.start()
        return fetcher

    def start(self) -> None:
        """Start the process if there is none, ahead of need; returns at once."""
        if self._child is None:
            try:
                self._child = self._watched(Child(spawn(self._fixed["ca_file"])))
            except OSError as error:
                self._trouble = f"Failed to start the fetcher: {error.strerror}"

    def submit(
        self,
        operation: Operation,
        *,
        source: IPv4Address | None,
        device: str | None,
        deadline_at: float,
        timeout: float,
        address: IPv4Address | None = None,
        format: str | None = None,
        raw: bool = False,
    ) -> None:
        """Hand over a request. It may take *timeout* seconds; the process lives to *deadline_at*.

        *address* is connected to instead of asking the resolver, where no `api_address` is fixed.
        *format* is the operation's default unless given. With *raw* the answer is a
        `BodyReceived`. Troubles are not raised: they are the answer.
        """
        assert self._request is None, "one request at a time"
        self._request, self._expires_at = _Request(operation, raw, timeout), deadline_at
        self._resolving_at = None
        request = {
            **self._fixed,
            "api_address": self._fixed["api_address"]
            or (None if address is None else str(address)),
            "operation": operation.value,
            "format": format or FORMATS[operation][0],
            "raw": raw,
            "source": None if source is None else str(source),
            "device": device,
            "timeout": timeout,
            "deadline": time.monotonic() + timeout,
        }
        self._line = json.dumps(request).encode("ascii") + b"\n"
        if self._child is not None and self._child.has_said_something:
            self._stop()  # it died, or babbled, while nobody looked
        self._hand_over()

    def restart(self) -> None:
        """Start the request over, in the time that it has left, if it has no connection yet.

        A second process gets it, and takes over as soon as it has loaded. Until then the one so far
        goes on: pieces come in bursts, and it may get its connection all the same.
        """
        if self._successor is not None and self._successor.has_said_something:
            self._take_over()  # it has begun before what has just come
        if self._child is None or self._request is None or self._phase not in UNCONNECTED:
            return
        has_begun = self._phase != "starting" or self._child.has_said_something
        if self._successor is None and has_begun:  # else it will find what has just come
            self._successor = self._second()

    def _second(self) -> Child | None:
        """The spare, or a new process, with the request; None if there is none to be had."""
        spare, self._spare, self._spare_at = self._spare, None, None
        self._handed_at = time.monotonic()
        for _ in range(2):
            with contextlib.suppress(OSError):
                child = spare or Child(spawn(self._fixed["ca_file"]))
                if child.write(self._line):
                    return self._watched(child)
                child.stop()  # it has died
            spare = None
        return None

    @property
    def deadline_at(self) -> float | None:
        """When to call `expire`, in monotonic seconds; None without a request."""
        times = (self._expires_at, self._spare_at)
        return min((one for one in times if one is not None), default=None)

    @property
    def has_connection(self) -> bool:
        """Whether the request on its way may have reached the API."""
        return self._phase not in UNCONNECTED

    def fileno(self) -> int | None:
        """The descriptor to select on for reading; None when there is no process."""
        return None if self._child is None else self._poll.fileno()

    def receive(self) -> Answered | None:
        """What has come, when `fileno` is readable: the answer, or None if it is not whole yet.

        Without a request it is None too; a process that has died meanwhile is cleared away.
        """
        if self._successor is not None and self._successor.has_said_something:
            self._take_over()
        if self._child is None:
            return None
        lines = self._child.read()
        if lines is None:
            return self._fail(f"the fetcher ended unexpectedly ({self._stop(grace=EXIT_GRACE)})")
        rest = self._child.rest
        if self._request is None:
            said_something = lines or rest
            return self._fail("the fetcher said something unasked") if said_something else None
        for number, line in enumerate(lines, 1):
            try:
                answer = self._understand(line)
            except ValueError as error:
                return self._fail(f"the fetcher broke its protocol: {quoted(str(error))}")
            if answer is not None:
                if number < len(lines) or rest:
                    return self._fail("the fetcher answered more than once")
                return self._answer(answer)
        if len(rest) > MAX_REPLY_SIZE:
            return self._fail("the fetcher does not come to an end")
        return None

    def _answer(self, answer: Answered) -> Answered | None:
        if self._successor is not None and answer.peer is None:
            self._take_over()  # it failed for want of what has come since
            return None
        self._forget()
        return answer

    def expire(self) -> Answered | None:
        """The deadline has come: end the process; the answer is the failure. None: not yet."""
        request = self._request
        assert request is not None, "a request is on its way"
        if self._spare_at is not None and self.deadline_at == self._spare_at:
            self._spare_at = None
            with contextlib.suppress(OSError):  # `restart` can do without
                self._spare = Child(spawn(self._fixed["ca_file"]))
            return None
        if self._trouble:
            reason, self._trouble = self._trouble, ""
            return self._ended(RequestFailed(request.operation, kind="fetcher", reason=reason))
        phase, kind = PHASES[self._phase], "timeout"
        if self._phase == "resolving":
            phase += f" ('{self._host}'); the resolver does not answer"
            kind = "dns"
        reason = f"no answer within {request.timeout:.3g} s, still waiting for {phase}"
        return self._ended(RequestFailed(request.operation, kind=kind, reason=reason))

    def close(self) -> None:
        """End the process and forget the request; does nothing a second time. May be used again."""
        self._stop()
        self._forget()
        self._trouble = ""

    def _forget(self) -> None:
        """The request is over."""
        self._request = self._expires_at = None
        self._end_others()

    def _end_others(self) -> None:
        self._spare_at = None
        if self._spare is not None:
            self._spare.stop()
            self._spare = None
        if self._successor is not None:
            self._poll.unregister(self._successor)
            self._successor.stop()
            self._successor = None

    def _take_over(self) -> None:
        """The successor has the request from now on; the process so far ends."""
        self._stop()
        self._child, self._successor = self._successor, None
        self._phase = "starting"

    def _hand_over(self) -> None:
        """Have the request on its way, or the answer in `expire`."""
        self._phase, self._handed_at = "starting", time.monotonic()
        if not self._write(self._line) and not self._trouble:
            self._stop()  # it does not read any more
            self._write(self._line)
        if self._trouble:
            self._expires_at = time.monotonic()

    def _write(self, line: bytes) -> bool:
        """Whether the process, started if need be, has got the whole line."""
        if len(line) > MAX_REQUEST_SIZE:
            self._trouble = "the request is too long for the fetcher"
            return False
        self._trouble = ""
        self.start()
        return self._child is not None and self._child.write(line)

    def _watched(self, child: Child) -> Child:
        self._poll.register(child, select.EPOLLIN)
        return child

    def _understand(self, line: bytes) -> Answered | None:
        """The event in a line; None for progress. Raises `ValueError`."""
        assert self._request is not None
        reply = understand(line, self._request.operation, raw=self._request.raw)
        if isinstance(reply, Progress):
            self._enter(reply.phase)
            return None
        if isinstance(reply, Confined):
            self.confinement = reply
            return None
        return reply

    def _enter(self, phase: str) -> None:
        """The request has come to *phase*: looking up the name has a time of its own."""
        assert self._expires_at is not None
        now = time.monotonic()
        if self._phase == "starting":
            self._spare_after = SPARE_AFTER + SPARE_PATIENCE * (now - self._handed_at)
        if phase not in UNCONNECTED:
            self._end_others()
        elif self._wants_spare and self._spare is self._successor is None:
            self._spare_at = now + self._spare_after
        if phase == "resolving" and self._resolving_at is None:
            self._resolving_at = now
            self._expires_at += self._resolve_timeout
        elif self._phase == "resolving" and self._resolving_at is not None:
            took = now - self._resolving_at
            self._expires_at += min(took, self._resolve_timeout) - self._resolve_timeout
            self._resolving_at = None
        self._phase = phase

    def _fail(self, reason: str) -> RequestFailed | None:
        """The process is no good: end it; the answer if a request was on its way."""
        request = self._request
        if request is None:
            self._stop()
            return None
        if self._successor is not None:
            self._take_over()
            return None
        return self._ended(RequestFailed(request.operation, kind="fetcher", reason=reason))

    def _ended(self, answer: RequestFailed) -> RequestFailed:
        self.close()
        return answer

    def _stop(self, *, grace: float = 0.0) -> str:
        """End the process, in bounded time; returns how it ended. For *grace* see `Child.stop`."""
        child, self._child = self._child, None
        if child is None:
            return "it was not there"
        self._poll.unregister(child)
        return child.stop(grace=grace)


def fetch_once(
    operation: Operation,
    *,
    endpoint: str,
    source: IPv4Address | None,
    device: str | None,
    ca_file: str | Path | None = None,
    api_address: IPv4Address | None = None,
    timeout: float,
    format: str | None = None,
    raw: bool = True,
) -> Answered:
    """Ask once and wait, `timeout` and two seconds at most: a `BodyReceived`, or what came else.

    Else is `GatewayNotAssigned`, `RateLimited` or `RequestFailed`; without *raw* also the events
    with values.
    """
    fetcher = Fetcher(endpoint=endpoint, ca_file=ca_file, api_address=api_address)
    deadline = time.monotonic() + timeout + EXPIRE_AFTER
    try:
        fetcher.submit(
            operation,
            source=source,
            device=device,
            deadline_at=deadline,
            timeout=timeout,
            format=format,
            raw=raw,
        )
        while fetcher.deadline_at is not None:
            left = fetcher.deadline_at - time.monotonic()
            if left <= 0:
                break
            descriptor = fetcher.fileno()
            assert descriptor is not None, "a request without a process has expired"
            select.select([descriptor], [], [], left)
            answer = fetcher.receive()
            if answer is not None:
                return answer
        answer = fetcher.expire()
        assert answer is not None, "there is no spare"
        return answer
    finally:
        fetcher.close()
