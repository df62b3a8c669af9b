"""Text from the network, the platform or a stranger's tree: nothing of it commands a terminal.

Each place to which such text comes gets any text, with control characters, ANSI sequences,
bidirectional marks, line ends and 64 KiB of it, on the ways that it really takes.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rcnetd.api.errors import InvalidAnswer
from rcnetd.api.parse import FORMATS, decode, parse
from rcnetd.basic.dataclass import replace
from rcnetd.core.events import Answered, RequestFailed
from rcnetd.core.model import Operation
from rcnetd.ctl import ask
from rcnetd.ctl.analysis import analyze
from rcnetd.ctl.main import main
from rcnetd.ctl.plot import picture
from rcnetd.daemon.journal import Journal
from rcnetd.daemon.metrics import Tally, render
from rcnetd.daemon.notify import Notifier
from rcnetd.daemon.status import answer_fields, document, status_text
from rcnetd.fetcher.protocol import Progress, understand
from rcnetd.hostconfig.renderers.model import File
from rcnetd.hostconfig.undo import FileRecord, RevertRecord
from rcnetd.metadata.file import read as read_metadata
from rcnetd.store.paths import Paths
from rcnetd.store.runtime import RuntimeFiles
from rcnetd.store.timeline import Timeline
from tests.support.fuzzing import fuzz
from tests.support.playbook import ETH0, ETH1, MANAGED, Playbook, World

MAX_LINE = 4000  # characters
ATTACKS = [
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b31m\x90q\x9c",
    "good\rbad",
    "one\nREADY=1\n<0>two",
    "\u202edeyolped\u2066\u200b\u2028\u2029\x85",
    "\ud800\udfff\0",
    '"\\{}=',
    "]]>&<script>",
    "\x1b[31m" * 13_000,
]
TEXTS = st.one_of(
    st.sampled_from(ATTACKS),
    st.text(
        st.sampled_from("\x1b[]0;m\x07\r\n\t\x9b\u202e\u2066\u2028\u200b\0\ud800<&\"'\\a "),
        max_size=90,
    ),
    st.text(max_size=90),
)


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """A directory for the daemon's files."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def harmless(shown: str, most: int = MAX_LINE) -> bool:
    """Whether a terminal shows it, and obeys nothing in it but line ends."""
    lines = shown.split("\n")
    return all(line.isprintable() for line in lines) and max(map(len, lines)) <= most


def run(*arguments: str) -> str:
    """What a command prints, to both of its streams."""
    stream = io.TextIOWrapper(io.BytesIO(), "utf-8", "surrogateescape")
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        main(arguments)
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode()


def answers(text: str) -> Iterator[Answered]:
    """Every answer that can carry text of the network's, or of a fetcher that lies."""
    for reply in (
        {"answer": "status", "word": text, "peer": None},
        {"answer": "failed", "kind": "answer", "reason": text, "retry_after": None, "peer": None},
    ):
        event = understand(json.dumps(reply).encode(), Operation.STATUS, raw=False)
        assert not isinstance(event, Progress)
        assert isinstance(event, Answered)
        yield event
    for operation, form in ((one, form) for one in Operation for form in FORMATS[one]):
        for page in (text, f"<html>{text}", f'{{"automation_status": {json.dumps(text)}}}'):
            try:
                parse(
                    operation, form, decode(page.encode("utf-8", "replace"), f"a; charset={text}")
                )
            except InvalidAnswer as error:
                yield RequestFailed(operation, kind="answer", reason=error.reason)


