"""Several files change together, or none does."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from rcnetd.basic.chroot_files import Chroot, Location
from rcnetd.hostconfig import transaction
from rcnetd.hostconfig.renderers.model import File
from rcnetd.hostconfig.transaction import Changed, Write, clean_up

ROOT = Chroot(Path("/"))


def read(path: Path) -> File | None:
    """A file as it is."""
    return transaction.read(ROOT, str(path))


def apply(writes: Sequence[Write]) -> None:
    """Change the files."""
    transaction.apply(ROOT, writes)


@pytest.fixture
def locate() -> Iterator[Callable[[Path], Location]]:
    """Find files, until the test ends."""
    with contextlib.ExitStack() as located:
        yield lambda path: located.enter_context(ROOT.locate(str(path)))


@pytest.fixture
def writes(tmp_path: Path, locate: Callable[[Path], Location]) -> list[Write]:
    """One file is edited, one is new, one goes."""
    kept = {}
    for name in ("edited", "going"):
        (tmp_path / name).write_text(name)
        (tmp_path / name).chmod(0o640)
        kept[name] = read(tmp_path / name)
    own = (os.geteuid(), os.getegid())
    return [
        Write(locate(tmp_path / "edited"), File(b"other", 0o640, *own), kept["edited"]),
        Write(locate(tmp_path / "new"), File(b"new", 0o600, *own), None),
        Write(locate(tmp_path / "going"), None, kept["going"]),
    ]


def tree(path: Path) -> dict[str, tuple[bytes, int]]:
    """All files, the hidden ones too, with their modes."""
    return {file.name: (file.read_bytes(), file.stat().st_mode & 0o777) for file in path.iterdir()}


def test_all_files_change(tmp_path: Path, writes: list[Write]) -> None:
    """And nothing is left beside them."""
    apply(writes)
    assert {"edited": (b"other", 0o640), "new": (b"new", 0o600)} == tree(tmp_path)


@pytest.mark.parametrize("call", ["fsync", "link"])
def test_an_error_names_the_file_itself(
    tmp_path: Path, writes: list[Write], mocker: MockerFixture, call: str
) -> None:
    """A write on a full disk has no name, and a link to an immutable file has two."""
    mocker.patch(f"os.{call}", side_effect=OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(OSError, match="No space left") as caught:
        apply(writes)
    assert str(tmp_path / "edited") == caught.value.filename


CALLS: list[str] = ["fsync", "link", "fchmod", "open"]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("at", range(6))
def test_an_error_takes_all_back(
    tmp_path: Path, writes: list[Write], mocker: MockerFixture, name: str, at: int
) -> None:
    """Whichever call fails, and when: a full disk, a file system that is read-only."""
    before, calls = tree(tmp_path), 0
    real: Callable[..., object] = getattr(os, name)

    def fails(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        if calls == at + 1:
            raise OSError(errno.ENOSPC, "No space left on device", "x")
        return real(*args, **kwargs)

    mocker.patch(f"os.{name}", fails)
    try:
        apply(writes)
    except OSError:
        mocker.stopall()
        assert before == tree(tmp_path)
    else:
        assert calls <= at


@pytest.mark.parametrize("change", ["x", None])
def test_what_has_changed_meanwhile_is_not_written(
    tmp_path: Path, writes: list[Write], change: str | None
) -> None:
    """Neither is any other file."""
    if change is None:
        (tmp_path / "edited").unlink()
    else:
        (tmp_path / "edited").write_text(change)
    before = tree(tmp_path)
    with pytest.raises(Changed, match=r"'.*edited' has changed meanwhile; nothing was written"):
        apply(writes)
    assert before == tree(tmp_path)


def test_what_a_crash_left_is_removed(tmp_path: Path, writes: list[Write]) -> None:
    """Beside the files that are named, and no others."""
    for name in (".edited.rcnetd-new", ".edited.rcnetd-old", ".other.rcnetd-new"):
        (tmp_path / name).touch()
    clean_up(write.place for write in writes)
    assert {"edited", "going", ".other.rcnetd-new"} == set(tree(tmp_path))


def test_reads_what_is_there(tmp_path: Path) -> None:
    """A file with its owner and mode; nothing where there is none; a directory is no file."""
    (tmp_path / "a").write_text("x")
    (tmp_path / "a").chmod(0o604)
    assert File(b"x", 0o604, os.geteuid(), os.getegid()) == read(tmp_path / "a")
    assert read(tmp_path / "b") is None
    assert read(tmp_path / "a" / "b") is None
    with pytest.raises(ValueError, match="is not a regular file"):
        read(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_an_odd_owner_stays(tmp_path: Path, locate: Callable[[Path], Location]) -> None:
    """Whoever owns the file, with whatever mode, owns what it becomes."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    os.chown(path, 12, 34)
    path.chmod(0o604)
    old = read(path)
    assert old == File(b"old", 0o604, 12, 34)
    apply([Write(locate(path), File(b"new", old.mode, old.uid, old.gid), old)])
    assert File(b"new", 0o604, 12, 34) == read(path)
