"""A seccomp(2) filter: system calls that this process needs no more, refused by the kernel. Pure.

Landlock leaves out what the fetcher could do to files and processes of its own user: chmod(2),
flock(2) of the daemon's files, prlimit(2) of the daemon, TIOCSTI on an administrator's terminal;
and many kernels have no Landlock. Only x86-64 and ARM64 have a table here.
"""

from __future__ import annotations

import struct

EPERM, ENOSYS = 1, 38
# linux/bpf_common.h, linux/seccomp.h
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, ERROR = 0x7FFF0000, 0x00050000
NUMBER_OFFSET, ARCHITECTURE_OFFSET, ARGUMENTS_OFFSET = 0, 4, 16  # of struct seccomp_data
X32 = 0x40000000  # numbers of another ABI, which our table does not know
O_WRITING = 0o1 | 0o2 | 0o100 | 0o1000  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC
TERMINAL_INPUT = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
SEND_SIGNALS_TO = (0x8901, 0x8902)  # FIOSETOWN, SIOCSPGRP
SIGNAL_OWNERS = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX
CLONE_THREAD = 0x10000
FAMILIES = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: for the resolver and the API

# The audit architecture; then the numbers on x86-64 and on ARM64, None where there is none.
ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
REFUSED: dict[str, tuple[int | None, int | None]] = {
    # files
    "creat": (85, None), "openat2": (437, 437), "open_by_handle_at": (304, 265),
    "truncate": (76, 45), "ftruncate": (77, 46), "fallocate": (285, 47),
    "rename": (82, None), "renameat": (264, 38), "renameat2": (316, 276),
    "link": (86, None), "linkat": (265, 37), "symlink": (88, None), "symlinkat": (266, 36),
    "unlink": (87, None), "unlinkat": (263, 35), "rmdir": (84, None),
    "mkdir": (83, None), "mkdirat": (258, 34), "mknod": (133, None), "mknodat": (259, 33),
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "lchown": (94, None), "fchown": (93, 55), "fchownat": (260, 54),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "setxattrat": (463, 463),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "removexattrat": (466, 466), "file_setattr": (469, 469), "flock": (73, 32),
    # other processes
    "kill": (62, 129), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "ptrace": (101, 117), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "process_madvise": (440, 440), "kcmp": (312, 272),
    "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119), "sched_setaffinity": (203, 122), "sched_setattr": (314, 274),
    "migrate_pages": (256, 238), "move_pages": (279, 239), "setpgid": (109, 154),
    # programs, and ways around this table
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "io_uring_setup": (425, 425),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    # services of its own
    "listen": (50, 201), "accept": (43, 202), "accept4": (288, 242),
    # keys and shared memory of the user
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190),
    "semctl": (66, 191), "msgget": (68, 186), "msgctl": (71, 187), "mq_open": (240, 180),
    "mq_unlink": (241, 181),
}  # fmt: skip
OPEN, OPENAT = (2, None), (257, 56)
SOCKET, IOCTL, PRLIMIT, TGKILL = (41, 198), (16, 29), (302, 261), (234, 131)
CLONE, CLONE3, FCNTL = (56, 220), (435, 435), (72, 25)

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, constant
REFUSE = (RETURN, 0, 0, ERROR | EPERM)
UNKNOWN = (RETURN, 0, 0, ERROR | ENOSYS)
PERMIT = (RETURN, 0, 0, ALLOW)


def program(machine: str, pid: int) -> bytes:
    """The filter for process *pid*, as struct sock_filter[]; b"" for a machine without a table."""
    if machine not in ARCHITECTURES:
        return b""
    architecture, column = ARCHITECTURES[machine]
    code = [(LOAD, 0, 0, ARCHITECTURE_OFFSET), (EQUAL, 1, 0, architecture), UNKNOWN,
            (LOAD, 0, 0, NUMBER_OFFSET)]  # fmt: skip
    if column == 0:
        code += [(AT_LEAST, 0, 1, X32), UNKNOWN]
    for numbers in REFUSED.values():
        code += _call(numbers[column], [REFUSE])
    writing = [(ANY_BIT, O_WRITING)]
    code += _call(OPEN[column], _if(1, writing, REFUSE, PERMIT))
    code += _call(OPENAT[column], _if(2, writing, REFUSE, PERMIT))
    code += _call(IOCTL[column], _if(1, _equal(*TERMINAL_INPUT, *SEND_SIGNALS_TO), REFUSE, PERMIT))
    code += _call(FCNTL[column], _if(1, _equal(*SIGNAL_OWNERS), REFUSE, PERMIT))
    code += _call(TGKILL[column], _if(0, _equal(pid), PERMIT, REFUSE))
    code += _call(PRLIMIT[column], _if(0, _equal(0, pid), PERMIT, REFUSE))
    code += _call(SOCKET[column], _if(0, _equal(*FAMILIES), PERMIT, REFUSE))
    # Its flags are in memory, where no filter looks: the C library then takes clone(2).
    code += _call(CLONE3[column], [UNKNOWN])
    code += _call(CLONE[column], _if(0, [(ANY_BIT, CLONE_THREAD)], PERMIT, REFUSE))
    return b"".join(struct.pack("=HBBI", *one) for one in [*code, PERMIT])


def _call(number: int | None, rule: list[Instruction]) -> list[Instruction]:
    """The rule for one system call; it ends in a return."""
    return [] if number is None else [(EQUAL, 0, len(rule), number), *rule]


def _equal(*values: int) -> list[tuple[int, int]]:
    return [(EQUAL, value) for value in values]


def _if(
    argument: int, tests: list[tuple[int, int]], then: Instruction, otherwise: Instruction
) -> list[Instruction]:
    """Load the low half of an argument: *then* if any of *tests* is true."""
    jumps = [(code, len(tests) - at, 0, value) for at, (code, value) in enumerate(tests)]
    return [(LOAD, 0, 0, ARGUMENTS_OFFSET + 8 * argument), *jumps, otherwise, then]
