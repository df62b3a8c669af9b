"""`rcnetctl emulate`: the emulator's own command line; it is a package of its own, maybe absent."""

from __future__ import annotations

import argparse
from types import ModuleType

from rcnetd.ctl.command import CommandError

NOT_INSTALLED = "the package rcnetd-emulator is not installed ({} is missing)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the emulator's options."""
    _emulator().add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Serve the API until SIGTERM or SIGINT."""
    return int(_emulator().run(args))


def _emulator() -> ModuleType:
    try:
        from rcnetd.emulator import command
    except ImportError as error:
        raise CommandError(NOT_INSTALLED.format(error.name)) from None
    return command
