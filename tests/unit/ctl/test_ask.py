"""`rcnetctl gateway`, `automation`, `features` against the emulator, within the shared budget."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rcnetd.core.model import Operation
from rcnetd.ctl.main import main
from rcnetd.daemon.status import document
from rcnetd.emulator.testing import RunningEmulator, emulator
from rcnetd.store.ledger import Ledger
from rcnetd.store.paths import Paths
from tests.support.playbook import ASSIGNED, MANAGED, Playbook

HERE = "127.0.0.21"
TIMELINE = f"""
limit: 1000
servers:
  - address: {HERE}
    tasks: [one]
    timeline: [{{at: 0, gateway: 10.180.31.254, status: DEPLOYED}}]
"""
Ask = Callable[..., int]


@pytest.fixture
def api() -> Iterator[RunningEmulator]:
    """The API, which knows this server by an address of the loopback network."""
    with emulator(TIMELINE) as running:
        yield running


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """Private directories, and a daemon that has found ServiceNet on `lo`."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setenv("RCNETD_METADATA", str(tmp_path / "metadata.json"))
    paths = Paths(tmp_path / "run", tmp_path / "state", tmp_path / "metadata.json")
    paths.run.mkdir()
    write_status(paths)
    return paths


def write_status(paths: Paths, **changes: Any) -> None:
    """The status of a daemon that runs under our process id."""
    machine = Playbook().look().tell(MANAGED, ASSIGNED).machine
    content = document(machine.snapshot(0.0), pid=os.getpid(), answers={})
    content["servicenet"] = {"interface": "lo", "address": f"{HERE}/8", "mac": "", "why": ""}
    paths.status.write_text(json.dumps({**content, **changes}))


@pytest.fixture
def ask(api: RunningEmulator, paths: Paths, tmp_path: Path) -> Ask:
    """Run a command with settings that lead to the emulator."""
    path = tmp_path / "rcnetd.yaml"

    def run(*arguments: str, text: str = "") -> int:
        path.write_text(f"endpoint: {api.url}\nca_file: {api.ca_file}\n{text}")
        return main(["--config", str(path), *arguments])

    return run


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        (["gateway"], "10.180.31.254\n"),
        (["gateway", "--format", "json"], '{"gateway_ip": "10.180.31.254"}\n'),
        (["automation"], "DEPLOYED\n"),
        (["automation", "--format", "json"], '{"automation_status": "DEPLOYED"}\n'),
    ],
)
def test_the_body_is_printed_as_it_came(
    ask: Ask, capfd: pytest.CaptureFixture[str], arguments: Sequence[str], body: str
) -> None:
    """It prints the answer and nothing else."""
    assert 0 == ask(*arguments)
    assert (body, "") == capfd.readouterr()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["gateway", "--format", "xml"], "<gateway_ip>10.180.31.254</gateway_ip>"),
        (["automation", "--format", "xml"], "<automation_status>DEPLOYED</automation_status>"),
        (["automation", "--details"], '"tasks": [{"name": "one"'),
        (["automation", "--details", "--format", "xml"], "<task><name>one</name>"),
        (["features"], '"name": "ConfigureNetworkStack"'),
        (["features", "--format", "xml"], "<is_enabled>false</is_enabled>"),
    ],
)
def test_the_other_forms(
    ask: Ask, capfd: pytest.CaptureFixture[str], arguments: Sequence[str], part: str
) -> None:
    """Every format of the API page works."""
    assert 0 == ask(*arguments)
    assert part in capfd.readouterr().out


@pytest.mark.parametrize(
    ("fault", "command", "code", "words"),
    [
        ("not-found", "gateway", 75, "is not assigned yet (404)"),
        ("not-found", "automation", 69, "does not know this server"),
        ("rate-limit", "gateway", 75, "the API's rate limit is reached (403)"),
        ("http-503", "gateway", 69, "the API answered 503"),
        ("expired", "gateway", 69, "the API's certificate has expired"),
        ("redirect", "features", 69, "which is not followed"),
    ],
)
def test_no_usable_answer_is_one_line(
    ask: Ask,
    api: RunningEmulator,
    capfd: pytest.CaptureFixture[str],
    fault: str,
    command: str,
    code: int,
    words: str,
) -> None:
    """It prints the reason and exits with a code that scripts can act on."""
    api.set_fault(fault)

    assert code == ask(command)
    out, error = capfd.readouterr()
    assert ("", 1) == (out, error.count("\n"))
    assert words in error


