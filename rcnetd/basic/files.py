"""Reading with a bound, writing whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path


def read_bounded(path: Path, limit: int, *, follow: bool = True) -> bytes:
    """Read a regular file of at most *limit* bytes. Raises `OSError`; `ValueError` if it is larger.

    Directories, devices and pipes are refused (`ValueError`): they could block or never end.
    *follow* False refuses a link, for a file in a directory of somebody who may read less than we.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError(f"'{path}' is not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    finally:
        os.close(descriptor)
    if len(data) > limit:
        raise ValueError(f"'{path}' is larger than {limit} bytes")
    return data


def write_atomic(
    path: Path, data: bytes | str, *, mode: int = 0o644, durable: bool = True, compare: bool = True
) -> bool:
    """Write *data* to *path*: a reader sees the old content or the new, never a part.

    A temporary file in the same directory, `fsync`, `rename`, and `fsync` of the directory;
    *durable* False leaves the syncs out, for files that go with a reboot anyway. The same content
    with the same mode is not written again: returns False; *compare* False spares looking for that,
    for content that is never the same. A link at *path* is replaced, not followed. Raises
    `OSError`; then no temporary file stays, and *path* is as it was (unless only the directory's
    `fsync` failed: then it is not certain to outlive a loss of power).
    """
    content = data.encode() if isinstance(data, str) else data
    if compare and _is_same(path, content, mode):
        return False
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            os.fchmod(descriptor, mode)  # before the content: it is never more open than asked for
            view = memoryview(content)
            while view:
                view = view[file.write(view) :]
            if durable:
                os.fsync(descriptor)
        temporary.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        sync_directory(path.parent)
    return True


def _is_same(path: Path, content: bytes, mode: int) -> bool:
    try:
        found = path.lstat().st_mode
        if not stat.S_ISREG(found) or stat.S_IMODE(found) != mode:
            return False
        return read_bounded(path, len(content)) == content
    except (OSError, ValueError):
        return False


def sync_directory(path: Path) -> None:
    """Have the names in a directory outlive a loss of power. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
