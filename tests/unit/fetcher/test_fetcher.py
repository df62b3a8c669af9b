"""The parent's side: one answer to each request, whatever the fetcher does; never blocked."""

from __future__ import annotations

import contextlib
import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from rcnetd.core.events import (
    Answered,
    FeaturesReceived,
    GatewayNotAssigned,
    GatewayReceived,
    RateLimited,
    RequestFailed,
    StatusReceived,
)
from rcnetd.core.model import AutomationStatus, Operation
from rcnetd.fetcher import fetcher as fetching
from rcnetd.fetcher import spawn
from rcnetd.fetcher.fetcher import RESOLVE_TIMEOUT, BodyReceived, Fetcher, fetch_once
from tests.support.apiserver import LONG, Connection, Lab, Server, _lab, http, lab
from tests.support.unshared import run_unshared
from tests.support.waiting import until

__all__ = ["_lab", "lab"]

STATUS, GATEWAY, FEATURES = Operation.STATUS, Operation.GATEWAY, Operation.FEATURES
PEER = IPv4Address("127.0.0.1")
SOURCE = IPv4Address("127.0.0.6")


def submit(fetcher: Fetcher, operation: Operation = GATEWAY, **options: Any) -> None:
    """A request from 127.0.0.6 with ample time."""
    options.setdefault("timeout", 5.0)
    options.setdefault("deadline_at", time.monotonic() + options["timeout"] + 2.0)
    fetcher.submit(operation, source=SOURCE, device="lo", **options)


def wait(fetcher: Fetcher) -> Answered:
    """Do what the daemon does: select, receive, expire."""
    while True:
        assert fetcher.deadline_at is not None
        left = fetcher.deadline_at - time.monotonic()
        descriptor = fetcher.fileno()
        if left <= 0 or descriptor is None:
            answer = fetcher.expire()
            if answer is not None:
                return answer
            continue
        assert left < LONG + RESOLVE_TIMEOUT
        if select.select([descriptor], [], [], left)[0]:
            started = time.monotonic()
            answer = fetcher.receive()
            assert time.monotonic() - started < 0.5
            if answer is not None:
                return answer


def children() -> list[int]:
    """Processes below this one, zombies too."""
    found = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in found]


