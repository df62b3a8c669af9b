"""`rcnetctl status`: what it shows, what it waits for, and its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rcnetd.store
from rcnetd.basic.files import write_atomic
from rcnetd.core.actions import Stop
from rcnetd.core.events import Event
from rcnetd.ctl.main import main
from rcnetd.daemon.status import document
from rcnetd.store.paths import Paths
from rcnetd.store.runtime import RuntimeFiles
from tests.conftest import missing
from tests.support.fuzzing import fuzz
from tests.support.playbook import (
    ASSIGNED,
    DEPLOYED,
    DEPLOYING,
    FAILED,
    MANAGED,
    UNMANAGED,
    Playbook,
)

SCHEMA = json.loads((Path(rcnetd.store.__file__).parent / "schemas/status.json").read_text())
FORMS: dict[str, list[Event]] = {
    "ready": [MANAGED, ASSIGNED, DEPLOYED],
    "route": [MANAGED, ASSIGNED, DEPLOYING],
    "failed": [MANAGED, ASSIGNED, FAILED],
    "off": [UNMANAGED, DEPLOYING],
    "waiting": [MANAGED],
}


def content(name: str, pid: int | None = None) -> dict[str, Any]:
    """The status of a machine that was told the answers of *name*, under our process id."""
    machine = Playbook().look().tell(*FORMS[name]).machine
    pid = os.getpid() if pid is None else pid
    return document(machine.snapshot(time.monotonic()), pid=pid, answers={})


def ended(code: int, reason: str, pid: int) -> dict[str, Any]:
    """The status of a daemon that has given up."""
    book = Playbook().look()
    book.machine.exit = Stop(code, reason)
    return document(book.machine.snapshot(time.monotonic()), pid=pid, answers={})


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """Private directories."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    (tmp_path / "run").mkdir()
    return Paths(tmp_path / "run", tmp_path / "state")


def write(paths: Paths, document: dict[str, Any]) -> None:
    """As the daemon writes it."""
    write_atomic(paths.status, json.dumps(document).encode(), mode=0o644)


@pytest.fixture
def gone() -> int:
    """The id of a process that has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


@pytest.mark.parametrize(("name", "code"), [("ready", 0), ("route", 4), ("waiting", 4)])
def test_the_exit_code_says_how_it_is(
    paths: Paths, capsys: pytest.CaptureFixture[str], name: str, code: int
) -> None:
    """It is 0 if ready and 4 if not; the first line is the state and its troubles."""
    written = content(name)
    write(paths, written)

    assert code == main(["status"])
    assert f"rcnetd: {written['headline']}" == capsys.readouterr().out.splitlines()[0]


def test_without_a_daemon(paths: Paths, capsys: pytest.CaptureFixture[str], gone: int) -> None:
    """It exits with 3 whether or not rcnetd has run before."""
    assert 3 == main(["status"])
    assert "systemctl start rcnetd" in capsys.readouterr().out

    write(paths, content("ready", gone))
    assert 3 == main(["status"])
    assert "rcnetd: not running" in capsys.readouterr().out
    assert 3 == main(["status", "--json"])
    assert json.loads(capsys.readouterr().out)["running"] is False


@pytest.mark.netns
def test_a_daemon_whose_process_is_hidden_runs() -> None:
    """With hidepid an ordinary user sees no process of others; monitoring runs as one."""
    if os.geteuid() != 0:
        missing("netns", "mounting /proc needs root")
    program = (
        "import os; from rcnetd.ctl.status import is_running;"
        "os.setgid(65534); os.setuid(65534);"
        "print(os.path.exists('/proc/1'), *(is_running({'pid': n}) for n in (1, 4_000_000)))"
    )
    mount = 'mount -t proc -o hidepid=2 proc /proc && "$@"; exit'
    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "sh", "-c", mount, "sh",
         sys.executable, "-c", program],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3],
    )  # fmt: skip

    assert "False True False\n" == done.stdout


def test_json_is_the_file_and_whether_it_runs(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    """For programs."""
    written = content("ready")
    write(paths, written)

    assert 0 == main(["status", "--json"])
    assert {**written, "running": True, "persisted": None} == json.loads(capsys.readouterr().out)


def test_how_the_host_s_files_were_written(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is shown to people and programs; a damaged file is ignored."""
    write(paths, content("ready"))
    outcome = {"at": 1.0, "ok": True, "renderer": "netplan", "files": ["/etc/a"], "reason": None}
    paths.persisted.parent.mkdir()
    paths.persisted.write_text(json.dumps({"version": 1, **outcome}))
    main(["status"])
    assert "  Persisted  netplan: /etc/a\n" in capsys.readouterr().out
    main(["status", "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert outcome == shown["persisted"]
    jsonschema.validate(shown, SCHEMA)

    paths.persisted.write_text(json.dumps({**outcome, "ok": False, "reason": "disk full"}))
    main(["status"])
    assert "  Persisted  no: disk full\n" in capsys.readouterr().out
    for text in ("", "[]", "{}", json.dumps({**outcome, "files": 5})):
        paths.persisted.write_text(text)
        assert 0 == main(["status"])
        assert "Persisted" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "goal", "code"),
    [
        ("ready", "route", 0),
        ("ready", "deployed", 0),
        ("route", "route", 0),
        ("off", "route", 0),
        ("failed", "route", 0),
        ("failed", "deployed", 69),
    ],
)
def test_a_decided_wait_ends_at_once(paths: Paths, name: str, goal: str, code: int) -> None:
    """The goal is reached, or out of reach."""
    write(paths, content(name))

    assert code == main(["status", "--wait", goal])


