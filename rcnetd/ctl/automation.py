"""`rcnetctl automation`: ask the API for the automation status of this server."""

from __future__ import annotations

import argparse

from rcnetd.core.model import Operation
from rcnetd.ctl import ask
from rcnetd.ctl.command import CommandError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `rcnetctl automation`."""
    ask.add_arguments(
        parser, "Ask the API for the automation status of this server.", ("text", "json", "xml")
    )
    parser.add_argument(
        "--details", action="store_true",
        help="include the status of each task; as json (then the default) or xml only",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Print the API's answer."""
    if not args.details:
        return ask.run(args, Operation.STATUS, args.format or "text")
    if args.format == "text":
        raise CommandError("the API has no details as text; use '--format json' or 'xml'", 2)
    return ask.run(args, Operation.DETAILS, args.format or "json")