def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Have another program for a fetcher. What it misses of a real one are its manners."""
    path = tmp_path / "fetcher.py"
    path.write_text(f"import os, signal, sys, time\n{text}\n")
    monkeypatch.setattr(spawn, "PROGRAM", path)


@pytest.fixture(autouse=True)
def _no_child_is_left() -> Iterator[None]:
    """No test leaves a process or a zombie."""
    before = children()
    yield
    assert before == children()


Make = Callable[..., Fetcher]


@pytest.fixture
def make(_no_child_is_left: None, lab: Lab) -> Iterator[Make]:
    """Make fetchers that are closed in the end, for a server of the lab or anything else."""
    made = []

    def make(server: Server | str = "http://127.0.0.1:1", **options: Any) -> Fetcher:
        endpoint = server if isinstance(server, str) else server.endpoint
        made.append(Fetcher(endpoint=endpoint, ca_file=lab.ca_file, **options))
        return made[-1]

    yield make
    for fetcher in made:
        fetcher.close()


# Answers


@pytest.mark.parametrize(
    ("operation", "respond", "options", "event"),
    [
        (GATEWAY, http(b"10.0.0.1"), {},
         GatewayReceived(GATEWAY, PEER, gateway=IPv4Address("10.0.0.1"))),
        (GATEWAY, http(b"", status="404 No"), {}, GatewayNotAssigned(GATEWAY, PEER)),
        (STATUS, http(b"DEPLOYED"), {},
         StatusReceived(STATUS, PEER, status=AutomationStatus.DEPLOYED, word="DEPLOYED")),
        (STATUS, http(b"<s>MOVING</s>"), {"format": "xml"},
         StatusReceived(STATUS, PEER, word="MOVING")),
        (FEATURES, http(b'{"ConfigureNetworkStack": false}'), {},
         FeaturesReceived(FEATURES, PEER, configure_network_stack=False)),
        (FEATURES, http(b"{}\n"), {"raw": True}, BodyReceived(FEATURES, PEER, body=b"{}\n")),
        (Operation.DETAILS, http(b'{"automation_status": "FAILED"}'), {},
         StatusReceived(Operation.DETAILS, PEER, status=AutomationStatus.FAILED, word="FAILED")),
        (STATUS, http(b"", "Retry-After: 3", status="403 No"), {},
         RateLimited(STATUS, PEER, retry_after=3.0)),
        (STATUS, http(b"a b"), {}, RequestFailed(STATUS, PEER, kind="invalid",
         reason="the answer is not a status word: 'a b'")),
    ],
    ids=range(9),
)  # fmt: skip
def test_answers(
    make: Make,
    lab: Lab,
    operation: Operation,
    respond: bytes,
    options: dict[str, Any],
    event: Answered,
) -> None:
    """Every answer of the API is the event that the core knows."""
    fetcher = make(lab.server(respond))
    submit(fetcher, operation, **options)

    assert event == wait(fetcher)


def test_the_largest_body(make: Make, lab: Lab) -> None:
    """64 KiB come through the pipe whole."""
    body = b'["%b"]' % (b"A" * (64 * 1024 - 4))
    fetcher = make(lab.server(http(body)))
    submit(fetcher, FEATURES, raw=True)
    answer = wait(fetcher)

    assert isinstance(answer, BodyReceived)

    assert body == answer.body


def test_many_requests_one_process(make: Make, lab: Lab) -> None:
    """Started ahead, kept between requests, gone after close, there again when needed."""
    server = lab.server(http(b"10.0.0.1"))
    fetcher = make(server)

    assert fetcher.fileno() is None
    fetcher.start()
    (first,) = children()
    for _ in range(3):
        submit(fetcher)
        assert isinstance(wait(fetcher), GatewayReceived)
        assert fetcher.deadline_at is None
    assert [first] == children()
    fetcher.close()
    fetcher.close()
    assert fetcher.fileno() is None
    assert [] == children()
    submit(fetcher)
    assert isinstance(wait(fetcher), GatewayReceived)
    assert [first] != children()
    fetcher.close()
    assert ["127.0.0.6"] * 4 == server.peers


def test_a_start_is_not_waited_for(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process starts beside us."""
    program(tmp_path, monkeypatch, "time.sleep(30)")
    fetcher = make()
    started = time.monotonic()
    fetcher.start()
    fetcher.start()

    assert time.monotonic() - started < 15
    assert 1 == len(children())
    fetcher.close()


def test_one_descriptor_for_the_selector(make: Make, lab: Lab) -> None:
    """Who selects on us once hears every later process, too, whatever its pipes are numbered."""
    server = lab.server(http(b"10.0.0.1"))
    fetcher = make(server)
    fetcher.start()
    with selectors.DefaultSelector() as selector:
        number = fetcher.fileno()
        assert number is not None
        selector.register(number, selectors.EVENT_READ)
        for _ in range(3):
            submit(fetcher)
            answer = None
            while answer is None:
                assert selector.select(LONG)
                answer = fetcher.receive()
            assert isinstance(answer, GatewayReceived)
            fetcher.close()
            fetcher.start()
            assert number == fetcher.fileno()
    fetcher.close()


def test_nothing_leaks_over_200_starts(make: Make) -> None:
    """Neither descriptors nor processes, however each one ended."""
    fetcher = make()
    descriptors = []
    for number in range(200):
        fetcher.start()
        if number % 3 == 0:
            submit(fetcher)
        if number % 3 == 1:
            os.kill(children()[0], signal.SIGKILL)
        fetcher.close()
        descriptors.append(len(list(Path("/proc/self/fd").iterdir())))

    assert {descriptors[0]} == set(descriptors)
    assert [] == children()


# Deadlines


def test_the_process_gives_up_by_itself(make: Make, lab: Lab) -> None:
    """A server that hangs: the fetcher says what it waited for, and lives on."""
    server = lab.server(Connection.hang)
    fetcher = make(server)
    submit(fetcher, timeout=2.0)
    answer = wait(fetcher)

    assert (
        RequestFailed(
            GATEWAY,
            PEER,
            kind="timeout",
            reason="no answer within 2 s, still waiting for the TLS handshake",
        )
        == answer
    )
    assert 1 == len(children())
    fetcher.close()


