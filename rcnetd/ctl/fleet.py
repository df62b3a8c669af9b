"""`rcnetctl fleet`: the options of the package rcnetd-fleet, which may be absent."""

from __future__ import annotations

import argparse
from types import ModuleType

from rcnetd.ctl.command import CommandError

NOT_INSTALLED = "the package rcnetd-fleet is not installed ({} is missing)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `rcnetctl fleet`."""
    _fleet().add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """List the servers, or wait for them."""
    try:
        return int(_fleet().run(args))
    except ImportError as error:  # openstacksdk
        raise CommandError(NOT_INSTALLED.format(error.name)) from None


def _fleet() -> ModuleType:
    try:
        from rcnetd.fleet import command
    except ImportError as error:
        raise CommandError(NOT_INSTALLED.format(error.name)) from None
    return command
