"""Files are read with a bound and written whole or not at all."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from rcnetd.basic.files import read_bounded, write_atomic


def mode_of(path: Path) -> int:
    """The permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- not a directory to walk


def test_up_to_the_limit_is_read(tmp_path: Path) -> None:
    """A file of exactly the limit is read, one byte more is refused."""
    path = tmp_path / "file"
    path.write_bytes(b"12345")

    assert b"12345" == read_bounded(path, 5)
    with pytest.raises(ValueError, match=r"'.*/file' is larger than 4 bytes"):
        read_bounded(path, 4)


def test_a_link_is_followed_unless_it_must_not(tmp_path: Path) -> None:
    """Somebody who may read less than we could name a file by it that we alone may read."""
    (tmp_path / "file").write_bytes(b"secret")
    (tmp_path / "link").symlink_to("file")

    assert b"secret" == read_bounded(tmp_path / "link", 9)
    with pytest.raises(OSError, match="Too many levels"):
        read_bounded(tmp_path / "link", 9, follow=False)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """A pipe does not block, a device does not flood, a directory is no text; nothing leaks."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    before = descriptors()

    for path in (pipe, tmp_path, Path("/dev/zero")):
        with pytest.raises(ValueError, match="is not a regular file"):
            read_bounded(path, 10)
    assert before == descriptors()


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """The caller decides what that means."""
    with pytest.raises(FileNotFoundError):
        read_bounded(tmp_path / "none", 10)


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("data", ["grün\n", "grün\n".encode()])
def test_a_file_is_written(tmp_path: Path, data: bytes | str, durable: bool) -> None:
    """Text is UTF-8; the mode is the one asked for, whatever the umask."""
    path = tmp_path / "file"
    before = os.umask(0o077)
    try:
        assert write_atomic(path, data, mode=0o664, durable=durable)
    finally:
        os.umask(before)

    assert "grün\n".encode() == path.read_bytes()
    assert 0o664 == mode_of(path)
    assert [path] == list(tmp_path.iterdir())


def test_the_same_content_is_not_written_again(tmp_path: Path) -> None:
    """No write, no new file: nobody who watches it wakes up."""
    path = tmp_path / "file"
    write_atomic(path, "one", mode=0o600)
    before = path.stat()

    assert not write_atomic(path, "one", mode=0o600)
    assert before == path.stat()


def test_another_content_or_mode_is_written(tmp_path: Path) -> None:
    """Longer, shorter, as long, or only with another mode."""
    path = tmp_path / "file"
    write_atomic(path, "one")

    for text, mode in (("one more", 0o644), ("two", 0o644), ("six", 0o644), ("six", 0o600)):
        assert write_atomic(path, text, mode=mode)
        assert text == path.read_text()
        assert mode == mode_of(path)


def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    """What a link points to is somebody else's, even with the same content."""
    target, path = tmp_path / "target", tmp_path / "file"
    target.write_text("one")
    path.symlink_to(target)

    assert write_atomic(path, "one")
    assert not path.is_symlink()
    assert write_atomic(path, "two")
    assert "one" == target.read_text()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """A file too large for the disk (here: for the process) changes nothing."""
    path = tmp_path / "file"
    path.write_text("old")
    script = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from rcnetd.basic.files import write_atomic\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: write_atomic(Path(sys.argv[1]), b'x' * 8192)\n"
        "except OSError as error: print(error.strerror)\n"
    )
    output = subprocess.check_output([sys.executable, "-c", script, str(path)], text=True)

    assert "File too large\n" == output
    assert "old" == path.read_text()
    assert [path] == list(tmp_path.iterdir())


def test_what_cannot_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    """A directory in the file's place is an error; so is a directory that is not there."""
    (tmp_path / "file" / "inside").mkdir(parents=True)

    with pytest.raises(OSError, match="directory"):
        write_atomic(tmp_path / "file", "text")
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "none" / "file", "text")
    assert ["file"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize("durable", [True, False])
def test_the_content_is_on_disk_before_the_name(
    tmp_path: Path, mocker: MockerFixture, durable: bool
) -> None:
    """The file, then its name, then the directory: a loss of power leaves the old or the new."""
    order: list[str] = []
    synced, renamed = os.fsync, Path.rename

    def fsync(descriptor: int) -> None:
        order.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        synced(descriptor)

    def rename(path: Path, target: Path) -> Path:
        order.append("name")
        return renamed(path, target)

    mocker.patch("os.fsync", fsync)
    mocker.patch.object(Path, "rename", rename)
    write_atomic(tmp_path / "file", b"content", durable=durable)

    assert (["file", "name", "directory"] if durable else ["name"]) == order


def test_a_killed_writer_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    """kill -9 anywhere: a reader finds one whole content."""
    path = tmp_path / "file"
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from rcnetd.basic.files import write_atomic\n"
        "n = 0\n"
        "while True:\n"
        "    n += 1\n"
        "    write_atomic(Path(sys.argv[1]), str(n % 10) * 100_000, durable=False)\n"
    )
    for turn in range(8):
        process = subprocess.Popen([sys.executable, "-c", script, str(path)])
        give_up_at = time.monotonic() + 10
        before = path.stat().st_ino if path.exists() else 0
        while not (path.exists() and path.stat().st_ino != before):
            assert time.monotonic() < give_up_at
            time.sleep(0.001)
        time.sleep(0.0013 * turn)
        process.send_signal(signal.SIGKILL)
        process.wait()
        text = path.read_text()
        assert text == text[0] * 100_000
