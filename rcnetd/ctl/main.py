"""`rcnetctl`: the command for people and scripts.

The table of commands is here; each command is a module of this package (`command.py` says how),
loaded only if it is the one to run. `rcnetctl status` at a slow console must not wait for the
libraries of the others.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from rcnetd import __version__
from rcnetd.ctl.command import CommandError
from rcnetd.ctl.terminal import say

EX_USAGE = 2  # what argparse exits with
COMMANDS = {
    "status": "show the state of this server, or wait until it is ready",
    "gateway": "ask the API for the gateway",
    "automation": "ask the API for the automation status",
    "features": "ask the API which features are enabled",
    "plan": "show what rcnetd would change on this host, without changing it",
    "persist": "write the route into the host's network configuration",
    "revert": "restore the host's files and routes from before rcnetd",
    "metadata": "show what the platform says about this server",
    "analyze": "show where the time of the boot went, as text or as a picture",
    "preflight": "check whether an image is ready for its snapshot",
    "clean": "remove what is bound to this machine, before a snapshot",
    "emulate": "serve the RackConnect API on this machine, for tests",
    "fleet": "show the automation status of many servers, from anywhere",
    "demo": "boot a server behind RackConnect, in network namespaces",
}
EXIT_CODES = """\
exit codes:
  0 success; 1 failed; 2 wrong command line; 3 rcnetd is not running;
  4 not ready; 69 failed at RackConnect, or no answer; 75 not yet, or not in
  time; 76 UNPROCESSABLE; 77 not permitted; 78 invalid settings.
  'rcnetctl COMMAND --help' and rcnetctl(8) have the details."""


class _Parser(argparse.ArgumentParser):
    def print_help(self, file: Any = None) -> None:
        """Let a failure to write be seen, which argparse ignores in some versions."""
        print(self.format_help(), end="", file=sys.stdout if file is None else file)


def parser() -> argparse.ArgumentParser:
    """Return the parser of what comes before the command's own arguments."""
    listed = "\n".join(f"  {name:<12}{text}" for name, text in COMMANDS.items())
    result = _Parser(
        prog="rcnetctl",
        usage="rcnetctl [OPTIONS] COMMAND [ARGUMENTS]",
        description="Show and control rcnetd, and query this server's RackConnect API.",
        epilog=f"commands:\n{listed}\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--version", action="store_true", help="show the version and exit")
    result.add_argument(
        "--config", metavar="FILE", type=Path, action="append", default=[],
        help="read the settings from FILE instead of the default directories; can be repeated",
    )  # fmt: skip
    result.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return result


def command_parser(name: str) -> argparse.ArgumentParser:
    """Return the parser of one command's arguments; loads its module."""
    result = _Parser(prog=f"rcnetctl {name}")
    import_module(f"rcnetd.ctl.{name}").add_arguments(result)
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code (rcnetctl(8))."""
    _reserve_standard_streams()
    try:
        try:
            return _run(sys.argv[1:] if argv is None else argv)
        except CommandError as error:
            say(f"rcnetctl: {error}", file=sys.stderr)
            return error.code
        finally:
            sys.stdout.flush()  # a failure shows here, not after the exit code is decided
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader has seen enough: `rcnetctl status | head -1`
        _discard_output()
        return 0
    except OSError as error:
        if error.filename is not None:
            raise  # a file that the command should have reported itself
        _discard_output()
        say(f"rcnetctl: Failed to write to standard output: {error.strerror}", file=sys.stderr)
        return 1


def _run(arguments: Sequence[str]) -> int:
    args = parser().parse_args(arguments)
    if args.version:
        say(f"rcnetctl {__version__}")
        return 0
    if not args.command:
        # Exit code 0 of `status` means "ready": a script whose `rcnetctl $COMMAND` comes out empty
        # must not get it.
        parser().print_help(sys.stderr)
        return EX_USAGE
    name, *rest = args.command
    if name not in COMMANDS:
        text = f"'{name}' is not a command; {_hint(name, COMMANDS, 'rcnetctl --help')}"
        raise CommandError(text, EX_USAGE)
    options = command_parser(name)
    found, unknown = options.parse_known_args(rest, argparse.Namespace(config=args.config))
    if unknown:
        known = re.findall(r"--[a-z][a-z-]*", options.format_help())
        hint = _hint(unknown[0], known, f"rcnetctl {name} --help")
        text = f"'{unknown[0]}' is not an argument of 'rcnetctl {name}'; {hint}"
        raise CommandError(text, EX_USAGE)
    return int(import_module(f"rcnetd.ctl.{name}").run(found))


def _hint(word: str, known: Sequence[str] | dict[str, str], listing: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, list(known), n=1)
    return f"did you mean '{close[0]}'?" if close else f"'{listing}' shows all"


def _reserve_standard_streams() -> None:
    """Open what the caller closed (`>&-`), so that no other file gets its number.

    Writing to standard output fails then, as it should; standard error is discarded.
    """
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest number that is free
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 -- for the life of the process
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def _discard_output() -> None:
    """Let the interpreter's own last flush succeed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


if __name__ == "__main__":
    sys.exit(main())
