"""`rcnetctl clean` removes what is bound to this machine, and nothing else."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from rcnetd.ctl.main import main
from rcnetd.store.paths import Paths


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """A server that has booted, in a directory."""
    for name in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY", "RCNETD_METADATA"):
        monkeypatch.delenv(name, raising=False)
    paths = Paths(
        tmp_path / "run/rcnetd",
        tmp_path / "var/lib/rcnetd",
        tmp_path / "run/rcnetd-metadata/metadata.json",
    )
    for path in (*paths.bound_to_this_machine, paths.lock, tmp_path / "etc/rcnetd/rcnetd.yaml"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return paths


def clean(paths: Paths, *options: str) -> int:
    """Run it on that directory."""
    return main(["clean", "--root", str(paths.run.parents[1]), *options])


def left(paths: Paths) -> list[str]:
    """The remaining files."""
    root = paths.run.parents[1]
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def test_all_that_is_bound_goes(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    """Each file is named; the settings stay; a second run does nothing."""
    assert 0 == clean(paths)
    out, error = capsys.readouterr()
    assert [f"removed {path}" for path in paths.bound_to_this_machine] == out.splitlines()
    assert "" == error
    assert ["etc/rcnetd/rcnetd.yaml", "run/rcnetd/lock"] == left(paths)

    assert 0 == clean(paths)
    assert ("", "") == capsys.readouterr()


def test_a_route_in_the_host_s_configuration_is_to_be_reverted(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is refused, since every server of the image would use it; the rest is removed."""
    record = paths.undo / "undo/record.json"
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    assert 1 == clean(paths)
    assert "'rcnetctl revert' first" in capsys.readouterr().err
    assert record.exists()
    assert not paths.last_good.exists()


def test_a_dry_run_removes_nothing(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    """It names the files."""
    before = left(paths)

    assert 0 == clean(paths, "--dry-run")
    assert before == left(paths)
    assert len(paths.bound_to_this_machine) == capsys.readouterr().out.count("would remove ")


def test_a_running_daemon_would_remember_it_again(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is refused, with a remedy."""
    before = left(paths)
    lock = os.open(paths.lock, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        assert 1 == clean(paths)
    finally:
        os.close(lock)

    assert "'systemctl stop rcnetd'" in capsys.readouterr().err
    assert before == left(paths)


def test_only_root_may(
    paths: Paths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused before anything is changed."""

    def denied(*_: object, **__: object) -> int:
        raise PermissionError

    before = left(paths)
    monkeypatch.setattr("rcnetd.ctl.clean.os.open", denied)

    assert 1 == clean(paths)
    assert "run it as root" in capsys.readouterr().err
    assert before == left(paths)


def test_links_are_not_followed(paths: Paths, tmp_path: Path) -> None:
    """The link is removed, its target is not."""
    (tmp_path / "precious").write_text("x")
    paths.last_good.unlink()
    paths.last_good.symlink_to(tmp_path / "precious")

    assert 0 == clean(paths)
    assert not paths.last_good.is_symlink()
    assert (tmp_path / "precious").exists()


@pytest.mark.parametrize("link", ["var/lib/rcnetd", "var/lib", "run/rcnetd", "run/rcnetd-metadata"])
@pytest.mark.parametrize("is_absolute", [True, False])
def test_nothing_outside_of_the_root_is_removed(
    paths: Paths, tmp_path_factory: pytest.TempPathFactory, link: str, is_absolute: bool
) -> None:
    """The tree's links lead where they do after a chroot, never out of it."""
    root, outside = paths.run.parents[1], tmp_path_factory.mktemp("outside")
    place = root / link
    place.rename(outside / "moved")
    victims = [path for path in outside.rglob("*") if path.is_file()]
    target = outside / "moved"
    place.symlink_to(target if is_absolute else f"{'../' * 30}{str(target).lstrip('/')}")

    assert 0 == clean(paths)
    assert victims
    assert all(path.exists() for path in victims)

    inside = root / str(outside).lstrip("/")  # where the link leads, seen from within
    inside.parent.mkdir(parents=True)
    outside.rename(inside)
    assert 0 == clean(paths)
    kept = [path for path in inside.rglob("*") if path.is_file()]
    assert [path.name for path in kept] == (["lock"] if link == "run/rcnetd" else [])


def test_what_cannot_be_removed_is_a_line(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    """The rest is removed all the same."""
    paths.last_good.unlink()
    paths.last_good.mkdir()

    assert 1 == clean(paths)
    error = capsys.readouterr().err
    text = "is a directory, which rcnetd does not create; leaving it"
    assert f"rcnetctl: '{paths.last_good}' {text}\n" == error
    assert not paths.status.exists()


@pytest.mark.parametrize(
    ("text", "told"), [("0" * 32, True), ("", False), ("uninitialized", False)]
)
def test_a_machine_id_is_only_told_of(
    paths: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, told: bool
) -> None:
    """It is reported and not changed."""
    (tmp_path / "etc/machine-id").write_text(f"{text}\n")

    assert 0 == clean(paths)
    assert told is ("is not empty" in capsys.readouterr().err)
    assert f"{text}\n" == (tmp_path / "etc/machine-id").read_text()