def test_a_stopped_process_is_killed_at_the_deadline(make: Make, lab: Lab) -> None:
    """Whatever holds it up, at the deadline there is an answer and no process; then a new one."""
    server = lab.server(http(b"10.0.0.1"))
    fetcher = make(server)
    fetcher.start()
    os.kill(children()[0], signal.SIGSTOP)
    submit(fetcher, timeout=0.1, deadline_at=time.monotonic() + 0.2)
    started = time.monotonic()
    answer = wait(fetcher)

    assert time.monotonic() - started < 0.5
    assert (
        RequestFailed(
            GATEWAY,
            kind="timeout",
            reason="no answer within 0.1 s, still waiting for the fetcher to start",
        )
        == answer
    )
    assert [] == children()
    submit(fetcher)
    assert isinstance(wait(fetcher), GatewayReceived)
    fetcher.close()


@contextlib.contextmanager
def busy() -> Iterator[tuple[str, socket.socket]]:
    """A URL where connections hang, until somebody accepts those that wait."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        stack.enter_context(socket.create_connection(server.getsockname()))  # fills the queue
        yield f"http://127.0.0.1:{server.getsockname()[1]}", server


def hang(fetcher: Fetcher) -> tuple[int, int]:
    """A request that gets no connection, until there is a spare; both process ids."""
    fetcher.start()
    (first,) = children()
    submit(fetcher, timeout=LONG)
    while len(children()) < 2:
        attend(fetcher)
    (spare,) = set(children()) - {first}
    return first, spare


def attend(fetcher: Fetcher) -> None:
    """One turn of a loop in which no answer comes."""
    left = (fetcher.deadline_at or 0.0) - time.monotonic()
    if left <= 0:
        assert fetcher.expire() is None
    elif select.select([fetcher.fileno()], [], [], left)[0]:
        assert fetcher.receive() is None


def test_a_request_that_hangs_starts_over_in_a_process_that_has_loaded(make: Make) -> None:
    """The spare takes over, and there is another one if it hangs, too."""
    with busy() as (url, _):
        fetcher = make(url, spare=True)
        first, spare = hang(fetcher)
        for _ in range(3):  # of a burst
            fetcher.restart()
        while first in children():
            attend(fetcher)

        assert [spare] == children()
        while len(children()) < 2:
            attend(fetcher)
        assert spare in children()
        fetcher.close()
    assert [] == children()


def test_until_the_other_has_loaded_the_request_goes_on(make: Make, lab: Lab) -> None:
    """It is asked once, whichever of the two gets the connection, and nobody is left."""
    server = lab.server(http(b"10.0.0.1"))
    fetcher = make(server)
    submit(fetcher)
    while fetcher._phase != "connecting" and fetcher.deadline_at is not None:
        attend(fetcher)
    fetcher.restart()

    assert isinstance(wait(fetcher), GatewayReceived)
    assert 1 == len(children())
    assert 1 == len(server.requests)


def test_a_failure_for_want_of_what_has_come_is_no_answer(make: Make) -> None:
    """The one that starts over has the last word."""
    with busy() as (url, server):
        fetcher = make(url)
        fetcher.start()
        (first,) = children()
        submit(fetcher)
        while fetcher._phase != "connecting":
            attend(fetcher)
        fetcher.restart()
        server.close()  # who waits is refused
        answer = wait(fetcher)

        assert isinstance(answer, RequestFailed)
        assert "refused" in answer.reason
        assert first not in children()


def test_what_has_asked_for_nothing_need_not_start_over(make: Make, lab: Lab) -> None:
    """Pieces come in bursts: a process that has not begun will find them all."""
    fetcher = make(lab.server(http(b"10.0.0.1")))
    fetcher.start()
    (child,) = children()
    os.kill(child, signal.SIGSTOP)
    submit(fetcher)
    fetcher.restart()
    os.kill(child, signal.SIGCONT)

    assert isinstance(wait(fetcher), GatewayReceived)
    assert [child] == children()


def test_a_spare_that_has_died_is_no_loss(make: Make) -> None:
    """The request starts over in a new process."""
    with busy() as (url, _):
        fetcher = make(url, spare=True)
        first, spare = hang(fetcher)
        os.kill(spare, signal.SIGKILL)
        until(lambda: Path(f"/proc/{spare}/stat").read_text().split()[2] == "Z")
        fetcher.restart()
        while first in children():
            attend(fetcher)

        (last,) = children()
        assert spare != last


def test_a_process_that_dies_before_the_other_has_loaded(make: Make) -> None:
    """The other one has the request."""
    with busy() as (url, _):
        fetcher = make(url, spare=True)
        first, spare = hang(fetcher)
        os.kill(spare, signal.SIGSTOP)
        fetcher.restart()
        os.kill(first, signal.SIGKILL)
        while first in children():
            attend(fetcher)

        assert [spare] == children()
        assert fetcher.deadline_at is not None


def test_with_a_connection_the_spare_ends(make: Make) -> None:
    """Its memory is not needed any more; the request goes on where it is."""
    with busy() as (url, server):
        fetcher = make(url, spare=True)
        first, _ = hang(fetcher)
        server.accept()[0].close()
        while len(children()) > 1:
            attend(fetcher)

        assert [first] == children()


RESOLVER = """
import select, socket, sys, time
from rcnetd.fetcher.fetcher import Fetcher, Operation
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
    silent.bind(("127.0.0.53", 53))
    name = "https://dfw.api.rackconnect.rackspace.com"
    fetcher = Fetcher(endpoint=name, resolve_timeout=0.5)
    fetcher.start()
    now = time.monotonic()
    fetcher.submit(Operation.GATEWAY, source=None, device=None, timeout=1.0, deadline_at=now + 1.5)
    turns, answer = 0, None
    while answer is None:
        turns += 1
        left = fetcher.deadline_at - time.monotonic()
        if left <= 0:
            answer = fetcher.expire()
        elif select.select([fetcher.fileno()], [], [], min(left, 0.05))[0]:
            answer = fetcher.receive()
    took = time.monotonic() - now
    asked = bool(select.select([silent], [], [], 0)[0])
