"""The clock is watched; that a step is noticed is shown where a clock may be set, in tests/vm."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select

import pytest

from rcnetd.basic.clock import ClockWatch


def test_a_clock_that_is_not_set() -> None:
    """Nothing to read, nothing to report."""
    with contextlib.closing(ClockWatch()) as watch:
        assert [] == select.select([watch], [], [], 0)[0]
        assert not watch.drain()


def test_what_the_kernel_says_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading fails with ECANCELED then; any other failure is one."""

    def read(code: int) -> None:
        raise OSError(code, os.strerror(code))

    with contextlib.closing(ClockWatch()) as watch, monkeypatch.context() as patch:
        patch.setattr(os, "read", lambda *_: read(errno.ECANCELED))
        assert watch.drain()
        patch.setattr(os, "read", lambda *_: read(errno.EBADF))
        with pytest.raises(OSError, match="Bad file descriptor"):
            watch.drain()


def test_without_a_descriptor_to_spare(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error, not a watch of nothing."""

    class Libc:
        def timerfd_create(self, *_: object) -> int:
            ctypes.set_errno(errno.EMFILE)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Libc())
    with pytest.raises(OSError, match="Too many open files"):
        ClockWatch()
