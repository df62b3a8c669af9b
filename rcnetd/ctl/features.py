"""`rcnetctl features`: ask the API which automation features are enabled."""

from __future__ import annotations

import argparse

from rcnetd.core.model import Operation
from rcnetd.ctl import ask


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `rcnetctl features`."""
    ask.add_arguments(parser, "Ask the API which automation features are enabled.", ("json", "xml"))


def run(args: argparse.Namespace) -> int:
    """Print the API's answer."""
    return ask.run(args, Operation.FEATURES, args.format or "json")
