"""The fetcher as a process: its protocol, line by line, against the tiny server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rcnetd.fetcher import process as fetcher
from tests.support.apiserver import Connection, Lab, Server, _lab, http, lab
from tests.support.unshared import TREE

__all__ = ["_lab", "lab"]

PROGRAM = fetcher.__file__


class Child:
    """A fetcher to talk to."""

    def __init__(self, *command: str, **options: Any) -> None:
        self.process = subprocess.Popen(
            command or [sys.executable, "-I", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )

    def say(self, line: bytes) -> None:
        """One line, or less, or more."""
        assert self.process.stdin is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def ask(self, request: object) -> tuple[list[str], dict[str, Any]]:
        """The phases, and the answer."""
        return self.listen(json.dumps(request).encode() + b"\n")

    def listen(self, line: bytes) -> tuple[list[str], dict[str, Any]]:
        """Say a line, and hear all up to the answer."""
        self.say(line)
        phases: list[str] = []
        assert self.process.stdout is not None
        while True:
            reply = json.loads(self.process.stdout.readline())
            if "confined" in reply:
                continue
            if "progress" not in reply:
                return phases, reply
            phases.append(reply["progress"])

    def end(self) -> tuple[int, bytes, bytes]:
        """Close its input: exit code, what else it said, and what it said on stderr."""
        said, errors = self.process.communicate(timeout=10)
        return self.process.returncode, said, errors


@pytest.fixture
def child() -> Iterator[Child]:
    """A running fetcher."""
    made = Child()
    yield made
    made.process.kill()
    made.process.communicate()


def request(lab: Lab, server: Server, **changes: Any) -> dict[str, Any]:
    """A good request, with changes."""
    return {
        "operation": "gateway_ip",
        "format": "text",
        "raw": False,
        "endpoint": server.endpoint,
        "source": "127.0.0.5",
        "device": "lo",
        "ca_file": str(lab.ca_file),
        "api_address": None,
        "timeout": 5.0,
        "deadline": time.monotonic() + 5.0,
        **changes,
    }


@pytest.mark.parametrize(
    ("answer", "changes", "reply"),
    [
        (http(b"10.0.0.1"), {}, {"answer": "gateway", "gateway": "10.0.0.1"}),
        (http(b"10.0.0.1\n"), {"raw": True}, {"answer": "raw", "body": "MTAuMC4wLjEK"}),
        (http(b"", status="404 Not Found"), {}, {"answer": "not-assigned"}),
        (http(b"", status="404 Not Found"), {"raw": True}, {"answer": "not-assigned"}),
        (http(b"DEPLOYED"), {"operation": "automation_status"},
         {"answer": "status", "word": "DEPLOYED"}),
        (http(b'{"automation_status": "FAILED"}'),
         {"operation": "automation_status/details", "format": "json"},
         {"answer": "status", "word": "FAILED"}),
        (http(b'{"ConfigureNetworkStack": true}'),
         {"operation": "automation_features", "format": "json"},
         {"answer": "features", "configure_network_stack": True}),
        (http(b"", "Retry-After: 9", status="403 No"), {},
         {"answer": "rate-limited", "retry_after": 9.0}),
        (http(b"", status="500 Oh no"), {},
         {"answer": "failed", "kind": "http-5xx", "reason": "the API answered 500 'Oh no'",
              "retry_after": None}),
    ],
)  # fmt: skip
def test_requests(
    lab: Lab, child: Child, answer: bytes, changes: dict[str, Any], reply: dict[str, Any]
) -> None:
    """One line in, its phases and one answer out; the server sees the source address."""
    server = lab.server(answer)
    phases, received = child.ask(request(lab, server, **changes))

    assert {**reply, "peer": "127.0.0.1"} == received
    assert ["resolving", "connecting", "securing", "asking"] == phases[:4]
    assert ["127.0.0.5"] == server.peers
    assert (0, b"", b"") == child.end()


def test_it_serves_until_its_input_ends(lab: Lab, child: Child) -> None:
    """Several requests, also after one that failed; then it goes without a word."""
    server = lab.server(http(b"10.0.0.1"))
    answers = [
        child.ask(request(lab, server))[1]["answer"],
        child.ask(request(lab, server, ca_file=None))[1]["answer"],
        child.ask(request(lab, server))[1]["answer"],
    ]

    assert ["gateway", "failed", "gateway"] == answers
    assert (0, b"", b"") == child.end()


GOOD = {
    "operation": "gateway_ip", "format": "text", "raw": False, "endpoint": "http://127.0.0.1:1",
    "source": None, "device": None, "ca_file": None, "api_address": None, "timeout": 5.0,
    "deadline": 1e18,
}  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"operation": "delete_everything"}, {"operation": []}, {"operation": None},
        {"format": "yaml"}, {"format": []}, {"format": None},
        {"endpoint": None}, {"endpoint": "gopher://x"}, {"endpoint": "http://["}, {"endpoint": {}},
        {"source": "::1"}, {"source": 5}, {"device": 5}, {"ca_file": []}, {"api_address": "x"},
        {"ca_file": "\0", "endpoint": "https://127.0.0.1:1"},
        {"timeout": "long"}, {"timeout": 1e999}, {"timeout": None}, {"deadline": []},
    ],
    ids=str,
)  # fmt: skip
def test_senseless_requests(child: Child, changes: dict[str, Any]) -> None:
    """Any mistake in a request is answered, and the next request is served."""
    for _ in range(2):
        _, reply = child.ask({**GOOD, **changes})

        assert ("failed", "request") == (reply["answer"], reply["kind"])
        assert reply["reason"].startswith("the request makes no sense: ")
    assert (0, b"", b"") == child.end()


@pytest.mark.parametrize(
    "line",
    [b"\n", b"{}\n", b"[]\n", b"null\n", b"\xff\xfe\n", b"[" * 4000 + b"\n", b"\0\n",
     b"9" * 99 + b"\n",
     b"x" * 5000 + b"\n", b"x" * 4095 + b"\n", b"x" * 4096 + b"\n", b"x" * 100_000 + b"\n"],
    ids=lambda line: str(len(line)) + repr(line[:5]),
)  # fmt: skip
def test_lines_that_are_no_requests(child: Child, line: bytes) -> None:
    """Each is answered with one failure, however long it is."""
    for _ in range(2):
        _, reply = child.listen(line)

        assert ("failed", "request", None) == (reply["answer"], reply["kind"], reply["peer"])
    _, reply = child.ask(GOOD)
    assert "connect" == reply["kind"]
    assert (0, b"", b"") == child.end()


def test_a_request_that_comes_too_late(child: Child) -> None:
    """Start-up counts: when the time is over, nothing is sent any more."""
    _, reply = child.ask({**GOOD, "deadline": time.monotonic() - 0.1})

    assert "timeout" == reply["kind"]
    assert "no answer within 5 s, still waiting for the fetcher to start" == reply["reason"]


def test_the_deadline_counts_not_the_start(lab: Lab, child: Child) -> None:
    """The request ends when its parent said, not a whole time-out after it was read."""
    started = time.monotonic()
    server = lab.server(Connection.hang)
    _, reply = child.ask(request(lab, server, timeout=60.0, deadline=started + 0.8))

    assert "timeout" == reply["kind"]
    assert time.monotonic() - started < 1.5


def test_nothing_else_gets_to_standard_output() -> None:
    """What any library prints goes to stderr; what any reads is empty."""
    script = """
