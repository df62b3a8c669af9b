"""Waiting for changes of files: inotify(7), which Python has no module for."""

from __future__ import annotations

import ctypes
import os
import select
import struct
from pathlib import Path

IN_MOVED_TO, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE_SELF = 0x80, 0x8, 0x100, 0x400
MASK = IN_MOVED_TO | IN_CLOSE_WRITE | IN_CREATE | IN_DELETE_SELF
EVENT = struct.Struct("=iIII")  # inotify_event: watch, mask, cookie, length of the name
BUFFER = 65536  # bytes


def _init() -> tuple[ctypes.CDLL, int]:
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return libc, descriptor


class Watch:
    """Says when something in *directory* has changed; the directory may come later."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._libc, self._descriptor = _init()
        self._watched = False

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def wait(self, seconds: float) -> None:
        """Wait for a change, or *seconds*; changes since the last call count."""
        if not self._watched:
            name = os.fsencode(self._directory)
            self._watched = self._libc.inotify_add_watch(self._descriptor, name, MASK) >= 0
            if self._watched:
                return  # what happened before the watch has to be looked at
            seconds = min(seconds, 0.5)
        if select.select([self._descriptor], [], [], max(0.0, seconds))[0]:
            os.read(self._descriptor, BUFFER)


class FileWatch:
    """Says when the file *path* has been written or replaced, also behind a symbolic link.

    The directories are watched, not the file: who writes it may put another one in its place.
    Raises `OSError` if the kernel has no watch left.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._libc, self._descriptor = _init()
        self._watched: dict[Path, int] = {}
        self._names: set[bytes] = set()
        self.refresh()

    def fileno(self) -> int:
        """The descriptor to select on."""
        return self._descriptor

    def refresh(self) -> bool:
        """Watch the file's directories that are there by now; True if there are more of them."""
        target = Path(os.path.realpath(self._path))
        self._names = {os.fsencode(self._path.name), os.fsencode(target.name)}
        found = False
        for directory in {self._path.parent, target.parent} - set(self._watched):
            watch = self._libc.inotify_add_watch(self._descriptor, os.fsencode(directory), MASK)
            if watch >= 0:
                self._watched[directory] = watch
                found = True
        return found

    def drain(self) -> bool:
        """Read what is pending, never blocking; True if the file may be another one now."""
        changed = False
        while True:
            try:
                data = os.read(self._descriptor, BUFFER)
            except BlockingIOError:
                break
            offset = 0
            while offset + EVENT.size <= len(data):
                length = EVENT.unpack_from(data, offset)[3]
                start = offset + EVENT.size
                name = data[start : start + length].rstrip(b"\0")
                changed = changed or name in self._names
                offset = start + length
        return self.refresh() or changed

    def close(self) -> None:
        """End the watch."""
        os.close(self._descriptor)
