"""`rcnetctl`'s command line."""

from __future__ import annotations

import builtins
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from rcnetd import __version__
from rcnetd.ctl.main import main

COMMANDS = (
    "status",
    "gateway",
    "automation",
    "features",
    "metadata",
    "analyze",
    "preflight",
    "clean",
    "emulate",
    "demo",
)


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """And the exit codes, which scripts need."""
    with pytest.raises(SystemExit) as caught:
        main(["--help"])

    text = capsys.readouterr().out
    assert 0 == caught.value.code
    assert all(f"\n    {command} " in text for command in COMMANDS)
    assert "Exit codes" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_its_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A usage line of its own."""
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])

    assert 0 == caught.value.code
    assert f"usage: rcnetctl {command}" in capsys.readouterr().out


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    """One word for a package's tests."""
    with pytest.raises(SystemExit):
        main(["--version"])

    assert f"rcnetctl {__version__}\n" == capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["status", "--wait", "nonsense"],
        ["status", "--wait", "route", "--timeout", "soon"],
        ["status", "--format", "xml"],
        ["gateway", "--format", "yaml"],
        ["features", "--format", "text"],
        ["demo", "--timeout", "-1"],
    ],
)
def test_a_wrong_command_line_is_exit_2(
    arguments: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """With a line that names what is wrong."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert 2 == caught.value.code
    assert "error: " in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("arguments", [["emulate", "x.yaml"], ["demo"]])
def test_without_the_emulators_package(
    arguments: Sequence[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a package of its own: the message names it."""
    real = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name.startswith("rcnetd.emulator"):
            raise ImportError("not here", name="h11")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)

    assert 1 == main(arguments)
    assert "rcnetctl: the package rcnetd-emulator is not installed (h11 is missing)\n" == (
        capsys.readouterr().err
    )


def test_an_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in any command: the shell's code for it."""

    def interrupted(*_: Any, **__: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("rcnetd.ctl.status.run", interrupted)

    assert 130 == main(["status"])


def test_the_command_line_starts_without_slow_libraries() -> None:
    """`status` is for a console at 3 a.m.: it loads no HTTP, no YAML and no netlink."""
    code = (
        "import sys; from rcnetd.ctl.main import main; main(['status']);"
        "print([m for m in ('requests', 'yaml', 'pyroute2', 'ssl') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )

    assert "[]" == done.stdout.splitlines()[-1]


@pytest.mark.parametrize("command", [(), ("status",)])
def test_looking_imports_no_network_library(command: Sequence[str]) -> None:
    """What people type most is quick: the slow libraries are not loaded for it."""
    program = (
        "import sys; from rcnetd.ctl.main import main\n"
        "try: main(sys.argv[1:] or ['--help'])\n"
        "except SystemExit: pass\n"
        "slow = {'requests', 'urllib3', 'pyroute2', 'ssl', 'http', 'yaml', 'systemd'}\n"
        "sys.stderr.write(','.join(slow & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *command],
        capture_output=True, text=True, check=True,
        env={"RUNTIME_DIRECTORY": "/nonexistent"},
    )  # fmt: skip

    assert "" == done.stderr


@pytest.mark.parametrize("command", [(), *((command,) for command in COMMANDS)])
def test_every_help_fits_a_screen(
    command: Sequence[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """80 columns, and the lines of a console (25; the list of all commands may need 30)."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([*command, "--help"])

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= (25 if command else 30)
    assert all(len(line) <= 80 for line in lines)