def test_the_body_of_an_unknown_status_is_still_shown(
    ask: Ask, api: RunningEmulator, capfd: pytest.CaptureFixture[str]
) -> None:
    """The answer is shown as it is."""
    api.set_fault("unknown-word")

    assert 0 == ask("automation")
    assert "MIGRATING\n" == capfd.readouterr().out


def test_each_request_is_in_the_ledger(ask: Ask, api: RunningEmulator, paths: Paths) -> None:
    """Nothing is sent beyond the budget."""
    for _ in range(6):
        assert 0 == ask("gateway", text="requests_per_minute: 6\n")
    sent = len(api.requests)

    assert 75 == ask("gateway", text="requests_per_minute: 6\n")
    assert (6, 6) == (sent, len(api.requests))
    assert paths.requests.exists()


def test_a_403_stops_everybody_for_a_minute(
    ask: Ask, api: RunningEmulator, paths: Paths, capfd: pytest.CaptureFixture[str]
) -> None:
    """It also holds for the daemon and every other command."""
    api.set_fault("rate-limit")
    assert 75 == ask("gateway")
    api.clear_fault()
    sent = len(api.requests)

    assert 75 == ask("gateway")
    assert sent == len(api.requests)
    assert "the next is possible in 6" in capfd.readouterr().err
    assert Ledger(paths.requests, 18).view().blocked_for > 50


def test_without_the_privilege_the_daemons_answer_is_shown(
    ask: Ask,
    paths: Paths,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With its age; only root may ask the API."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Ledger, "take", refuse)
    assert 75 == ask("gateway")
    assert "rcnetd has no answer yet" in capfd.readouterr().err
    answer = {"answer": "10.180.31.254", "outcome": "ok", "at": 0.0}
    write_status(paths, answers={Operation.GATEWAY.value: answer})

    assert 0 == ask("gateway")
    out, error = capfd.readouterr()
    assert "10.180.31.254\n" == out
    assert "this is rcnetd's answer of " in error
    assert "only root may ask" in error

    for outcome, code in (("not-assigned", 75), ("rate-limited", 75), ("failed", 69)):
        write_status(paths, answers={Operation.GATEWAY.value: {**answer, "outcome": outcome}})
        assert code == ask("gateway")


@pytest.mark.parametrize("text", ["{", '{"version": 1}', '{"version": 1, "answers": []}'])
def test_a_damaged_status_is_one_line(
    ask: Ask,
    paths: Paths,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    text: str,
) -> None:
    """This also holds where the user may see nothing else."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Ledger, "take", refuse)
    paths.run.mkdir(exist_ok=True)
    paths.status.write_text(text)

    assert 1 == ask("gateway")
    out, error = capfd.readouterr()
    assert ("", 1) == (out, error.count("\n"))


def test_without_servicenet_nothing_is_sent(
    ask: Ask,
    api: RunningEmulator,
    paths: Paths,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The API knows a server by its ServiceNet address; another source would get another answer."""
    paths.status.unlink()

    assert 69 == ask("gateway", text="servicenet: {interface: nowhere0}\n")
    assert "there is no ServiceNet interface to ask from" in capfd.readouterr().err
    assert [] == api.requests


@pytest.mark.parametrize(
    ("arguments", "text", "code", "words"),
    [
        (["gateway"], "regoin: dfw\n", 78, "regoin: is not a setting"),
        (["automation", "--details", "--format", "text"], "", 2, "no details as text"),
    ],
)
def test_bad_input(
    ask: Ask,
    capfd: pytest.CaptureFixture[str],
    arguments: Sequence[str],
    text: str,
    code: int,
    words: str,
) -> None:
    """One line, before anything is sent."""
    assert code == ask(*arguments, text=text)
    error = capfd.readouterr().err
    assert 1 == error.count("\n")
    assert words in error


def test_a_directory_that_cannot_be_made(
    ask: Ask, paths: Paths, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is in the way of the directory."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(paths.status))

    assert 69 == ask("gateway")
    assert "rcnetctl: Failed to use '" in capfd.readouterr().err
