"""Linters are tests: what CI says, `tests/run unit` says too."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import missing

TREE = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
CHECKS = {
    "ruff check": ["ruff", "check", "."],
    "ruff format": ["ruff", "format", "--check", "."],
    "mypy": ["mypy"],
}
SCRIPTS = sorted(
    str(path.relative_to(TREE))
    for path in (*TREE.glob("packaging/**/*"), TREE / "tests/run", TREE / ".ci/run")
    if path.is_file() and path.read_bytes().startswith(b"#!/bin/sh")
)


@pytest.mark.parametrize("name", CHECKS)
def test_lint(name: str) -> None:
    """No finding, no exception without its reason."""
    command = CHECKS[name]
    tool = shutil.which(command[0], path=BIN) or shutil.which(command[0])
    if tool is None:
        missing("lint", f"{command[0]} is not installed")
    done = subprocess.run(
        [tool, *command[1:]], cwd=TREE, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_shell(name: str) -> None:
    """They parse, and they can be started; a maintainer's script is dpkg's to start."""
    path = TREE / name
    assert path.stat().st_mode & 0o111 or path.parent.name == "debian"
    done = subprocess.run(["sh", "-n", str(path)], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
