"""`rcnetctl`'s command line."""

from __future__ import annotations

import builtins
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rcnetd import __version__
from rcnetd.ctl.main import COMMANDS, main

RCNETCTL = [sys.executable, "-m", "rcnetd.ctl.main"]


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """It names the exit codes, too."""
    with pytest.raises(SystemExit) as caught:
        main(["--help"])

    text = capsys.readouterr().out
    assert 0 == caught.value.code
    assert all(f"\n  {command} " in text for command in COMMANDS)
    assert "exit codes:" in text


def test_every_module_that_is_a_command_is_in_the_table() -> None:
    """Nothing else is in the table."""
    modules = Path(sys.modules["rcnetd.ctl.main"].__file__ or "").parent.glob("*.py")
    texts = {path.stem: path.read_text(encoding="utf-8") for path in modules}
    runs = {name for name, text in texts.items() if "\ndef run(args: " in text}

    assert COMMANDS.keys() == runs - {"ask"}


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_its_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It starts with a verb, as the line in the list of commands does; exit codes come last."""
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])

    text = capsys.readouterr().out
    assert 0 == caught.value.code
    assert f"usage: rcnetctl {command}" in text
    description = text.split("\n\n")[1]
    verb = COMMANDS[command].split()[0]
    assert re.match(r"[A-Z][a-z]+ ", description)
    assert verb[0].islower()
    assert "Exit codes: 0 " in text.split("\n\n")[-1]


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    """It is one line."""
    assert 0 == main(["--version"])
    assert f"rcnetctl {__version__}\n" == capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
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
    """The last line names the mistake."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert 2 == caught.value.code
    assert "error: " in capsys.readouterr().err.splitlines()[-1]


def test_without_a_command_it_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """It exits with 2: `status` exits with 0 if ready, and a script's variable may be empty."""
    assert 2 == main([])
    out, error = capsys.readouterr()

    assert "" == out
    assert "\n  status " in error


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["staus"], "'staus' is not a command; did you mean 'status'?"),
        (["--config", "x", "stat"], "'stat' is not a command; did you mean 'status'?"),
        (["nonsense"], "'nonsense' is not a command; 'rcnetctl --help' shows all"),
        (
            ["status", "--jsn"],
            "'--jsn' is not an argument of 'rcnetctl status'; did you mean '--json'?",
        ),
        (
            ["plan", "10.180.31.254"],
            "'10.180.31.254' is not an argument of 'rcnetctl plan'; 'rcnetctl plan --help' shows"
            " all",
        ),
    ],
)
def test_a_slip_of_the_keyboard(
    arguments: Sequence[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line names what was probably meant."""
    assert 2 == main(arguments)
    assert ("", f"rcnetctl: {text}\n") == capsys.readouterr()


@pytest.mark.parametrize("arguments", [["emulate", "x.yaml"], ["demo"]])
def test_without_the_emulators_package(
    arguments: Sequence[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the missing package."""
    real = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name.startswith("rcnetd.emulator"):
            raise ImportError("not here", name="h11")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)

    sys.modules.pop("rcnetd.emulator.command", None)
    assert 1 == main(arguments)
    assert "rcnetctl: the package rcnetd-emulator is not installed (h11 is missing)\n" == (
        capsys.readouterr().err
    )


def test_an_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C exits with the shell's code for it."""

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
    """80 columns, and the lines of a console (25; the list of all commands, and fleet, 40)."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([*command, "--help"])

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= (25 if command not in ((), ("fleet",)) else 40)
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize(
    ("redirection", "reason"),
    [(">&-", "Bad file descriptor"), (">/dev/full", "No space left on device")],
)
@pytest.mark.parametrize(
    "command", ["--help", "--version", "status", "status --json", "analyze", "demo --help"]
)
def test_standard_output_that_cannot_be_written(
    tmp_path: Path, command: str, redirection: str, reason: str
) -> None:
    """One line blames standard output, not the file that was read."""
    program = f"{' '.join(RCNETCTL)} {command} {redirection}"
    (tmp_path / "timeline.jsonl").write_text('{"at": 1, "event": "started"}\n')
    done = subprocess.run(
        ["sh", "-c", program], capture_output=True, text=True, check=False,
        env={**os.environ, "RUNTIME_DIRECTORY": str(tmp_path)},
    )  # fmt: skip

    assert f"rcnetctl: Failed to write to standard output: {reason}\n" == done.stderr
    assert 1 == done.returncode


def test_closed_standard_streams_are_no_harm_to_files(tmp_path: Path) -> None:
    """A file that is opened later does not get the number of a standard stream."""
    picture = tmp_path / "boot.svg"
    (tmp_path / "timeline.jsonl").write_text('{"at": 1, "event": "started"}\n')
    program = f"{' '.join(RCNETCTL)} analyze --plot {picture} <&- >&- 2>&-"
    done = subprocess.run(
        ["sh", "-c", program], check=False, env={**os.environ, "RUNTIME_DIRECTORY": str(tmp_path)}
    )

    assert 0 == done.returncode
    assert picture.read_text().startswith("<svg")