import os, sys
from rcnetd.fetcher import process as fetcher
requests, replies = fetcher._take_standard_streams()
print("noise")
os.system("echo more noise; cat")
os.write(replies, b"reply\\n")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, cwd=TREE, input=b"secret"
    )

    assert b"reply\n" == done.stdout
    assert {b"noise", b"more noise"} == set(done.stderr.split(b"\n")) - {b""}


def test_it_has_no_privileges(child: Child) -> None:
    """While it serves it has no capability and cannot get any."""
    child.ask(GOOD)
    lines = Path(f"/proc/{child.process.pid}/status").read_text().splitlines()
    sets = {line.split(":\t")[0]: line.split(":\t")[1] for line in lines if ":\t" in line}

    assert {"0000000000000000"} == {sets[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")}
    assert "1" == sets["NoNewPrivs"]


def test_privileges_go_before_anything_is_imported(tmp_path: Path) -> None:
    """A bad day for capset is the end, before requests is even found."""
    script = """
import sys
from rcnetd.fetcher import process as fetcher
from rcnetd.fetcher import privileges
def refuse():
    assert "rcnetd.api.client" not in sys.modules and "requests" not in sys.modules
    raise PermissionError(1, "no")
privileges.drop_capabilities = refuse
fetcher.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, cwd=TREE, input=b"{}\n"
    )

    assert (1, b"") == (done.returncode, done.stdout)
    assert b"PermissionError" in done.stderr


def test_it_ignores_the_terminal_but_not_systemd(child: Child) -> None:
    """Ctrl-C is the parent's business; SIGTERM ends it."""
    child.ask(GOOD)
    child.process.send_signal(signal.SIGINT)

    assert "connect" == child.ask(GOOD)[1]["kind"]
    child.process.send_signal(signal.SIGTERM)
    assert -signal.SIGTERM == child.process.wait(10)


def test_a_parent_that_has_gone() -> None:
    """Nobody reads the answer: it ends quietly."""
    child = Child()
    assert child.process.stdout is not None
    child.ask(GOOD)
    child.process.stdout.close()
    child.say(json.dumps(GOOD).encode() + b"\n")

    assert 1 == child.process.wait(10)
    assert child.process.stderr is not None
    assert b"Traceback" not in child.process.stderr.read()
    child.process.stderr.close()
    assert child.process.stdin is not None
    child.process.stdin.close()


@pytest.mark.parametrize("way", [["-I", PROGRAM], ["-m", "rcnetd.fetcher.process"]])
def test_it_runs_from_wherever_it_is(way: list[str], tmp_path: Path) -> None:
    """As a file it finds its own package, and PYTHONPATH has no say; as a module too."""
    (tmp_path / "requests.py").write_text("raise SystemExit('wrong')")
    path = str(tmp_path) if way[0] == "-I" else str(TREE)
    child = Child(sys.executable, *way, env={**os.environ, "PYTHONPATH": path}, cwd=tmp_path.parent)

    assert "connect" == child.ask(GOOD)[1]["kind"]
    assert (0, b"", b"") == child.end()
