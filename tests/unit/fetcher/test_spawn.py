"""What the fetcher's process is given: two pipes, three words, hardly an environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from rcnetd.fetcher import spawn as module
from rcnetd.fetcher.spawn import end, pipes, spawn
from tests.support.waiting import until

TELL = """
import os, sys
print(sys.argv[1:], sorted(os.environ), sys.flags.isolated, sys.flags.no_site, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in the fetcher's place that prints what it was given."""
    program = tmp_path / "process.py"
    program.write_text(TELL)
    monkeypatch.setattr(module, "PROGRAM", str(program))
    return program


def read(descriptor: int) -> str:
    """The line that comes."""
    line = b""

    def whole() -> bool:
        nonlocal line
        try:
            line += os.read(descriptor, 65536)
        except BlockingIOError:
            return False
        return line.endswith(b"\n")

    until(whole)
    return line.decode()


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("ca_file", [None, "/etc/ssl/ours.pem"])
def test_it_gets_nothing_else(monkeypatch: pytest.MonkeyPatch, ca_file: str | None) -> None:
    """Neither proxies nor PYTHONPATH; the folders of our packages, without a current directory."""
    monkeypatch.setattr(os, "environ", {"https_proxy": "x", "PYTHONPATH": "/x", "LD_X": "kept"})
    monkeypatch.setattr(sys, "path", ["", "/usr/lib/python3/dist-packages", "/opt/site-packages"])
    process = spawn(ca_file)
    sites = "/usr/lib/python3/dist-packages:/opt/site-packages"
    given = [str(os.getpid()), sites, ca_file or ""]
    try:
        line = read(pipes(process)[1])
    finally:
        end(process)
    assert line.startswith(str(given))
    assert line.endswith(" 1 1\n")
    assert "'LD_X'" in line
    assert "proxy" not in line
    assert "PYTHON" not in line


@pytest.mark.usefixtures("told")
def test_it_can_be_ended_twice() -> None:
    """Whoever got it may have ended it already."""
    process = spawn()
    end(process)
    end(process)
    assert process.returncode == -9
