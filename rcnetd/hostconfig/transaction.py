"""Changes several files together: all of them or none.

Each new content is first written and synced beside its file, as `.NAME.rcnetd-new`. Then each file
is replaced by a rename; its old content keeps the name `.NAME.rcnetd-old` until all files are
replaced. No network manager reads names that begin with a dot. An error undoes what was done. After
a crash each file is either old or new, and `clean_up` removes what was left beside it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence

from rcnetd.basic.chroot_files import Chroot, Location
from rcnetd.basic.dataclass import dataclass
from rcnetd.hostconfig.renderers.model import File

MAX_SIZE = 256 * 1024  # bytes of one file


class Changed(Exception):
    """A file is not what it was when it was read; one plain line."""


@dataclass(frozen=True)
class Write:
    """The new content of a file (None removes it), and the old one, which must still be there."""

    place: Location
    new: File | None
    old: File | None


def apply(files: Chroot, writes: Sequence[Write]) -> None:
    """Make all changes. Raises `OSError` or `Changed`; then everything is as it was.

    The directories must exist. A new file is never more open than its mode allows.
    """
    clean_up(write.place for write in writes)
    done: list[Write] = []
    try:
        for write in writes:
            if write.new is not None:
                with _named(files, write):
                    _prepare(write, write.new)
        for write in writes:
            _expect(files, write)
        for write in writes:
            _expect(files, write)
            with _named(files, write):
                _replace(write, done)
        for write in writes:
            write.place.sync_directory()
    except BaseException:
        for write in reversed(done):
            _take_back(write)
        raise
    finally:
        clean_up(write.place for write in writes)


@contextlib.contextmanager
def _named(files: Chroot, write: Write) -> Iterator[None]:
    """Have an error name the file itself: one from a write has no name, a rename's has another."""
    try:
        yield
    except OSError as error:
        error.filename = files.shown(write.place.path)
        raise


def clean_up(places: Iterable[Location]) -> None:
    """Remove what a crash may have left beside these files."""
    for place in places:
        for name in (_new(place), _old(place)):
            with contextlib.suppress(FileNotFoundError):
                name.unlink()


def read(files: Chroot, path: str) -> File | None:
    """A file as it is, None if there is none. Raises `OSError`, `ValueError` as `Chroot.read`."""
    try:
        with files.locate(path) as place:
            return _read(files, place)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _read(files: Chroot, place: Location) -> File | None:
    try:
        data, found = files.read_at(place, MAX_SIZE)
    except FileNotFoundError:
        return None
    mode = found.st_mode & 0o777
    return File(data, mode, found.st_uid, found.st_gid, found.st_mtime_ns)


def _prepare(write: Write, new: File) -> None:
    descriptor = _new(write.place).open(os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    with os.fdopen(descriptor, "wb") as file:
        if (os.geteuid(), os.getegid()) != (new.uid, new.gid):
            os.fchown(descriptor, new.uid, new.gid)
        os.fchmod(descriptor, new.mode)
        if write.old is not None:
            _copy_attributes(write.place, descriptor)
        file.write(new.data)
        file.flush()
        os.fsync(descriptor)


def _copy_attributes(place: Location, target: int) -> None:
    """Copy access lists and labels (SELinux), where the filesystem has them."""
    try:
        source = place.open(os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return  # it has gone meanwhile, which is noticed next
    try:
        with contextlib.suppress(OSError):
            for name in os.listxattr(source):
                with contextlib.suppress(OSError):
                    os.setxattr(target, name, os.getxattr(source, name))
    finally:
        os.close(source)


def _expect(files: Chroot, write: Write) -> None:
    if _read(files, write.place) != write.old:
        raise Changed(
            f"'{files.shown(write.place.path)}' has changed meanwhile; nothing was written, try"
            " again"
        )


def _replace(write: Write, done: list[Write]) -> None:
    place = write.place
    if write.old is not None:
        os.link(
            place.name, _old(place).name,
            src_dir_fd=place.directory, dst_dir_fd=place.directory, follow_symlinks=False,
        )  # fmt: skip
    done.append(write)
    if write.new is not None:
        _new(place).rename(place)
    else:
        with contextlib.suppress(FileNotFoundError):
            place.unlink()


def _take_back(write: Write) -> None:
    if write.old is not None:
        _old(write.place).rename(write.place)
    else:
        with contextlib.suppress(FileNotFoundError):
            write.place.unlink()


def _new(place: Location) -> Location:
    return place.beside(f".{place.name}.rcnetd-new")


def _old(place: Location) -> Location:
    return place.beside(f".{place.name}.rcnetd-old")
