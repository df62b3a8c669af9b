"""The shell completions, made from the command line's own parser by shtab.

`python -m tests.generate.completions --write` puts them into `packaging/completions/`.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

import shtab

from rcnetd.ctl import main

FILES = {"bash": "rcnetctl.bash", "zsh": "_rcnetctl", "fish": "rcnetctl.fish"}
HERE = Path(__file__).parents[2] / "packaging" / "completions"


def parser() -> argparse.ArgumentParser:
    """The whole command line in one parser, which shtab needs."""
    result = argparse.ArgumentParser(prog="rcnetctl")
    for action in main.parser()._actions:
        if action.option_strings and action.dest != "help":
            result._add_action(action)
    commands = result.add_subparsers(metavar="COMMAND")
    for name, text in main.COMMANDS.items():
        command = commands.add_parser(name, help=text)
        import_module(f"rcnetd.ctl.{name}").add_arguments(command)
        command.description = text  # short, as in the list of commands
        _mark_files(command)
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