print(asked, turns > 10, 2.0 <= took < 2.5, answer.kind, answer.peer, answer.reason)
"""


@pytest.mark.netns
def test_a_resolver_that_hangs(tmp_path: Path) -> None:
    """A name server that never answers: we stay responsive, kill at the deadline, and say so."""
    resolv, switch = tmp_path / "resolv.conf", tmp_path / "nsswitch.conf"
    resolv.write_text("nameserver 127.0.0.53\noptions timeout:30 attempts:5\n")
    switch.write_text("hosts: dns\n")
    said = run_unshared(
        RESOLVER, instead_of={"/etc/resolv.conf": resolv, "/etc/nsswitch.conf": switch}
    )

    assert (
        "True True True dns None no answer within 1 s, still waiting for the name to be"
        " resolved ('dfw.api.rackconnect.rackspace.com'); the resolver does not answer\n"
    ) == said


# Deaths and bad manners


def test_killed_in_the_middle(make: Make, lab: Lab) -> None:
    """The process is killed while the server hangs: a failure at once, and the next works."""

    def respond(connection: Connection) -> None:
        connection.secure()
        connection.request()
        if len(connection.server.requests) == 1:
            os.kill(children()[0], signal.SIGKILL)
            connection.hang()
        else:
            connection.sock.sendall(http(b"10.0.0.1"))

    server = lab.server(respond)
    fetcher = make(server)
    submit(fetcher)

    assert RequestFailed(
        GATEWAY, kind="fetcher", reason="the fetcher ended unexpectedly (SIGKILL)"
    ) == wait(fetcher)
    assert [] == children()
    submit(fetcher)
    assert isinstance(wait(fetcher), GatewayReceived)
    fetcher.close()


def test_died_while_nobody_looked(make: Make, lab: Lab) -> None:
    """A death between requests is no failure of the next one."""
    server = lab.server(http(b"10.0.0.1"))
    fetcher = make(server)
    for look in (True, False):
        submit(fetcher)
        assert isinstance(wait(fetcher), GatewayReceived)
        (pid,) = children()
        os.kill(pid, signal.SIGKILL)
        descriptor = fetcher.fileno()
        assert descriptor is not None
        assert select.select([descriptor], [], [], LONG)[0]
        if look:
            assert fetcher.receive() is None
            assert fetcher.fileno() is None
    submit(fetcher)
    assert isinstance(wait(fetcher), GatewayReceived)
    fetcher.close()


@pytest.mark.parametrize(
    ("manners", "reason"),
    [
        ("sys.exit(7)", "the fetcher ended unexpectedly (exit code 7)"),
        ("os.abort()", "the fetcher ended unexpectedly (SIGABRT)"),
        ("sys.stdin.readline(); sys.stdout.close(); os.close(1); time.sleep(30)",
         "the fetcher ended unexpectedly (SIGKILL)"),
        ("sys.stdin.readline(); print('hello', flush=True); time.sleep(30)",
         "the fetcher broke its protocol: "),
        ("sys.stdin.readline(); print('{\"answer\": \"not-assigned\"}\\nx', flush=True)",
         "the fetcher answered more than once"),
        ("sys.stdin.readline(); print('{\"answer\": \"not-assigned\"}\\n' * 2, flush=True)",
         "the fetcher answered more than once"),
        ("sys.stdin.readline(); print('x' * 200_000, end='', flush=True); time.sleep(30)",
         "the fetcher does not come to an end"),
        ("sys.stdin.readline(); print('[' * 100_000, flush=True); time.sleep(30)",
         "the fetcher broke its protocol: 'it is nested too deeply'"),
    ],
    ids=range(8),
)  # fmt: skip
def test_bad_manners(
    make: Make, manners: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fetcher that dies, babbles, answers twice or for ever is ended; the answer says why."""
    program(tmp_path, monkeypatch, manners)
    fetcher = make()
    submit(fetcher)
    answer = wait(fetcher)

    assert isinstance(answer, RequestFailed)
    assert "fetcher" == answer.kind
    assert answer.reason.startswith(reason)
    assert fetcher.deadline_at is None
    assert [] == children()


