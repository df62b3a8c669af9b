"""Giving up privileges for good: for the process that talks to the network.

By capset(2) and prctl(2); the Python library has neither. Works for root, for a user with ambient
capabilities (systemd's `AmbientCapabilities=`) and in a user namespace.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal

# linux/prctl.h
PR_SET_PDEATHSIG = 1
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
# linux/capability.h: version 3 has two sets of 32 bits each
CAPABILITY_VERSION_3 = 0x20080522
CAP_LAST_POSSIBLE = 63


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def drop_capabilities() -> None:
    """Leave this process without any capability, now and after any execve(2), for ever.

    Call it before there are other threads: capabilities are per thread. Raises `OSError`.
    """
    # No set-user-ID bit, no file capability and not even user ID 0 gives anything back.
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    for capability in range(CAP_LAST_POSSIBLE + 1):
        try:
            _prctl(PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.EPERM):
                break  # the last one was before, or this needs CAP_SETPCAP
            raise
    header, sets = _Header(CAPABILITY_VERSION_3, 0), (_Data * 2)()
    try:
        _call("capset", ctypes.byref(header), ctypes.byref(sets))
    except OSError:
        # A sandbox may forbid capset(2). What is inheritable only is nothing: no program that we
        # start gets it without file capabilities, and those count no more (NO_NEW_PRIVS).
        _call("capget", ctypes.byref(header), ctypes.byref(sets))
        if any(word.effective or word.permitted for word in sets):
            raise


def keep_capabilities_here() -> None:
    """Keep this process's capabilities, but let no program that it starts inherit them.

    Only root's programs still get root's. Raises `OSError`.
    """
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)


def die_with_parent(parent: int) -> None:
    """Be killed (SIGKILL) when process *parent*, which started this one, ends; at once if it has.

    Raises `OSError`.
    """
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the kernel knew what to do then
        os.kill(os.getpid(), signal.SIGKILL)


def _prctl(option: int, argument: int) -> None:
    _call("prctl", *(ctypes.c_ulong(number) for number in (option, argument, 0, 0, 0)))


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
