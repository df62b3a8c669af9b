"""The seccomp filter: its numbers, and what it decides on each machine."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from rcnetd.fetcher import seccomp


def test_the_numbers_are_the_kernel_s() -> None:
    """Those that the C library's headers know here."""
    headers = ["/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm-generic/unistd.h"]
    ours = {
        **seccomp.REFUSED, "open": seccomp.OPEN, "openat": seccomp.OPENAT,
        "socket": seccomp.SOCKET, "ioctl": seccomp.IOCTL, "fcntl": seccomp.FCNTL,
        "prlimit64": seccomp.PRLIMIT, "tgkill": seccomp.TGKILL, "clone": seccomp.CLONE,
        "clone3": seccomp.CLONE3,
    }  # fmt: skip
    for column, header in enumerate(map(Path, headers)):
        text = header.read_text() if header.exists() else ""
        found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\b", text)
        known = {name: int(number) for name, number in found}
        wrong = {name: number for name, (*number,) in ours.items()
                 if name in known and known[name] != number[column]}  # fmt: skip
        assert {} == wrong


@pytest.mark.parametrize(
    ("machine", "call", "arguments", "refused"),
    [
        ("x86_64", 2, (0, 0o1), True),
        ("x86_64", 2, (0, 0), False),
        ("aarch64", 56, (0, 0, 0o1000), True),
        ("aarch64", 56, (0, 0, 0o2000000), False),
        ("aarch64", 129, (1,), True),
        ("aarch64", 131, (7,), False),
        ("aarch64", 131, (8,), True),
        ("aarch64", 220, (0x10000,), False),
        ("aarch64", 220, (0x11,), True),
        ("aarch64", 435, (), True),
        ("aarch64", 198, (2,), False),
        ("aarch64", 198, (40,), True),
        ("x86_64", 0x40000001, (), True),
        ("x86_64", 1, (), False),
        ("other", 1, (), None),
    ],
)
def test_the_filter_on_each_machine(
    machine: str, call: int, arguments: tuple[int, ...], refused: bool | None
) -> None:
    """Interpreted here as the kernel does it: also the one for a machine that this is not."""
    code = seccomp.program(machine, 7)
    if refused is None:
        assert b"" == code
        return
    architecture = seccomp.ARCHITECTURES[machine][0]
    assert refused is (run_filter(code, architecture, call, arguments) != seccomp.ALLOW)
    assert run_filter(code, architecture ^ 1, call, arguments) != seccomp.ALLOW


def run_filter(code: bytes, architecture: int, call: int, arguments: tuple[int, ...]) -> int:
    """What a filter returns for a system call."""
    padded = (*arguments, *[0] * (6 - len(arguments)))
    data = struct.pack("=IIQ6Q", call, architecture, 0, *padded)
    instructions, at, value = list(struct.iter_unpack("=HBBI", code)), 0, 0
    while True:
        what, if_true, if_false, constant = instructions[at]
        at += 1
        if what == seccomp.LOAD:
            value = struct.unpack_from("=I", data, constant)[0]
        elif what == seccomp.RETURN:
            return int(constant)
        else:
            holds = {
                seccomp.EQUAL: value == constant,
                seccomp.AT_LEAST: value >= constant,
                seccomp.ANY_BIT: value & constant != 0,
            }[what]
            at += if_true if holds else if_false
