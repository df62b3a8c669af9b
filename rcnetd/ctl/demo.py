"""`rcnetctl demo`: the options of the demonstration, which `rcnetd.lab.demo` plays."""

from __future__ import annotations

import argparse
from pathlib import Path

from rcnetd.ctl.command import CommandError, add_format, duration
from rcnetd.ctl.emulate import NOT_INSTALLED


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `rcnetctl demo`."""
    parser.description = (
        "Boot a server behind RackConnect: a server, a gateway, a public router, an internet host"
        " and the API, in private network namespaces. The real daemon sets the route and reports"
        " READY. Needs root or user namespaces, and changes nothing on this host."
    )
    parser.epilog = (
        "Exit codes: 0 READY was reported and the kernel uses the route; 1 not; 77 this host does"
        " not allow network namespaces."
    )
    add_format(parser)
    parser.add_argument(
        "--scenario", metavar="FILE", type=Path,
        help="replay FILE, a scenario of the emulated API (rcnetd-emulator(5))",
    )  # fmt: skip
    parser.add_argument("--fault", metavar="NAME", help="start with this fault of the API")
    parser.add_argument(
        "--timeout", type=duration, default=120.0, metavar="S",
        help="give up after S (default: 2min)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Play the demonstration."""
    try:
        import rcnetd.emulator  # noqa: F401 -- only whether it is installed
        from rcnetd.lab import demo
    except ImportError as error:
        raise CommandError(NOT_INSTALLED.format(error.name)) from None
    return demo.run(
        scenario=args.scenario,
        fault=args.fault,
        as_json=args.format == "json",
        timeout=args.timeout,
    )
