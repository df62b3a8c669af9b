"""Confining this process by the kernel: Landlock, seccomp, resource limits. For good.

What a kernel does not offer, or a sandbox around us does not allow, is left out: the rest holds.
Landlock: Linux 5.13, with ports (version 4) from 6.7 and signals (version 6) from 6.12.
"""

from __future__ import annotations

import ctypes
import os
import resource

from rcnetd.fetcher import seccomp

# linux/landlock.h; the numbers of its system calls are the same on all machines
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
CREATE_RULESET_VERSION, RULE_NET_PORT = 1, 2
EXECUTE = 1 << 0
# Everything but reading, by the version of Landlock that begins to know it.
CHANGING = {1: EXECUTE | 1 << 1 | 0b1_1111_1111 << 4, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
BIND_TCP, CONNECT_TCP = 1, 2
SCOPE_ABSTRACT_SOCKETS, SCOPE_SIGNALS = 1, 2
DNS_PORT = 53
PORTS_SINCE, SCOPES_SINCE = 4, 6  # versions of Landlock
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
libc = ctypes.CDLL(None, use_errno=True)


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64)
    )  # fmt: skip


class _PortRule(ctypes.Structure):
    _fields_ = (("allowed", ctypes.c_uint64), ("port", ctypes.c_uint64))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def confine() -> dict[str, int]:
    """Give up what is not needed; only for a process with NO_NEW_PRIVS and one thread.

    Returns what is in force: `landlock`, its version, and `seccomp`, 1; 0 for what is not.
    """
    _limit(resource.RLIMIT_CORE)
    _limit(resource.RLIMIT_FSIZE)
    version = _landlock_version()
    ruleset = _Ruleset(sum(bits for since, bits in CHANGING.items() if since <= version))
    if version >= SCOPES_SINCE:
        ruleset.scoped = SCOPE_ABSTRACT_SOCKETS | SCOPE_SIGNALS
    in_force = version > 0 and _restrict(ruleset, version)
    return {"landlock": version if in_force else 0, "seccomp": int(_filter())}


def confine_ports(port: int) -> None:
    """Let this thread open TCP connections to *port* and for DNS only, where the kernel can."""
    version = _landlock_version()
    if version >= PORTS_SINCE:
        ruleset = _Ruleset(0, BIND_TCP | CONNECT_TCP)
        # Port 0: to choose the source address of a connection.
        _restrict(ruleset, version, (BIND_TCP, 0), (CONNECT_TCP, port), (CONNECT_TCP, DNS_PORT))


def forbid_processes() -> None:
    """Start no more threads or processes; the kernel does not hold root to it."""
    _limit(resource.RLIMIT_NPROC)


def _limit(what: int) -> None:
    resource.setrlimit(what, (0, 0))


def _landlock_version() -> int:
    """Less than 1 where there is none."""
    return _syscall(CREATE_RULESET, None, 0, CREATE_RULESET_VERSION)


def _restrict(ruleset: _Ruleset, version: int, *ports: tuple[int, int]) -> bool:
    """Whether the ruleset, with what is allowed at which ports, is in force for this thread."""
    size = ctypes.sizeof(_Ruleset) if version >= SCOPES_SINCE else 16
    size = size if version >= PORTS_SINCE else 8
    descriptor = _syscall(CREATE_RULESET, ctypes.byref(ruleset), size, 0)
    if descriptor < 0:
        return False
    try:
        for allowed, number in ports:
            rule = _PortRule(allowed, number)
            _syscall(ADD_RULE, descriptor, RULE_NET_PORT, ctypes.byref(rule), 0)
        return _syscall(RESTRICT_SELF, descriptor, 0) == 0
    finally:
        os.close(descriptor)


def _syscall(number: int, *arguments: object) -> int:
    whole = (ctypes.c_long(one) if isinstance(one, int) else one for one in arguments)
    return int(libc.syscall(ctypes.c_long(number), *whole))


def _filter() -> bool:
    code = seccomp.program(os.uname().machine, os.getpid())
    program = _Program(len(code) // 8, code)
    mode = ctypes.c_ulong(SECCOMP_MODE_FILTER)
    return bool(code) and libc.prctl(PR_SET_SECCOMP, mode, ctypes.byref(program)) == 0
