"""What every command of `rcnetctl` uses: its error, and the options that several commands share.

A command is a module of this package, named after it and listed in `main.COMMANDS`. It has
`add_arguments(parser)`, which declares its options, and `run(args)`, which does the work and
returns the exit code or raises `CommandError`.
"""

from __future__ import annotations

import argparse
import os
from ipaddress import IPv4Address
from pathlib import Path

from rcnetd.store.paths import Paths

NOT_RUNNING, NOT_READY = 3, 4  # 3 is what systemctl(1) means by it, too


class CommandError(Exception):
    """The command failed: one plain line for stderr, and the exit code."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


def host_paths() -> Paths:
    """Return where rcnetd's files are on this host."""
    return Paths.from_environ(os.environ)


# Types of arguments


def duration(text: str) -> float:
    """Read a length of time: `90s`, `5min`, `1h` or seconds."""
    from rcnetd.basic.text import read_duration

    try:
        return read_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def directory(text: str) -> Path:
    """Accept an existing directory."""
    path = Path(text)
    try:
        if path.is_dir():
            return path
    except OSError as error:
        raise argparse.ArgumentTypeError(f"'{text}': {error.strerror}") from None
    raise argparse.ArgumentTypeError(f"'{text}' is not a directory")


def address(text: str) -> IPv4Address:
    """Read an IPv4 address."""
    try:
        return IPv4Address(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not an IPv4 address") from None


# Options that several commands share


def add_format(parser: argparse.ArgumentParser, *more: str) -> None:
    """Add --format text|json, with *more* words, and --json for short."""
    parser.add_argument(
        "--format", choices=("text", "json", *more), default="text",
        help=f"text for people (the default), or {' or '.join(('json', *more))} for programs",
    )  # fmt: skip
    parser.add_argument(
        "--json", action="store_const", const="json", dest="format", help="same as --format json"
    )


def add_root(parser: argparse.ArgumentParser) -> None:
    """Add --root DIR."""
    parser.add_argument(
        "--root", metavar="DIR", type=directory, default=Path("/"),
        help="work on the image in DIR instead of this host",
    )  # fmt: skip
