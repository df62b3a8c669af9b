"""Noticing that the wall clock was set: timerfd_create(2), for which Python has a module from 3.13.

At boot a clock may say 1980 until time synchronisation sets it; until then every certificate is
"not yet valid".
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
import time

TFD_FLAGS = os.O_CLOEXEC | os.O_NONBLOCK
# sys/timerfd.h
TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET = 1, 2
NEVER = struct.pack("4l", 0, 0, sys.maxsize, 0)  # struct itimerspec: no interval, the last second


class ClockWatch:
    """Says when CLOCK_REALTIME has been set. Raises `OSError` without a descriptor to spare."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor: int = libc.timerfd_create(time.CLOCK_REALTIME, TFD_FLAGS)
        flags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        if libc.timerfd_settime(self._descriptor, flags, NEVER, None) < 0:
            code = ctypes.get_errno()
            os.close(self._descriptor)
            raise OSError(code, os.strerror(code))

    def fileno(self) -> int:
        """The descriptor to select on."""
        return self._descriptor

    def drain(self) -> bool:
        """Read what is pending, never blocking; True if the clock was set since the last call."""
        try:
            os.read(self._descriptor, 8)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.ECANCELED:
                raise
        return True

    def close(self) -> None:
        """End the watch."""
        os.close(self._descriptor)