@pytest.mark.parametrize("code", [69, 75, 76, 78])
def test_waiting_for_a_daemon_that_gave_up(
    paths: Paths, capsys: pytest.CaptureFixture[str], gone: int, code: int
) -> None:
    """It exits with the daemon's code and prints its reason."""
    write(paths, ended(code, "why it gave up", gone))

    assert code == main(["status", "--wait", "deployed"])
    assert "rcnetctl: why it gave up\n" == capsys.readouterr().err
    assert code == main(["status"])
    assert "rcnetd: not running: why it gave up" in capsys.readouterr().out


def test_the_wait_sees_it_come(paths: Paths) -> None:
    """A change of the file ends the wait."""
    write(paths, content("waiting"))
    writer = threading.Timer(0.2, write, (paths, content("ready")))
    writer.start()
    begin = time.monotonic()

    assert 0 == main(["status", "--wait", "deployed", "--timeout", "30s"])
    assert time.monotonic() - begin < 9
    writer.join()


def test_not_in_time(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    """It exits with 75 and prints the state."""
    write(paths, content("waiting"))

    assert 75 == main(["status", "--wait", "route", "--timeout", "50ms", "--json"])
    out, error = capsys.readouterr()
    assert "WAITING_FOR_GATEWAY" == json.loads(out)["state"]
    assert error.startswith("rcnetctl: not in time: waiting for the gateway")


def test_waiting_without_a_daemon_ends(
    paths: Paths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that systemd will not start is not waited for."""
    masked = {"LoadState": "masked", "ActiveState": "inactive"}
    monkeypatch.setattr("rcnetd.ctl.startup.read_properties", lambda: masked)

    assert 3 == main(["status", "--wait", "route"])
    said = "rcnetctl: rcnetd is masked; 'systemctl unmask rcnetd'\n"
    assert said == capsys.readouterr().err


@pytest.mark.parametrize("before", [True, False], ids=["the one before has", "none has"])
def test_a_daemon_that_could_not_write_its_status(
    paths: Paths,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    before: bool,
) -> None:
    """With /run full it is not "not running"."""
    if before:
        write(paths, content("ready", pid=2**22 + 1))
    active = {"LoadState": "loaded", "ActiveState": "active"}
    monkeypatch.setattr("rcnetd.ctl.startup.read_properties", lambda: active)

    assert 1 == main(["status"])
    out, error = capsys.readouterr()
    assert "" == out
    said = f"rcnetctl: rcnetd is running, but could not write '{paths.status}': is there room"
    assert error.startswith(said)


def test_a_daemon_that_is_queued_is_waited_for(
    paths: Paths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With cloud-init it may start half a minute later than the unit that waits for it."""
    queued = {"LoadState": "loaded", "ActiveState": "inactive", "Job": "96"}
    monkeypatch.setattr("rcnetd.ctl.startup.read_properties", lambda: queued)
    monkeypatch.setattr("rcnetd.ctl.startup.START_GRACE", 0.0)
    monkeypatch.setattr("rcnetd.ctl.startup.ASK_INTERVAL", 0.0)

    assert 75 == main(["status", "--wait", "route", "--timeout", "100ms"])
    assert "rcnetctl: not in time: rcnetd has not started yet\n" == capsys.readouterr().err

    writer = threading.Timer(0.2, write, (paths, content("ready")))
    writer.start()
    assert 0 == main(["status", "--wait", "deployed"])
    writer.join()


def test_a_slow_boot_does_not_count(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time runs from when systemd starts rcnetd, however late that is; within bounds."""
    queued = {"LoadState": "loaded", "ActiveState": "inactive", "Job": "96"}
    monkeypatch.setattr("rcnetd.ctl.startup.read_properties", lambda: queued)
    monkeypatch.setattr("rcnetd.ctl.startup.Startup.has_begun", lambda _: False)
    writer = threading.Timer(0.4, write, (paths, content("ready")))
    writer.start()
    assert 0 == main(["status", "--wait", "route", "--timeout", "50ms"])
    writer.join()

    paths.status.unlink()
    monkeypatch.setattr("rcnetd.ctl.status.MAX_QUEUED", 0.1)
    assert 75 == main(["status", "--wait", "route", "--timeout", "50ms"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '"x"',
        '{"version": 2}',
        '{"version": 1}',
        '{"version": 1, "exit": []}',
        "[" * 5000,
        "x" * 70_000,
        "\udcff",
    ],
)
def test_a_damaged_file_is_one_line(
    paths: Paths, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    """The content of a file never causes a traceback."""
    paths.status.write_text(text, encoding="utf-8", errors="surrogateescape")

    assert 1 == main(["status"])
    out, error = capsys.readouterr()
    assert ("", 1) == (out, error.count("\n"))
    assert str(paths.status) in error


def test_a_closed_pipe_is_no_error(paths: Paths) -> None:
    """`rcnetctl status --json | head -1`."""
    write(paths, replace_answers(content("ready")))
    command = f"{sys.executable} -m rcnetd.ctl.main status --json | head -1"
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, check=False, timeout=30
    )

    assert ("{\n", "") == (done.stdout, done.stderr)


def replace_answers(document: dict[str, Any]) -> dict[str, Any]:
    """More than a pipe holds at once."""
    return {**document, "answers": {str(number): "x" * 50 for number in range(600)}}


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
GOOD = content("ready")


@fuzz(200)
@given(st.dictionaries(st.sampled_from(sorted(GOOD)), ANY), st.sampled_from([[], ["--json"]]))
def test_any_status_is_shown_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any], options: list[str]
) -> None:
    """Any file leads to an exit code, never to a traceback."""
    run = tmp_path_factory.getbasetemp() / "fuzzed-status"
    run.mkdir(exist_ok=True)
    (run / "status.json").write_text(json.dumps({**GOOD, **changes, "version": 1}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNTIME_DIRECTORY", str(run))
        code = main(["status", *options])
    assert isinstance(code, int)


def test_prometheus_is_what_the_daemon_wrote(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same text as node_exporter reads, with the exit code of the state."""
    text = "# TYPE rcnetd_ready gauge\nrcnetd_ready 1\n"
    write(paths, content("ready"))
    RuntimeFiles(paths).metrics(text)

    assert 0 == main(["status", "--format", "prometheus"])
    assert text == capsys.readouterr().out
    assert 0o644 == paths.metrics.stat().st_mode & 0o777


def test_without_metrics_it_says_so(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing on stdout, and the exit code of a daemon that does not run."""
    assert 3 == main(["status", "--format", "prometheus"])
    out, error = capsys.readouterr()
    assert "" == out
    assert "no metrics since boot" in error


def test_metrics_that_are_not_text_are_one_line(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody else wrote them."""
    paths.metrics.write_bytes(b"\xff")

    assert 1 == main(["status", "--format", "prometheus"])
    assert 1 == capsys.readouterr().err.count("\n")
