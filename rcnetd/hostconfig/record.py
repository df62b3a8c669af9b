"""Keeps the revert record on disk, and the lock under which it and the files change."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from rcnetd.basic.chroot_files import Chroot
from rcnetd.hostconfig import undo
from rcnetd.hostconfig.renderers.model import CannotPersist
from rcnetd.hostconfig.undo import RevertRecord

MAX_SIZE = 16 * 1024 * 1024  # bytes
PRIVATE = 0o700


class RecordFile:
    """The record in the directory *state*, which only root may read.

    Below a foreign *root* the record is found as everything else there: nothing leads out of it.
    """

    def __init__(self, root: Path, state: Path) -> None:
        inside = root in state.parents
        self._files = Chroot(root if inside else Path("/"))
        self._state = f"/{state.relative_to(root)}" if inside else str(state.absolute())
        self._path = f"{self._state}/undo/record.json"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Wait to be the only writer. Raises `OSError`, `CannotPersist`."""
        path = f"{self._state}/lock"
        self._make_directories(path)
        with self._files.locate(path, follow=False) as place:
            try:
                descriptor = self._files.open_file(place, os.O_RDWR | os.O_CREAT)
            except ValueError as error:
                raise CannotPersist(f"{error}; remove it") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def load(self) -> RevertRecord:
        """What `revert` would put back; empty if there is nothing. Raises `CannotPersist`."""
        try:
            return undo.parse(self._files.read(self._path, MAX_SIZE)[0])
        except (FileNotFoundError, NotADirectoryError):
            return RevertRecord()
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            why = f" ({error})" if isinstance(error, undo.Implausible) else ""
            raise CannotPersist(
                f"'{self._files.shown(self._path)}' is damaged{why}; restore the files from it by"
                " hand"
            ) from None

    def save(self, record: RevertRecord) -> None:
        """Write the record; an empty one is removed. Raises `OSError`."""
        if not record.files:
            self.forget()
            return
        self._make_directories(self._path)
        self._files.write_atomic(self._path, record.text().encode(), mode=0o600)

    def forget(self) -> None:
        """Remove the record. Raises `OSError`."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self._files.unlink(self._path)

    def _make_directories(self, path: str) -> None:
        for directory in self._files.missing_directories(path):
            with contextlib.suppress(FileExistsError):
                self._files.make_directory(directory, PRIVATE)
