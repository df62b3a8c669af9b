"""`rcnetctl fleet`: its own command line; it is a package of its own, maybe absent."""

from __future__ import annotations

import argparse
from types import ModuleType

from rcnetd.ctl.command import CommandError

NOT_INSTALLED = "the package rcnetd-fleet is not installed ({} is missing)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the fleet's options."""
    _fleet().add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """List the servers, or wait for them."""
    return int(_fleet().run_command(args))


def _fleet() -> ModuleType:
    try:
        from rcnetd.fleet import command
    except ImportError as error:
        raise CommandError(NOT_INSTALLED.format(error.name)) from None
    return command