def test_an_answer_in_pieces(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line is an answer when it is whole, not before; receiving never waits for the rest."""
    text = """
sys.stdin.readline()
for char in '{"progress": "asking"}\\n{"answer": "not-assigned", "peer": null}\\n':
    os.write(1, char.encode()); time.sleep(0.002)
sys.stdin.readline()
"""
    program(tmp_path, monkeypatch, text)
    fetcher = make()
    submit(fetcher)

    assert fetcher.receive() is None
    assert GatewayNotAssigned(GATEWAY) == wait(fetcher)
    fetcher.close()


def test_something_unasked(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fetcher that speaks without a request is ended; that is no answer to anything."""
    program(tmp_path, monkeypatch, "print('hello', flush=True); time.sleep(30)")
    fetcher = make()
    fetcher.start()
    descriptor = fetcher.fileno()
    assert descriptor is not None

    assert select.select([descriptor], [], [], LONG)[0]
    assert fetcher.receive() is None
    assert fetcher.receive() is None
    assert fetcher.fileno() is None


def test_one_that_does_not_read(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers without reading: once its pipe is full it is replaced; writing never blocks."""
    text = "\n".join(
        ["time.sleep(0.1)", "while True:", " os.write(1, b'{\"answer\": \"not-assigned\"}\\n')",
         " time.sleep(0.05)"]
    )  # fmt: skip
    program(tmp_path, monkeypatch, text)
    fetcher = make("http://" + "a" * 3000 + ":1")
    for _ in range(25):
        started = time.monotonic()
        submit(fetcher)
        assert time.monotonic() - started < 0.5
        assert isinstance(wait(fetcher), (GatewayNotAssigned, RequestFailed))
    fetcher.close()


def test_no_fetcher_can_be_started(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer says why, at once."""
    monkeypatch.setattr(sys, "executable", "/none/python")
    fetcher = make()
    fetcher.start()
    submit(fetcher)

    assert fetcher.fileno() is None
    assert RequestFailed(
        GATEWAY,
        kind="fetcher",
        reason="Failed to start the fetcher: No such file or directory",
    ) == wait(fetcher)
    assert fetcher.deadline_at is None
    fetcher.close()


def test_a_request_that_is_too_long(make: Make) -> None:
    """What does not fit is not written in part."""
    fetcher = make("http://127.0.0.1:1/" + "x" * 5000)
    submit(fetcher)

    assert RequestFailed(
        GATEWAY, kind="fetcher", reason="the request is too long for the fetcher"
    ) == wait(fetcher)
    fetcher.close()


def test_what_it_inherits(
    make: Make, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of our environment but the loader's, and no descriptor but the standard ones."""
    program(
        tmp_path,
        monkeypatch,
        "sys.stdin.readline(); names = ','.join(sorted(os.environ)) + str(sys.flags.isolated)\n"
        "names += ','.join(os.path.basename(os.readlink('/proc/self/fd/' + n)) for n in"
        " os.listdir('/proc/self/fd') if int(n) > 2 and os.path.exists('/proc/self/fd/' + n))\n"
        'print(\'{"answer": "failed", "kind": "x", "reason": "\' + names + \'"}\','
        " flush=True); sys.stdin.readline()",
    )
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("PYTHONPATH", "/none")
    monkeypatch.setenv("RES_OPTIONS", "timeout:99")
    monkeypatch.setenv("LD_BIND_NOW", "1")
    with socket.socket() as other:
        other.set_inheritable(True)
        fetcher = make()
        submit(fetcher)
        answer = wait(fetcher)
    fetcher.close()

    assert isinstance(answer, RequestFailed)
    # LC_CTYPE is Python's own doing in the child.
    assert "LD_BIND_NOW1" == answer.reason.replace("LC_CTYPE,", "")


def test_it_ends_with_us(tmp_path: Path) -> None:
    """We are killed: the fetcher is gone, even one in the middle of a request."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        script = (
            "import time\nfrom rcnetd.core.model import Operation\n"
            "from rcnetd.fetcher.fetcher import *\n"
            f"f = Fetcher(endpoint='http://127.0.0.1:{listener.getsockname()[1]}')\n"
            "f.submit(Operation.STATUS, source=None, device=None, timeout=30.0, deadline_at=1e18)\n"
            "time.sleep(30)"
        )
        with subprocess.Popen([sys.executable, "-c", script]) as parent:
            listener.settimeout(LONG)
            connection, _ = listener.accept()
            parent.kill()
    with connection:
        connection.settimeout(LONG)
        while connection.recv(4096):
            pass  # the end of the connection is the end of the process


# Once


def test_once(lab: Lab) -> None:
    """For a command line: ask, wait, and leave nothing behind."""
    server = lab.server(http(b"10.0.0.1\n"))
    answer = fetch_once(
        GATEWAY,
        endpoint=server.endpoint,
        source=SOURCE,
        device=None,
        ca_file=lab.ca_file,
        api_address=PEER,
        timeout=5.0,
    )

    assert BodyReceived(GATEWAY, PEER, body=b"10.0.0.1\n") == answer


@pytest.mark.parametrize(
    ("text", "kind"),
    [("sys.exit(1)", "fetcher"), ("sys.stdin.readline(); time.sleep(30)", "timeout")],
)
def test_once_without_luck(
    text: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes back in time, with a failure."""
    program(tmp_path, monkeypatch, text)
    monkeypatch.setattr(fetching, "EXPIRE_AFTER", 0.1)
    started = time.monotonic()
    answer = fetch_once(
        STATUS, endpoint="http://127.0.0.1:1", source=None, device=None, timeout=0.3
    )

    assert isinstance(answer, RequestFailed)
    assert kind == answer.kind
    assert time.monotonic() - started < 2.0


def test_once_without_a_fetcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even a process."""
    monkeypatch.setattr(sys, "executable", "/none/python")
    answer = fetch_once(
        STATUS, endpoint="http://127.0.0.1:1", source=None, device=None, timeout=5.0
    )

    assert isinstance(answer, RequestFailed)
    assert "fetcher" == answer.kind


def test_requests_are_json_of_the_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written is what the fetcher's documentation says."""
    program(
        tmp_path,
        monkeypatch,
        f"open({str(tmp_path / 'said')!r}, 'w').write(sys.stdin.readline()); sys.exit(0)",
    )
    fetch_once(STATUS, endpoint="http://a", source=SOURCE, device="eth1", timeout=3.0, raw=False)
    said = json.loads((tmp_path / "said").read_text())
    deadline = said.pop("deadline")

    assert {
        "operation": "automation_status", "format": "text", "raw": False, "endpoint": "http://a",
        "source": "127.0.0.6", "device": "eth1", "ca_file": None, "api_address": None,
        "timeout": 3.0,
    } == said  # fmt: skip
    assert time.monotonic() < deadline + 3.0
