"""The shell completions, made from the command line's own parser by shtab.

`python -m tests.generate.completions --write` puts them into `packaging/completions/`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import shtab

from rcnetd.ctl import main
from rcnetd.emulator import command

FILES = {"bash": "rcnetctl.bash", "zsh": "_rcnetctl", "fish": "rcnetctl.fish"}
HERE = Path(__file__).parents[2] / "packaging" / "completions"


def parser() -> argparse.ArgumentParser:
    """The whole command line: with the emulator's, and with the arguments that are files."""
    result = main.parser()
    for action in result._actions:
        if isinstance(action, argparse._SubParsersAction):
            action.choices["emulate"]._actions[:] = command.parser()._actions
            for choice in action._choices_actions:
                subparser = action.choices[choice.dest]
                subparser.description = choice.help  # short, as in the list of commands
                _mark_files(subparser)
    _mark_files(result)
    return result


def _mark_files(parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:
        if action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined] # shtab's own attribute


def completion(shell: str) -> str:
    """The completion of "bash", "zsh" or "fish"."""
    return str(shtab.complete(parser(), shell=shell)).rstrip("\n") + "\n"


if __name__ == "__main__":
    for shell, name in FILES.items():
        if sys.argv[1:] == ["--write"]:
            HERE.mkdir(exist_ok=True)
            (HERE / name).write_text(completion(shell), encoding="utf-8")
        else:
            sys.stdout.write(completion(shell))
