"""`rcnetctl fleet` against real Keystone and Nova."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from rcnetd.ctl.main import main
from tests.conftest import missing
from tests.fleet import rows
from tests.fleet.nova import Nova
from tests.support.openstack import write_clouds

MANY = 2500
# Of the story of a wait; RCNETD_SERVERS=10000 tells it in full length.
STORY = int(os.environ.get("RCNETD_SERVERS", "1000"))
LONG = 120.0  # seconds; nothing here takes that long unless it is broken


@pytest.fixture(scope="module")
def nova() -> Iterator[Nova]:
    """The services."""
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        missing("fleet", "Nova needs root, and mmdebstrap to make its tree")
    started = Nova.started()
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def clouds(nova: Nova, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """clouds.yaml with this cloud alone."""
    path = write_clouds(tmp_path / "clouds.yaml", {"nova": nova.settings()})
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))
    monkeypatch.delenv("OS_CLOUD", raising=False)


def now() -> str:
    """The time as Nova's database has it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f")


def test_all_pages(nova: Nova, capsys: pytest.CaptureFixture[str]) -> None:
    """Every server once, with its status, addresses and features."""
    rows.fill(nova.tree, nova.project, ["DEPLOYED"] * (MANY - 2) + ["FAILED", None])

    assert 69 == main(["fleet", "--format", "json"])
    content = json.loads(capsys.readouterr().out)
    assert MANY == len({one["id"] for one in content["servers"]})
    counts = content["counts"]
    assert (MANY - 2, 1, 1) == (counts["DEPLOYED"], counts["FAILED"], counts["NOT_RACKCONNECTED"])
    first = next(one for one in content["servers"] if one["id"] == rows.server_id(1))
    assert ("web-1", "ORD", "ACTIVE") == (first["name"], first["region"], first["server_status"])
    assert ("203.0.0.2", "10.180.0.2") == (first["access_address"], first["servicenet_address"])
    assert {"configure_network_stack": "ENABLED"} == first["features"]


def test_a_wait(nova: Nova, capsys: pytest.CaptureFixture[str]) -> None:
    """Metadata that changes through the API, and a server that is deleted."""
    rows.fill(nova.tree, nova.project, ["DEPLOYING"] * 3 + ["DEPLOYED"] * 20 + [None])

    def change() -> None:
        nova.set_metadata(rows.server_id(1), {rows.STATUS_KEY: "DEPLOYED"})
        rows.delete(nova.tree, 2, now())
        nova.set_metadata(rows.server_id(3), {rows.STATUS_KEY: "DEPLOYED"})

    timer = threading.Timer(3.0, change)
    timer.start()
    code = main(["fleet", "--wait", "deployed", "--interval", "1s", "--timeout", "2min",
                 "--format", "names"])  # fmt: skip
    timer.join()
    out, err = capsys.readouterr()

    assert 0 == code, err
    assert 23 == len(out.split())
    assert "web-2" not in out.split()


def once_asked(nova: Nova, *steps: Callable[[], object]) -> threading.Thread:
    """Take a step whenever Nova has been asked once more."""

    def run() -> None:
        for step in steps:
            seen, end = nova.requests(), time.monotonic() + LONG
            while nova.requests() == seen and time.monotonic() < end:
                time.sleep(0.1)
            step()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize(("share", "expected"), [("100%", 69), (str(STORY - 10), 0)])
def test_the_story_of_a_wait(
    nova: Nova, capsys: pytest.CaptureFixture[str], share: str, expected: int
) -> None:
    """All but ten become DEPLOYED; 6 FAILED, 2 UNPROCESSABLE, one deleted, one without the key."""
    rows.fill(nova.tree, nova.project, ["DEPLOYING"] * (STORY - 1) + [None])
    half = range(1, STORY // 2)
    rest = range(STORY // 2, STORY - 9)
    lost = dict.fromkeys(range(STORY - 9, STORY - 3), "FAILED")
    lost |= dict.fromkeys(range(STORY - 3, STORY - 1), "UNPROCESSABLE")
    thread = once_asked(
        nova,
        lambda: rows.change(nova.tree, dict.fromkeys(half, "DEPLOYED"), now()),
        lambda: rows.delete(nova.tree, STORY - 1, now()),
        lambda: rows.change(nova.tree, {**dict.fromkeys(rest, "DEPLOYED"), **lost}, now()),
    )
    code = main(["fleet", "--wait", "deployed", "--expect", "--at-least", share,
                 "--interval", "1s", "--timeout", "10min"])  # fmt: skip
    thread.join()
    out, err = capsys.readouterr()
    print(f"exit code {code}\n{err}\n{out}")

    assert expected == code
    assert out.startswith(
        f"{STORY - 1} servers: {STORY - 10} DEPLOYED, 6 FAILED, 2 UNPROCESSABLE, 1 not RackConn"
    )
    assert f"{STORY - 10} of {share if expected == 0 else STORY - 1} DEPLOYED" in err
    reason = f"6 FAILED and 2 UNPROCESSABLE of {STORY - 1}, at least {STORY - 1} are needed"
    assert (reason in err) is (expected == 69)


def test_a_wrong_password(nova: Nova, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, and 77."""
    settings = nova.settings()
    settings["auth"]["password"] = "other"
    write_clouds(tmp_path / "clouds.yaml", {"nova": settings})

    assert 77 == main(["fleet"])
    out, err = capsys.readouterr()
    assert ("", 1) == (out, err.count("\n"))
    assert "not authorised" in err
