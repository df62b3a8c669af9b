"""Changes several files together: all of them, or none; each is whole at any moment.

Everything new is written and synced beside its place first, under `.NAME.rcnetd-new`; then each
file takes its place by a rename, and what was there keeps a name, `.NAME.rcnetd-old`, until all
have theirs. No network manager reads names that begin with a dot. An error takes back what was
done. A crash leaves each file as it was or as it is to be; `clean_up` removes what is beside it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from rcnetd.basic.dataclass import dataclass
from rcnetd.basic.files import read_bounded, sync_directory
from rcnetd.hostconfig.renderers.model import File

MAX_SIZE = 256 * 1024  # bytes of one file


class Changed(Exception):
    """A file is not what it was when it was read; one plain line."""


@dataclass(frozen=True)
class Write:
    """What a file is to become (None: it goes), and what must be there until then."""

    path: Path
    new: File | None
    old: File | None


def apply(writes: Sequence[Write]) -> None:
    """Make all changes. Raises `OSError` or `Changed`; then everything is as it was.

    The directories are there. New files are as open as asked for at no time more.
    """
    clean_up(write.path for write in writes)
    done: list[Write] = []
    try:
        for write in writes:
            if write.new is not None:
                _prepare(write.path, write.new)
        for write in writes:
            _expect(write)
        for write in writes:
            _expect(write)
            _replace(write, done)
        for directory in {write.path.parent for write in writes}:
            sync_directory(directory)
    except BaseException:
        for write in reversed(done):
            _take_back(write)
        raise
    finally:
        clean_up(write.path for write in writes)


def clean_up(paths: Iterable[Path]) -> None:
    """Remove what a crash may have left beside these files."""
    for path in paths:
        for name in (_new(path), _old(path)):
            with contextlib.suppress(FileNotFoundError):
                name.unlink()


def read(path: Path) -> File | None:
    """A file as it is; None where there is none. Raises `OSError`, `ValueError` if it is no file
    or too large."""
    try:
        data = read_bounded(path, MAX_SIZE)
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    mode = found.st_mode & 0o7777
    return File(data, mode, found.st_uid, found.st_gid, found.st_mtime_ns)


def _prepare(path: Path, new: File) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(_new(path), flags, 0o600), "wb") as file:
        if (os.geteuid(), os.getegid()) != (new.uid, new.gid):
            os.fchown(file.fileno(), new.uid, new.gid)
        os.fchmod(file.fileno(), new.mode)
        _copy_attributes(path, file.fileno())
        file.write(new.data)
        file.flush()
        os.fsync(file.fileno())


def _copy_attributes(path: Path, descriptor: int) -> None:
    """Access lists and labels (SELinux), where the filesystem has them."""
    try:
        names = os.listxattr(path)
    except OSError:
        return
    for name in names:
        with contextlib.suppress(OSError):
            os.setxattr(descriptor, name, os.getxattr(path, name))


def _expect(write: Write) -> None:
    if read(write.path) != write.old:
        raise Changed(f"'{write.path}' has changed meanwhile; nothing was written, try again")


def _replace(write: Write, done: list[Write]) -> None:
    if write.old is not None:
        os.link(write.path, _old(write.path), follow_symlinks=False)
    done.append(write)
    if write.new is not None:
        _new(write.path).rename(write.path)
    else:
        write.path.unlink(missing_ok=True)


def _take_back(write: Write) -> None:
    if write.old is not None:
        _old(write.path).rename(write.path)
    else:
        write.path.unlink(missing_ok=True)


def _new(path: Path) -> Path:
    return path.with_name(f".{path.name}.rcnetd-new")


def _old(path: Path) -> Path:
    return path.with_name(f".{path.name}.rcnetd-old")
