"""Before the snapshot of an image: what is bound to this machine goes, nothing else."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from rcnetd.ctl.main import main
from rcnetd.store.paths import Places


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A server that has booted, in a directory."""
    for name in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY", "RCNETD_INSTANCE"):
        monkeypatch.delenv(name, raising=False)
    places = Places(
        tmp_path / "run/rcnetd",
        tmp_path / "var/lib/rcnetd",
        tmp_path / "run/rcnetd-instance/instance.json",
    )
    for path in (*places.bound_to_this_machine, places.lock, tmp_path / "etc/rcnetd/rcnetd.yaml"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return places


def clean(places: Places, *options: str) -> int:
    """Run it on that directory."""
    return main(["clean", "--root", str(places.run.parents[1]), *options])


def left(places: Places) -> list[str]:
    """All files that are left."""
    root = places.run.parents[1]
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def test_all_that_is_bound_goes(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is named; the settings stay. A second time there is nothing to do."""
    assert 0 == clean(places)
    out, error = capsys.readouterr()
    assert [f"removed {path}" for path in places.bound_to_this_machine] == out.splitlines()
    assert "" == error
    assert ["etc/rcnetd/rcnetd.yaml", "run/rcnetd/lock"] == left(places)

    assert 0 == clean(places)
    assert ("", "") == capsys.readouterr()


def test_a_route_in_the_host_s_configuration_is_to_be_reverted(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every server of the image would come up with it; what can go has gone."""
    record = places.undo / "undo/record.json"
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    assert 1 == clean(places)
    assert "'rcnetctl revert' first" in capsys.readouterr().err
    assert record.exists()
    assert not places.memory.exists()


def test_a_dry_run_removes_nothing(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what it would."""
    before = left(places)

    assert 0 == clean(places, "--dry-run")
    assert before == left(places)
    assert 9 == capsys.readouterr().out.count("would remove ")


def test_a_running_daemon_would_remember_it_again(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused, with what to do."""
    before = left(places)
    lock = os.open(places.lock, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        assert 1 == clean(places)
    finally:
        os.close(lock)

    assert "'systemctl stop rcnetd'" in capsys.readouterr().err
    assert before == left(places)


def test_only_root_may(
    places: Places, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said before anything is tried."""

    def denied(*_: object, **__: object) -> int:
        raise PermissionError

    before = left(places)
    monkeypatch.setattr("rcnetd.ctl.clean.os.open", denied)

    assert 1 == clean(places)
    assert "run it as root" in capsys.readouterr().err
    assert before == left(places)


def test_links_are_not_followed(places: Places, tmp_path: Path) -> None:
    """What one points to is somebody else's."""
    (tmp_path / "precious").write_text("x")
    places.memory.unlink()
    places.memory.symlink_to(tmp_path / "precious")

    assert 0 == clean(places)
    assert not places.memory.is_symlink()
    assert (tmp_path / "precious").exists()


def test_what_cannot_be_removed_is_a_line(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rest goes all the same."""
    places.memory.unlink()
    places.memory.mkdir()

    assert 1 == clean(places)
    error = capsys.readouterr().err
    assert f"rcnetctl: '{places.memory}' is a directory, not ours; leaving it\n" == error
    assert not places.status.exists()


@pytest.mark.parametrize(
    ("text", "told"), [("0" * 32, True), ("", False), ("uninitialized", False)]
)
def test_a_machine_id_is_only_told_of(
    places: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, told: bool
) -> None:
    """It is the host's."""
    (tmp_path / "etc/machine-id").write_text(f"{text}\n")

    assert 0 == clean(places)
    assert told is ("is not empty" in capsys.readouterr().err)
    assert f"{text}\n" == (tmp_path / "etc/machine-id").read_text()
