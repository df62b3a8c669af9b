"""Running another program: its output, its end, and what it must not exceed."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from rcnetd.basic.process import Outcome, run

LONG = 60.0  # seconds; nothing here waits so long


def python(program: str) -> list[str]:
    """A program that does as these lines say."""
    return [sys.executable, "-c", program]


def test_what_it_prints_and_how_it_ends() -> None:
    """It gets no input and only the given environment; both streams are returned separately."""
    program = (
        "import os, sys; sys.stdin.read() == '' or exit(9); print(sorted(os.environ)[0]);"
        "print('trouble', file=sys.stderr); sys.exit(3)"
    )
    done = run(python(program), timeout=LONG, environ={"A": "b"})

    assert Outcome(sys.executable, 3, "A\n", "trouble\n") == done
    assert not done.ok
    assert "trouble" == done.reason


def test_its_input_is_a_file(tmp_path: Path) -> None:
    """It reads the file to its end."""
    (tmp_path / "in").write_bytes(b"hello")
    assert "hello" == run(["cat"], timeout=LONG, stdin=tmp_path / "in").stdout


def test_more_than_a_pipe_holds() -> None:
    """Large output on both streams at once does not block."""
    program = "import sys; sys.stderr.write('e' * 200000); sys.stdout.write('o' * 200000)"
    done = run(python(program), timeout=LONG)

    assert (True, 200000, 200000) == (done.ok, len(done.stdout), len(done.stderr))


@pytest.mark.parametrize(
    ("command", "failure"),
    [
        (["/nonexistent/tool"], "'/nonexistent/tool' is not installed"),
        (["/"], "Failed to run '/': Permission denied"),
        (python("print('x' * 5000)"), f"'{sys.executable}' printed more than 1000 bytes"),
    ],
)
def test_a_program_that_does_not_run_or_prints_too_much(command: list[str], failure: str) -> None:
    """The failure is one line, not an exception."""
    done = run(command, timeout=LONG, limit=1000)

    assert (None, failure, failure) == (done.code, done.failure, done.reason)


@pytest.mark.parametrize(
    "program",
    [
        "sleep 60",
        "sleep 60 >&- 2>&-",  # with its streams closed
        "sleep 60 & echo; exit 0",  # with a child that keeps them open
    ],
)
def test_a_program_that_does_not_end(tmp_path: Path, program: str) -> None:
    """It is killed together with its children."""
    begin = time.monotonic()
    done = run(["sh", "-c", program], timeout=0.2)

    assert "'sh' did not end within 0.2 s" == done.failure
    assert time.monotonic() - begin < 30


def test_a_reason_for_a_program_that_says_nothing() -> None:
    """The exit code is the reason then; a message becomes one printable line."""
    assert "'false' failed with exit code 1" == run(["false"], timeout=LONG).reason
    assert "a b" == run(["sh", "-c", r"printf 'x\na\033b\n\n' >&2; exit 1"], timeout=LONG).reason
