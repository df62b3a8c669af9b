"""`rcnetctl preflight`: whether this machine, or the image in a directory, is ready for a snapshot.

A line for each check: PASS on stdout, WARNING and FAIL on stderr. With `--format json` one object:
`results`, a list of `level`, `check`, `text`.
"""

from __future__ import annotations

import argparse
import json
import sys

from rcnetd.basic.text import printable
from rcnetd.ctl.checks import Level, Result, judge
from rcnetd.ctl.command import add_format, add_root
from rcnetd.ctl.image import ImageReader, is_booted
from rcnetd.ctl.terminal import Terminal

TONES = {Level.PASS: "good", Level.WARNING: "busy", Level.FAIL: "bad"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `rcnetctl preflight`."""
    parser.description = (
        "Check whether this system, or the image in DIR, is ready for its snapshot. Prints a line"
        " for each check: PASS, WARNING or FAIL. In a chroot and with --root, only the image's"
        " files are looked at."
    )
    parser.epilog = "Exit codes: 0 no check failed; 1 at least one FAIL."
    add_format(parser)
    add_root(parser)


def run(args: argparse.Namespace) -> int:
    """Check the system, and print the results."""
    results = judge(ImageReader(args.root, is_booted=is_booted()).image(args.config))
    if args.format == "json":
        lines = [{"level": r.level.value, "check": r.check, "text": r.text} for r in results]
        print(json.dumps({"version": 1, "results": lines}, indent=1))
    else:
        _show(results)
    return 1 if any(result.level is Level.FAIL for result in results) else 0


def _show(results: list[Result]) -> None:
    out, error = Terminal(sys.stdout), Terminal(sys.stderr)
    for result in results:
        terminal = out if result.level is Level.PASS else error
        word = terminal.paint(TONES[result.level], result.level.value)
        terminal.print(f"{word}: {printable(result.text)}")