@fuzz(25)
@given(text=TEXTS)
@example(text=ATTACKS[-1])
def test_what_the_daemon_says(directory: Path, text: str) -> None:
    """status.json, STATUS=, metrics, timeline, SVG; `status` and `analyze` of rcnetctl."""
    paths = Paths(directory, directory, directory / "metadata.json")
    paths.timeline.unlink(missing_ok=True)
    keys = ("region", "region_source", "automation_status", "servicenet_mac", "public_address")
    given_metadata: dict[str, Any] = {key: text for key in keys}
    paths.metadata.write_text(json.dumps({**given_metadata, "roles": [text],
                                          "sources": {"region": text}}))  # fmt: skip
    metadata, warnings = read_metadata(paths.metadata)
    assert all(map(harmless, warnings))
    name = text.replace("\0", "")[:15] or "x"  # the kernel allows nearly any in a link's name
    world = World(links=[replace(ETH0, name=name), replace(ETH1, name=name)])
    timeline, now = Timeline(paths.timeline), time.monotonic()
    timeline.add(now, "started", pid=1, version=text)
    for answer in answers(text):
        book = Playbook(world, metadata=metadata).look().tell(MANAGED, answer)
        fields = answer_fields(answer)
        content = document(
            book.machine.snapshot(now), pid=os.getpid(),
            answers={"automation_status": {**fields, "at": now}},
        )  # fmt: skip
        for event in ("change", "log", "repair", "stopping"):
            timeline.add(now, event, text=text, level="info", kind="lost", count=1)
        timeline.add(now, "answer", operation="automation_status", took=0.1, **fields)
        RuntimeFiles(paths).status(content)
        metrics = render(content, Tally(now), now=now, clock=0.0)
        paths.metrics.write_text(metrics)
        assert harmless(paths.status.read_text())
        content["exit"] = {"code": 69, "reason": text}  # also what no daemon of ours writes
        RuntimeFiles(paths).status(content)
        assert harmless(metrics)
        assert len(status_text(book.machine.snapshot(now))) < MAX_LINE
        found = analyze(paths.timeline.read_text().splitlines())
        assert found is not None
        assert harmless(picture(found, everything=True))
    for command in ("status", "status --format prometheus", "analyze", "metadata"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RUNTIME_DIRECTORY", str(directory))
            patch.setenv("RCNETD_METADATA", str(paths.metadata))
            assert harmless(run(*command.split()), 1 << 17)


@fuzz(40)
@given(text=TEXTS)
def test_the_journal_and_systemd(text: str) -> None:
    """A line is one line of one level, and STATUS= is one assignment."""
    read, write = os.pipe()
    saved = os.dup(2)
    try:
        os.dup2(write, 2)
        Journal({"JOURNAL_STREAM": "1:2"}).log("info", text)
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(write)
    with os.fdopen(read, "rb") as file:
        logged = file.read().decode()
    assert logged.startswith("<6>")
    assert logged.index("\n") == len(logged) - 1
    assert harmless(logged)

    with (
        tempfile.TemporaryDirectory() as name,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
        pytest.MonkeyPatch.context() as patch,
    ):
        manager.bind(f"{name}/notify")
        patch.setenv("NOTIFY_SOCKET", f"{name}/notify")
        Notifier(os.environ).status(text)
        heard = manager.recv(1 << 17).decode()
    assert heard.startswith("STATUS=")
    assert "\n" not in heard
    assert harmless(heard)


@fuzz(12)
@given(text=TEXTS)
def test_a_stranger_s_tree(text: str) -> None:
    """Names of files in an image, and paths in its record."""
    name = "".join(char for char in text if char not in "/\0\ud800\udfff")[:60] or "x"
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        (root / "etc/rcnetd/conf.d").mkdir(parents=True)
        (root / "etc/rcnetd/conf.d" / f"{name}.yaml").write_text("nonsense: 1\n")
        record = RevertRecord(
            {f"/etc/{name}": FileRecord(File(b"", 0o600, os.geteuid(), os.getegid()), (None,))}
        )
        path = root / "var/lib/rcnetd-persist/undo/record.json"
        path.parent.mkdir(parents=True)
        path.write_text(record.text())
        for command in ("revert", "preflight", "clean"):
            assert harmless(run(command, "--root", directory))


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_body_on_a_terminal(attack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program gets the body as it is; a terminal does not."""
    body = attack.encode("utf-8", "replace")[:4000]
    read, write = pty.openpty()
    with os.fdopen(write, "w") as terminal:
        monkeypatch.setattr("sys.stdout", terminal)
        ask.show(body)
        terminal.flush()
        shown = os.read(read, 1 << 16).decode().replace("\r\n", "\n")
    os.close(read)
    assert harmless(shown, 1 << 16)
    stream = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr("sys.stdout", stream)
    ask.show(body)
    assert isinstance(stream.buffer, io.BytesIO)
    assert body.rstrip(b"\n") + b"\n" == stream.buffer.getvalue()
