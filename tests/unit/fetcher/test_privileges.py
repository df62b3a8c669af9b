"""A process without privileges has none, whatever it was and whatever it runs."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

import pytest

from tests.support.unshared import TREE, run_unshared

CHANGE = "ip link set lo mtu 1400 2>&1 && ip route add 192.0.2.0/24 dev lo 2>&1 && echo changed"
SETS = """
def sets():
    lines = open("/proc/self/status").read().splitlines()
    return [line for line in lines if line.startswith(("Cap", "NoNewPrivs"))]
"""
DROP = f"""
import socket, subprocess
from rcnetd.fetcher.privileges import drop_capabilities
{SETS}
change = lambda: print(subprocess.run(["sh", "-c", {CHANGE!r}], capture_output=True, text=True)
                       .stdout.strip())
change()
drop_capabilities()
drop_capabilities()  # a second time is no error
print(*(line.split()[1].lstrip("0") or "0" for line in sets()))
change()
"""


@pytest.mark.netns
def test_root_can_change_nothing_any_more() -> None:
    """Root of a namespace: every set is empty, and a program it runs gets nothing back."""
    before, sets, after = run_unshared(DROP).splitlines()

    assert "changed" == before
    # CapInh, CapPrm, CapEff, CapBnd, CapAmb, NoNewPrivs
    assert "0 0 0 0 0 1" == sets
    assert "Operation not permitted" in after


def as_the_daemon(script: str) -> list[str]:
    """The output's lines of a script run as systemd runs the daemon, in a network of its own.

    That is a user with CAP_NET_ADMIN only, without CAP_SETPCAP.
    """
    command = [
        "unshare",
        "-n",
        "sh",
        "-c",
        'ip link set lo up; exec "$@"',
        "sh",
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ]
    caps = ["--inh-caps=-all,+net_admin", "--ambient-caps=-all,+net_admin",
            "--bounding-set=-all,+net_admin"]  # fmt: skip
    done = subprocess.run(
        [*command, *caps, sys.executable, "-c", script],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TREE), "PYTHONDONTWRITEBYTECODE": "1"},
        timeout=30,
    )
    if "Permission denied" in done.stderr:
        pytest.skip("the interpreter cannot be read by another user")
    assert "" == done.stderr
    return done.stdout.splitlines()


@pytest.mark.netns
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: several users")
def test_a_user_with_an_ambient_capability() -> None:
    """Nothing is left of it, for this process nor for what it runs."""
    before, sets, after = as_the_daemon(DROP)

    assert "changed" == before
    # What bounds others stays: only CAP_SETPCAP may change it.
    assert "0 0 0 1000 0 1" == sets
    assert "Operation not permitted" in after


KEEP = f"""
import subprocess, sys
from rcnetd.fetcher.privileges import drop_capabilities, keep_capabilities_here
{SETS}
keep_capabilities_here()
print(sets()[1])
print(subprocess.run(["sh", "-c", {CHANGE!r}], capture_output=True, text=True).stdout.strip())
child = '''
from rcnetd.fetcher import privileges
def refuse(name, *arguments, call=privileges._call):
    if name == "capset":
        raise PermissionError(1, "the sandbox forbids it")
    call(name, *arguments)
privileges._call = refuse
privileges.drop_capabilities()
print("dropped")
'''
print(subprocess.run([sys.executable, "-c", child], capture_output=True, text=True).stdout.strip())
"""


@pytest.mark.netns
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: several users")
def test_capabilities_that_stay_here() -> None:
    """The process keeps its own; a program that it starts has none, and needs no capset(2)."""
    permitted, refused, dropped = as_the_daemon(KEEP)

    assert "CapPrm:\t0000000000001000" == permitted
    assert "Operation not permitted" in refused
    assert "dropped" == dropped


@pytest.mark.netns
def test_capabilities_that_cannot_be_given_up() -> None:
    """A sandbox that forbids it leaves us what we have: that is no success."""
    script = """
from rcnetd.fetcher import privileges
def refuse(name, *arguments, call=privileges._call):
    if name == "capset":
        raise PermissionError(1, "the sandbox forbids it")
    call(name, *arguments)
privileges._call = refuse
try:
    privileges.drop_capabilities()
except OSError as error:
    print(error)
"""
    assert "[Errno 1] the sandbox forbids it" == run_unshared(script).strip()


def test_without_privileges() -> None:
    """A process that has none already is left as it is, without new ones."""
    script = f"""
from rcnetd.fetcher.privileges import drop_capabilities
drop_capabilities()
drop_capabilities()
{SETS}
print(sets()[-1])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=TREE
    )

    assert "NoNewPrivs:\t1\n" == done.stdout


ORPHAN = """
import os, sys, time
from rcnetd.fetcher.privileges import die_with_parent
die_with_parent(int(sys.argv[1]) or os.getppid())
print("alive", flush=True)
time.sleep(30)
"""
PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", sys.argv[1], "0"])
time.sleep(30)
"""


def test_it_dies_with_its_parent() -> None:
    """The parent is killed: the child is, too. Its standard output closes."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, ORPHAN], stdout=subprocess.PIPE, cwd=TREE
    ) as parent:
        assert parent.stdout is not None

        assert b"alive\n" == parent.stdout.readline()
        parent.kill()
        assert select.select([parent.stdout], [], [], 10.0)[0]
        assert b"" == parent.stdout.read()


def test_it_dies_if_the_parent_has_died_before() -> None:
    """The parent ended before the child could ask to be told."""
    other = os.getppid()
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN, str(other)], check=False, capture_output=True, cwd=TREE,
        timeout=10,
    )  # fmt: skip

    assert (-signal.SIGKILL, b"") == (done.returncode, done.stdout)


def test_a_refusal_is_an_error() -> None:
    """A kernel that does not let us give up is not ignored."""
    script = """
from rcnetd.fetcher import privileges
try:
    privileges._prctl(9999, 0)
except OSError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=TREE
    )

    assert "[Errno 22] prctl: Invalid argument\n" == done.stdout
