"""Waiting for changes in a directory: inotify(7), which Python has no module for."""

from __future__ import annotations

import ctypes
import os
import select
from pathlib import Path

IN_MOVED_TO, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE_SELF = 0x80, 0x8, 0x100, 0x400
MASK = IN_MOVED_TO | IN_CLOSE_WRITE | IN_CREATE | IN_DELETE_SELF


class Watch:
    """Says when something in *directory* has changed; the directory may come later."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
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
            os.read(self._descriptor, 65536)
