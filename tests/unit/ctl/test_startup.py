"""Whether systemd may still start rcnetd."""

from __future__ import annotations

from pathlib import Path

import pytest

from rcnetd.ctl import startup
from rcnetd.ctl.startup import NOT_RUNNING, Startup, file_refusal, read_properties, refusal

# As `systemctl show` of systemd 252 prints them at these moments of a boot.
QUEUED = {"LoadState": "loaded", "ActiveState": "inactive", "Result": "success", "Job": "96",
          "ConditionResult": "no", "ConditionTimestampMonotonic": "0"}  # fmt: skip
NEVER = {key: value for key, value in QUEUED.items() if key != "Job"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"ActiveState": "activating"}, None),
        ({"ActiveState": "failed"}, None),  # queued again
        ({"Job": "", "ActiveState": "activating", "Result": "exit-code"}, None),  # auto-restart
        ({"Job": "", "ActiveState": "active"}, None),
        ({"Job": "0"}, NOT_RUNNING),
        ({"LoadState": "masked"}, "is masked"),
        ({"LoadState": "not-found"}, "not-found"),
        ({"LoadState": "bad-setting"}, "bad-setting"),
        ({"Job": "", "ActiveState": "failed", "Result": "exit-code"}, r"failed \(exit-code\)"),
        ({"Job": "", "ConditionTimestampMonotonic": "5"}, "condition"),
    ],
)
def test_what_systemd_says(changes: dict[str, str], said: str | None) -> None:
    """Queued, being started or restarted: it may come. Masked, failed, not queued: it will not."""
    reason = refusal({**QUEUED, **changes})

    if said is None:
        assert reason is None
    else:
        assert reason is not None
        assert said.replace("\\", "") in reason


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree that systemd has booted, and rcnetd is installed in."""
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    (tmp_path / "lib/systemd/system").mkdir(parents=True)
    (tmp_path / "lib/systemd/system/rcnetd.service").touch()
    return tmp_path


def test_files_tell_when_systemd_cannot_be_asked(root: Path) -> None:
    """Masked or not installed is known without the bus; the rest is not."""
    assert file_refusal(root) is None

    mask = root / "etc/systemd/system/rcnetd.service"
    mask.symlink_to("/dev/null")
    assert "masked" in str(file_refusal(root))
    mask.unlink()
    (root / "lib/systemd/system/rcnetd.service").unlink()
    assert "not installed" in str(file_refusal(root))
    (root / "run/systemd/system").rmdir()
    assert NOT_RUNNING == file_refusal(root)


def test_whether_systemd_has_come_to_it(root: Path) -> None:
    """Known without the bus; where no systemd runs, nothing is to be expected of it."""
    waiting = Startup(100.0, root)
    assert not waiting.has_begun()
    units = root / "run/systemd/units"
    units.mkdir()
    (units / "invocation:rcnetd.service").symlink_to("2d6fbe7e6f8f4d5f8a6c9d0e1f2a3b4c")
    assert waiting.has_begun()
    (root / "run/systemd/system").rmdir()
    (units / "invocation:rcnetd.service").unlink()
    assert waiting.has_begun()


def test_it_asks_now_and_then(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, then at intervals; who is about to start it has a moment for that."""
    answers: list[dict[str, str] | None] = [NEVER, None, QUEUED, NEVER]
    monkeypatch.setattr(startup, "read_properties", lambda: answers.pop(0))
    waiting = Startup(100.0, root)

    said = [waiting.obstacle(now) for now in (100.0, 101.0, 105.0, 110.0, 115.0)]

    assert [None, None, None, None, NOT_RUNNING] == said
    assert [] == answers


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("echo LoadState=loaded; echo ActiveState=inactive",
         {"LoadState": "loaded", "ActiveState": "inactive"}),
        ("echo Failed to connect to bus >&2; exit 1", None),
        ("exec sleep 60", None),
        ("echo Running in chroot, ignoring command >&2", None),
        (None, None),
    ],
)  # fmt: skip
def test_systemctl_is_asked(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str | None,
    found: dict[str, str] | None,
) -> None:
    """Its answer, or None: no bus yet, no systemctl, no answer in time."""
    if script is not None:
        (tmp_path / "systemctl").write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
        (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(startup, "MAX_SECONDS", 0.5)

    assert found == read_properties()
