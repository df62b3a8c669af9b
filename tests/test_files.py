"""Reading with a bound, writing whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rcnetd.files import read_bounded, write_atomic


def test_written_with_its_mode(tmp_path: Path) -> None:
    """Text or bytes, and nothing else is left in the directory."""
    path = tmp_path / "file"

    assert write_atomic(path, "text", mode=0o600)
    assert path.read_text() == "text"
    assert path.stat().st_mode & 0o7777 == 0o600
    assert write_atomic(path, b"\x00", durable=False)
    assert os.listdir(tmp_path) == ["file"]


def test_the_same_content_is_not_written(tmp_path: Path) -> None:
    """No write, no new inode; another mode is another content."""
    path = tmp_path / "file"
    write_atomic(path, "text")
    inode = path.stat().st_ino

    assert not write_atomic(path, "text")
    assert path.stat().st_ino == inode
    assert write_atomic(path, "text", mode=0o600)
    assert write_atomic(path, "longer text", mode=0o600)


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """What a link points to stays as it is."""
    (tmp_path / "victim").write_text("text")
    (tmp_path / "link").symlink_to(tmp_path / "victim")

    assert write_atomic(tmp_path / "link", "text")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "victim").read_text() == "text"


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    """The old content stays, and no temporary file."""
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomic(tmp_path / "file", "text")
    assert os.listdir(tmp_path) == ["file"]
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "missing" / "file", "text")


def test_reading_is_bounded(tmp_path: Path) -> None:
    """A file that is too large is refused, not cut."""
    path = tmp_path / "file"
    path.write_bytes(b"12345")

    assert read_bounded(path, 5) == b"12345"
    with pytest.raises(ValueError, match="larger than 4 bytes"):
        read_bounded(path, 4)


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    """A pipe would block for ever, a device never end."""
    os.mkfifo(tmp_path / "pipe")

    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ValueError, match="not a regular file"):
            read_bounded(path, 10)
