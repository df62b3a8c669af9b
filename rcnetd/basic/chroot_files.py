"""Files below a directory, found as a process would find them after chroot(2) into it.

Nothing that the tree contains leads out of it: an absolute link begins at the directory, `..` ends
there, and each step is an open of one name in the directory that the last step opened. So a link
that is put in place of a directory meanwhile is refused by the kernel, not followed. This is
RESOLVE_IN_ROOT of openat2(2), which Python does not have and Linux only since 5.6.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from errno import EISDIR, ELOOP, EXDEV
from fnmatch import fnmatchcase
from pathlib import Path

from rcnetd.basic.dataclass import dataclass

MAX_STEPS = 500  # names and links on the way to one file
MAX_ENTRIES = 10_000  # names in one directory that is listed
MOUNTED = "a file system is mounted there; unmount it, or run rcnetctl in a chroot"
ENTER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Location:
    """A name in an open directory. *path* is where that is below the root, free of links."""

    directory: int
    name: str
    path: str

    def beside(self, name: str) -> Location:
        """Another name in the same directory."""
        return Location(self.directory, name, f"{self.path.rpartition('/')[0]}/{name}")

    def exists(self) -> bool:
        """Whether there is anything of this name, be it a link that leads nowhere."""
        try:
            self.stat()
        except FileNotFoundError:
            return False
        return True

    def stat(self) -> os.stat_result:
        """The status of what has this name, also of a link. Raises `OSError`."""
        return os.stat(self.name, dir_fd=self.directory, follow_symlinks=False)

    def readlink(self) -> str | None:
        """Where a link of this name leads; None if it is none, or nothing."""
        return _readlink(self.directory, self.name)

    def open(self, flags: int, mode: int = 0o600) -> int:
        """Open what has this name, never through a link. Raises `OSError`."""
        flags |= os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
        return os.open(self.name, flags, mode, dir_fd=self.directory)

    def rename(self, target: Location) -> None:
        """Put it in the place of *target*. Raises `OSError`."""
        os.rename(
            self.name, target.name, src_dir_fd=self.directory, dst_dir_fd=target.directory
        )  # fmt: skip

    def unlink(self) -> None:
        """Remove the name; of a link, the link. Raises `OSError`."""
        os.unlink(self.name, dir_fd=self.directory)

    def sync_directory(self) -> None:
        """Make the directory's names survive a power failure. Raises `OSError`."""
        descriptor = os.open(
            ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.directory
        )
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Chroot:
    """The files below *root*. Paths are absolute, as a process in that root would name them.

    What is mounted in a foreign tree is not the tree's, but often this host's own (/proc, /run):
    a path that leads there is refused (EXDEV), as by RESOLVE_NO_XDEV.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._is_foreign = root != Path("/")

    def shown(self, path: str) -> str:
        """The path as it is outside of the root, for messages."""
        return f"{str(self._root).rstrip('/')}{path}"

    @contextlib.contextmanager
    def locate(self, path: str, *, follow: bool = True) -> Iterator[Location]:
        """Find a file by its path; the file itself need not exist, its directory must.

        *follow* False stops at a link in the last place. Raises `OSError`; `IsADirectoryError` for
        a path that ends in the root or in `..`.
        """
        with contextlib.ExitStack() as opened:
            root = os.open(self._root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            opened.callback(os.close, root)
            mount = _mount(root) if self._is_foreign else None
            entered: list[tuple[int, str]] = []
            names = _names(path)
            for _ in range(MAX_STEPS):
                if not names:
                    raise IsADirectoryError(EISDIR, os.strerror(EISDIR), self.shown(path))
                name = names.pop()
                here = entered[-1][0] if entered else root
                target = _readlink(here, name) if names or follow else None
                if name == "..":
                    del entered[-1:]
                elif target is not None:
                    names += _names(target)
                    if target.startswith("/"):
                        entered.clear()
                elif names:
                    entered.append((self._enter(here, name, path), name))
                    opened.callback(os.close, entered[-1][0])
                    self._refuse_mount(entered[-1][0], mount, path)
                else:
                    found = "".join(f"/{one}" for one in (*(one for _, one in entered), name))
                    yield Location(here, name, found)
                    return
            raise OSError(ELOOP, os.strerror(ELOOP), self.shown(path))

    def _refuse_mount(self, descriptor: int, mount: object, path: str) -> None:
        if self._is_foreign and _mount(descriptor) != mount:
            raise OSError(EXDEV, MOUNTED, self.shown(path))

    def _enter(self, directory: int, name: str, path: str) -> int:
        try:
            return os.open(name, ENTER, dir_fd=directory)
        except OSError as error:
            error.filename = self.shown(path)
            raise

    def read(self, path: str, limit: int) -> tuple[bytes, os.stat_result]:
        """Read a regular file of at most *limit* bytes, through links, with its status.

        Raises `OSError`; `ValueError` for a larger file and for anything that is not a file.
        """
        with self.locate(path) as place:
            return self.read_at(place, limit)

    def read_at(self, place: Location, limit: int) -> tuple[bytes, os.stat_result]:
        """Read a file that has been located. Raises `OSError`, `ValueError` as `read` does."""
        with os.fdopen(self.open_file(place, os.O_RDONLY), "rb") as file:
            found = os.fstat(file.fileno())
            data = file.read(limit + 1)
        if len(data) > limit:
            raise ValueError(f"'{self.shown(place.path)}' is larger than {limit} bytes")
        return data, found

    def open_file(self, place: Location, flags: int) -> int:
        """Open a regular file that has been located; never waits. Raises as `read` does."""
        shown = self.shown(place.path)
        try:
            # Opening a device can do something, so look first.
            with contextlib.suppress(FileNotFoundError):
                _require_file(place.stat(), shown)
            descriptor = place.open(flags | os.O_NONBLOCK)
        except OSError as error:
            error.filename = shown
            raise
        try:
            _require_file(os.fstat(descriptor), shown)
            if self._is_foreign:
                self._refuse_mount(descriptor, _mount(place.directory), place.path)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def glob(self, pattern: str) -> list[str]:
        """The paths that match a pattern of names and wildcards, sorted.

        As in a shell, a wildcard does not match the dot of a hidden file.

        Raises `OSError`; `ValueError` for a directory with more than `MAX_ENTRIES` names.
        """
        found = [""]
        for part in pattern.split("/")[1:]:
            if any(char in part for char in "*?["):
                found = [f"{top}/{name}" for top in found for name in self._list(top, part)]
            else:
                found = [f"{top}/{part}" for top in found]
        return sorted(path for path in found if self.exists(path))

    def exists(self, path: str) -> bool:
        """Whether there is a file, a directory or a link of this name. Raises `OSError`."""
        try:
            with self.locate(path, follow=False) as place:
                return place.exists()
        except (FileNotFoundError, NotADirectoryError):
            return False

    def is_directory(self, path: str) -> bool:
        """Whether a path leads to a directory. Raises `OSError`."""
        try:
            with self.locate(f"{path}/.name"):
                return True
        except (FileNotFoundError, NotADirectoryError):
            return False

    def missing_directories(self, path: str) -> list[str]:
        """The directories on the way to a file that do not exist, the uppermost first."""
        parts = path.split("/")[1:-1]
        above = [
            "".join(f"/{part}" for part in parts[: number + 1]) for number in range(len(parts))
        ]
        return [directory for directory in above if not self.is_directory(directory)]

    def make_directory(self, path: str, mode: int) -> None:
        """Make one directory, whatever the umask. Raises `OSError`."""
        with self.locate(path) as place:
            os.mkdir(place.name, dir_fd=place.directory)
            descriptor = place.open(os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fchmod(descriptor, mode)
            finally:
                os.close(descriptor)
            place.sync_directory()

    def remove_directory(self, path: str) -> None:
        """Remove an empty directory. Raises `OSError`."""
        with self.locate(path, follow=False) as place:
            os.rmdir(place.name, dir_fd=place.directory)

    def unlink(self, path: str) -> None:
        """Remove a file; of a link, the link. Raises `OSError`."""
        with self.locate(path, follow=False) as place:
            place.unlink()
            place.sync_directory()

    def write_atomic(self, path: str, data: bytes, *, mode: int) -> None:
        """Write a file: a reader sees the old content or the new. A link at *path* is replaced.

        Raises `OSError`; then the file is as it was.
        """
        with self.locate(path, follow=False) as place:
            temporary = place.beside(f".{place.name}.{os.urandom(4).hex()}.tmp")
            descriptor = temporary.open(os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    os.fchmod(descriptor, mode)
                    file.write(data)
                    file.flush()
                    os.fsync(descriptor)
                temporary.rename(place)
            except BaseException:
                with contextlib.suppress(OSError):
                    temporary.unlink()
                raise
            place.sync_directory()

    def _list(self, directory: str, pattern: str) -> list[str]:
        try:
            with self.locate(f"{directory}/.name") as place:
                descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=place.directory)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            error.filename = self.shown(directory)
            raise
        try:
            with os.scandir(descriptor) as entries:
                names = []
                for number, entry in enumerate(entries):
                    if number == MAX_ENTRIES:
                        raise ValueError(
                            f"'{self.shown(directory)}' has more than {MAX_ENTRIES} entries"
                        )
                    names.append(entry.name)
        finally:
            os.close(descriptor)
        hidden = pattern.startswith(".")
        return [
            name for name in names if fnmatchcase(name, pattern) and name.startswith(".") is hidden
        ]


def _require_file(found: os.stat_result, shown: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"'{shown}' is not a regular file")


def _mount(descriptor: int) -> object:
    """What tells one mount from another; without /proc only one device from another."""
    try:
        with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as lines:  # noqa: PTH123
            return next(line for line in lines if line.startswith("mnt_id:"))
    except OSError:
        return os.fstat(descriptor).st_dev


def _names(path: str) -> list[str]:
    """The names of a path, the first one last."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _readlink(directory: int, name: str) -> str | None:
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError:
        return None  # not a link; or nothing at all, which the next step reports
