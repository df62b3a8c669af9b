"""The shape of the package: the core is pure, each foreign library has one door."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.core import CORE

PACKAGE = Path(__file__).parent.parent / "rcnetd"
CORE_MAY_IMPORT = {"__future__", "collections", "enum", "ipaddress", "math"}
# The only door of each foreign library, and of what is slow to load.
DOORS = {
    "requests": {"api"},
    "urllib3": {"api"},
    "pyroute2": {"messages"},
    "systemd": {"notify"},
    "ctypes": {"privileges", "watch", "topology"},
    "dataclasses": {"values", *(path.stem for path in (PACKAGE / "emulator").glob("*.py"))},
}


def imports(path: Path) -> set[str]:
    """The full names of all modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found.add(node.module or "")
    return found


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("name", sorted(CORE))
def test_the_core_is_pure(name: str) -> None:
    """The core imports values and itself: no clock, no chance, no files, no network."""
    for module in imports(PACKAGE / f"{name}.py"):
        if module.startswith("rcnetd."):
            assert module.split(".")[1] in CORE
        elif name == "values":
            assert module in {"__future__", "typing", "dataclasses"}
        else:
            assert module.split(".")[0] in CORE_MAY_IMPORT


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_each_foreign_library_has_one_door(path: Path) -> None:
    """requests, pyroute2 and systemd are imported where they are wrapped, nowhere else."""
    for module in imports(path):
        doors = DOORS.get(module.split(".")[0])
        assert doors is None or path.stem in doors


def test_emulator_and_client_know_nothing_of_each_other() -> None:
    """Two independent readings of the API page: neither can hide the other's mistake."""
    for path in (PACKAGE / "emulator").rglob("*.py"):
        assert all(
            not module.startswith("rcnetd.") or module.startswith("rcnetd.emulator")
            for module in imports(path)
        )
    for path in PACKAGE.glob("*.py"):
        if path.stem not in {"cli", "demo", "commands"}:
            assert not any(module.startswith("rcnetd.emulator") for module in imports(path))


def test_the_daemon_imports_no_http() -> None:
    """HTTP, TLS and DNS live in the fetcher's process only."""
    seen: set[str] = set()
    todo = ["daemon"]
    while todo:
        name = todo.pop()
        if name in seen or not (PACKAGE / f"{name}.py").exists():
            continue
        seen.add(name)
        for module in imports(PACKAGE / f"{name}.py"):
            assert module.split(".")[0] not in {"requests", "urllib3", "http", "ssl"}
            if module.startswith("rcnetd."):
                todo.append(module.split(".")[1])
    assert "machine" in seen


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if path.stem not in {"__init__", "__main__"}],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_every_module_has_its_tests(path: Path) -> None:
    """`rcnetd/x.py` is tested by `tests/test_x.py`; those without say by which."""
    elsewhere = {
        "actions": "test_machine.py",
        "asking": "test_machine.py",
        "events": "test_machine.py",
        "facts": "test_machine.py",
        "ifcfg_reader": "test_ifcfg.py",
        "model": "test_routes.py",
    }
    tests = Path(__file__).parent
    if path.parent.name == "emulator":
        assert list(tests.glob("test_emulator*.py"))
        return
    name = elsewhere.get(path.stem, f"test_{path.stem}.py")
    assert (tests / name).exists() or (tests / "netns" / name).exists()
