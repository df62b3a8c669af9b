"""`rcnetctl gateway`: ask the API for the gateway of this server."""

from __future__ import annotations

import argparse

from rcnetd.core.model import Operation
from rcnetd.ctl import ask


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `rcnetctl gateway`."""
    ask.add_arguments(
        parser, "Ask the API for the gateway of this server.", ("text", "json", "xml")
    )


def run(args: argparse.Namespace) -> int:
    """Print the API's answer."""
    return ask.run(args, Operation.GATEWAY, args.format or "text")
