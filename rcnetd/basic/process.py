"""Running another program with a bound on its time and on its output."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from rcnetd.basic.dataclass import dataclass
from rcnetd.basic.text import plain

MAX_OUTPUT = 1024 * 1024  # bytes of stdout, and of stderr
MAX_LINE_LENGTH = 300  # characters of a program's message that are shown


@dataclass(frozen=True)
class Outcome:
    """How a program ended.

    *code* is its exit code, negative for a signal; None if it could not be started or was killed
    for exceeding a bound, and then *failure* says so in one line.
    """

    name: str
    code: int | None
    stdout: str = ""
    stderr: str = ""
    failure: str = ""

    @property
    def ok(self) -> bool:
        """Whether it ran to its end with exit code 0."""
        return self.code == 0

    @property
    def reason(self) -> str:
        """Why it is not ok, in one line: the failure, or the last line of its stderr."""
        lines = [line for line in self.stderr.splitlines() if line.strip()]
        message = plain(lines[-1] if lines else "", MAX_LINE_LENGTH)
        return self.failure or message or f"'{self.name}' failed with exit code {self.code}"


def run(
    command: Sequence[str],
    *,
    timeout: float,
    limit: int = MAX_OUTPUT,
    environ: Mapping[str, str] | None = None,
    stdin: Path | None = None,
) -> Outcome:
    """Run *command* for at most *timeout* seconds. Never raises for what it does.

    Its input is the file *stdin*; without one it is empty.

    A program that does not end in time, or prints more than *limit* bytes, is killed together with
    everything that it has started.
    """
    try:
        with (stdin or Path(os.devnull)).open("rb") as source:
            process = subprocess.Popen(
                command,
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environ,
                start_new_session=True,
            )
    except FileNotFoundError:
        return Outcome(command[0], None, failure=f"'{command[0]}' is not installed")
    except OSError as error:
        return Outcome(command[0], None, failure=f"Failed to run '{command[0]}': {error.strerror}")
    assert process.stdout is not None
    assert process.stderr is not None
    output = {process.stdout: b"", process.stderr: b""}
    failure = "interrupted"
    with process:  # closes the pipes and reaps the process
        try:
            failure = _follow(process, output, timeout, limit)
        finally:
            if failure:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    stdout, stderr = (data.decode("utf-8", "replace") for data in output.values())
    return Outcome(command[0], None if failure else process.returncode, stdout, stderr, failure)


def _follow(
    process: subprocess.Popen[bytes], output: dict[IO[bytes], bytes], timeout: float, limit: int
) -> str:
    """Collect the output until the program ends; return "", or which bound it exceeds."""
    name, end = process.args[0], time.monotonic() + timeout  # type: ignore[index] # a sequence
    with selectors.DefaultSelector() as selector:
        for pipe in output:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, end - time.monotonic()))
            if not ready:
                return f"'{name!s}' did not end within {timeout:g} s"
            for key, _ in ready:
                pipe = key.fileobj  # type: ignore[assignment] # one of those registered
                data = os.read(key.fd, 65536)
                output[pipe] += data
                if not data:
                    selector.unregister(pipe)
                elif len(output[pipe]) > limit:
                    return f"'{name!s}' printed more than {limit} bytes"
    try:
        process.wait(max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        return f"'{name!s}' did not end within {timeout:g} s"
    return ""
