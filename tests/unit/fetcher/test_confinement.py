"""A fetcher that runs somebody else's code: it can ask the API, and do nothing else."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.unshared import TREE

# The hostile code: it takes the place of the loop that serves requests, and says what it could do.
HOSTILE = """
import contextlib, ctypes, fcntl, json, os, resource, signal, socket, subprocess, sys, time
tree, place, victim, port, without = sys.argv.pop(), *sys.argv[:0:-1]
del sys.argv[1:]
sys.path.insert(0, tree)
from rcnetd.fetcher import process
place, victim, port = place, int(victim), int(port)
libc = ctypes.CDLL(None, use_errno=True)
file, folder = f"{place}/route.json", f"{place}/folder"

def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")

def call(number, *arguments):
    checked(libc.syscall(ctypes.c_long(number), *arguments))

def opened(flags):
    os.close(os.open(file, flags))

def bound(family, address):
    with socket.socket(family) as one:
        one.bind(address)

def signal_by_pipe():
    one, other = socket.socketpair()
    fcntl.fcntl(one, fcntl.F_SETOWN, victim)
    fcntl.fcntl(one, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(one, fcntl.F_SETFL, os.O_ASYNC)
    other.send(b"x")

def signals(send):
    for number in range(65):
        with contextlib.suppress(OSError):
            send(number)
            return
    raise OSError

def server():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()

def client(number):
    with socket.create_connection(("127.0.0.1", number), 5):
        pass

ATTACKS = {
    "write": lambda: opened(os.O_WRONLY),
    "read and write": lambda: opened(os.O_RDWR),
    "append": lambda: opened(os.O_WRONLY | os.O_APPEND),
    "empty by open": lambda: opened(os.O_RDONLY | os.O_TRUNC),
    "empty": lambda: os.truncate(file, 0),
    "create": lambda: os.close(os.open(f"{place}/new", os.O_WRONLY | os.O_CREAT)),
    "create unnamed": lambda: os.close(os.open(place, os.O_WRONLY | os.O_TMPFILE)),
    "rename": lambda: os.rename(file, f"{place}/renamed"),
    "replace": lambda: os.replace(f"{place}/other", file),
    "link": lambda: os.link(file, f"{place}/linked"),
    "symlink": lambda: os.symlink(file, f"{place}/symlink"),
    "unlink": lambda: os.unlink(file),
    "mkdir": lambda: os.mkdir(f"{place}/made"),
    "rmdir": lambda: os.rmdir(folder),
    "mkfifo": lambda: os.mkfifo(f"{place}/fifo"),
    "bind a name": lambda: bound(socket.AF_UNIX, f"{place}/socket"),
    "chmod": lambda: os.chmod(file, 0o666),
    "chown": lambda: os.chown(file, os.getuid(), os.getgid()),
    "utime": lambda: os.utime(file, (1, 1)),
    "xattr": lambda: os.setxattr(file, "user.x", b"x"),
    "lock": lambda: fcntl.flock(os.open(file, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB),
    "write by the kernel's own link": lambda: open(f"/proc/self/root{file}", "w").close(),
    "victim's score": lambda: open(f"/proc/{victim}/oom_score_adj", "w").close(),
    "victim's memory": lambda: open(f"/proc/{victim}/mem", "r+b").close(),
    "kill": lambda: signals(lambda number: os.kill(victim, number)),
    "kill all": lambda: os.kill(-victim, 0),
    "pidfd": lambda: signals(lambda number:
                             signal.pidfd_send_signal(os.pidfd_open(victim), number)),
    "tgkill": lambda: signals(lambda number: call(TGKILL, victim, victim, number)),
    "tkill": lambda: signals(lambda number: call(TKILL, victim, number)),
    "signal by a socket": signal_by_pipe,
    "limit": lambda: resource.prlimit(victim, resource.RLIMIT_NOFILE, (0, 4096)),
    "nice": lambda: os.setpriority(os.PRIO_PROCESS, victim, 19),
    "processors": lambda: os.sched_setaffinity(victim, {0}),
    "trace": lambda: checked(libc.ptrace(16, victim, None, None)),
    "program": lambda: subprocess.run(["true"], check=True),
    "fork": lambda: os.fork() or os._exit(0),
    "listen": server,
    "other port": lambda: client(port + 1 if without == "open" else port),
    "raw socket": lambda: socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET).close(),
    "abstract socket": lambda: socket.socket(socket.AF_UNIX).connect(f"\\0rcnetd-{victim}"),
    "type": lambda: fcntl.ioctl(2, 0x5412, b"x"),
}
TKILL, TGKILL = {"x86_64": (200, 234), "aarch64": (130, 131)}[os.uname().machine]

def hostile(*arguments):
    with contextlib.suppress(ImportError):  # as at the first request
        from rcnetd.fetcher.confinement import confine_ports
        confine_ports(443)
    done = []
    for name, attack in ATTACKS.items():
        try:
            attack()
            done.append(name)
        except (OSError, ValueError, AttributeError):
            pass
    arguments[1]({"done": done, "confined": arguments[2] if arguments[2:] else {}})

process._serve, process._load = hostile, lambda *_: None
sys.argv[1:] = [str(os.getppid())]
if without != "open":
    from rcnetd.fetcher import confinement
    if without == "landlock":
        confinement._landlock_version = lambda: 0
    else:
        confinement._filter = lambda: False
process.main()
"""


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the same user, as the daemon is."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        yield process
        process.kill()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory of the same user, as the daemon's are."""
    for name in ("route.json", "other"):
        (tmp_path / name).write_text("kept\n")
    (tmp_path / "folder").mkdir()
    return tmp_path


def attacked(place: Path, victim: subprocess.Popen[bytes], without: str) -> dict[str, Any]:
    """What the hostile code could do, and what it says of its confinement."""
    abstract = socket.socket(socket.AF_UNIX)
    with socket.create_server(("127.0.0.1", 0)) as server, abstract:
        abstract.bind(f"\0rcnetd-{victim.pid}")
        abstract.listen()
        port = server.getsockname()[1]
        if without == "open":
            port -= 1
        done = subprocess.run(
            [sys.executable, "-I", "-c", HOSTILE, without, str(port), str(victim.pid), str(place),
             str(TREE)],
            check=False, capture_output=True, text=True, timeout=30,
        )  # fmt: skip
    assert "" == done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def kernel_has_landlock(version: int) -> bool:
    """Whether this kernel has it, in this version or a later one."""
    from rcnetd.fetcher.confinement import CREATE_RULESET, CREATE_RULESET_VERSION, _syscall

    return _syscall(CREATE_RULESET, None, 0, CREATE_RULESET_VERSION) >= version


# Only the other mechanism keeps these from happening.
NEEDS_LANDLOCK = {"bind a name", "other port", "abstract socket"}
NEEDS_SECCOMP = {
    "chmod", "chown", "utime", "xattr", "lock", "limit", "nice", "processors", "fork", "listen",
    "raw socket", "signal by a socket",
}  # fmt: skip


@pytest.mark.parametrize("without", ["open", "landlock", "seccomp"])
def test_hostile_code_can_do_nothing(
    place: Path, victim: subprocess.Popen[bytes], without: str
) -> None:
    """Each file, each signal, each socket; with the one mechanism alone, what that one holds."""
    if without != "landlock" and not kernel_has_landlock(6):
        pytest.skip("this kernel's Landlock has no ports or no signals")

    found = attacked(place, victim, without)

    allowed = {"open": set(), "landlock": NEEDS_LANDLOCK, "seccomp": NEEDS_SECCOMP}[without]
    assert set() == set(found["done"]) - allowed
    assert found["confined"]["seccomp"] == (without != "seccomp")
    assert (found["confined"]["landlock"] > 0) is (without != "landlock")
    assert victim.poll() is None
    if without == "open":
        assert ["folder", "other", "route.json"] == sorted(path.name for path in place.iterdir())
        assert "kept\n" == (place / "route.json").read_text()


def test_a_kernel_without_any_of_it() -> None:
    """The rest holds, and the fetcher says what does not."""
    script = """
from rcnetd.fetcher import confinement, privileges, seccomp
privileges.drop_capabilities()
confinement._syscall = lambda *_: -1
seccomp.program = lambda *_: b""
confinement.confine_ports(443)
print(confinement.confine())
try:
    with open("/dev/shm/rcnetd-test", "wb", buffering=0) as file:
        file.write(b"x")
except OSError as error:
    print(error.strerror)
import os
os.unlink("/dev/shm/rcnetd-test")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=TREE
    )
    assert "{'landlock': 0, 'seccomp': 0}\nFile too large\n" == done.stdout


def test_the_victim_of_these_tests_can_be_killed(victim: subprocess.Popen[bytes]) -> None:
    """By who is not confined."""
    os.kill(victim.pid, signal.SIGTERM)
    assert -signal.SIGTERM == victim.wait(10)
