"""`rcnetctl`: the command for people and scripts."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from rcnetd import __version__
from rcnetd.store.paths import Paths


def duration(text: str) -> float:
    """A length of time on the command line: `90s`, `5min`, `1h` or seconds."""
    from rcnetd.basic.text import read_duration

    try:
        return read_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def directory(text: str) -> Path:
    """A directory that is there."""
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"'{text}' is not a directory")
    return path


def address(text: str) -> IPv4Address:
    """An IPv4 address."""
    try:
        return IPv4Address(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not an IPv4 address") from None


def parser() -> argparse.ArgumentParser:
    """The command line of `rcnetctl`."""
    result = argparse.ArgumentParser(
        prog="rcnetctl",
        description="Look at rcnetd and at the RackConnect API of this server.",
        epilog="Exit codes: 0 yes, 3 not running, 4 not ready, 69 failed, 75 not yet or not in"
        " time, 76 UNPROCESSABLE, 78 settings wrong. See rcnetctl(8).",
    )
    result.add_argument("--version", action="version", version=f"rcnetctl {__version__}")
    result.add_argument(
        "--config", metavar="FILE", type=Path, action="append", default=[],
        help="read settings from FILE instead of the usual directories",
    )  # fmt: skip
    commands = result.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_status(commands)
    _add_ask(commands, "gateway", "ask the API for the gateway", ("text", "json", "xml"))
    automation = _add_ask(
        commands, "automation", "ask the API how far the automation is", ("text", "json", "xml")
    )
    automation.add_argument(
        "--details", action="store_true", help="each task's status too (json or xml)"
    )
    _add_ask(commands, "features", "ask the API which features are enabled", ("json", "xml"))
    _add_plan(commands)
    _add_persist(commands)
    _add_instance(commands)
    _add_analyze(commands)
    _add_preflight(commands)
    _add_clean(commands)
    _add_emulate(commands)
    _add_demo(commands)
    return result


def _add_status(commands: Any) -> None:
    status = commands.add_parser("status", help="how this server is")
    _add_format(status)
    status.add_argument(
        "--wait", choices=("route", "deployed"), help="wait until it has come, or cannot come"
    )
    status.add_argument(
        "--timeout", type=duration, metavar="S", help="wait at most so long (90s, 5min, seconds)"
    )
    status.set_defaults(run=_status)


def _add_format(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--format", choices=("text", "json"), default="text", help="for people, or for programs"
    )
    command.add_argument(
        "--json", action="store_const", const="json", dest="format", help="as --format json"
    )


def _add_ask(
    commands: Any, name: str, text: str, formats: Sequence[str]
) -> argparse.ArgumentParser:
    description = f"{text[0].upper()}{text[1:]}, within the shared request budget."
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=description)
    command.add_argument("--format", choices=formats, help=f"of the answer (default: {formats[0]})")
    command.set_defaults(run=_ask, command=name, details=False)
    return command


def _add_plan(commands: Any) -> None:
    plan = commands.add_parser(
        "plan", help="what rcnetd would do on this host now; changes nothing"
    )
    plan.add_argument(
        "--gateway", metavar="ADDRESS", type=address, help="this gateway, without asking the API"
    )
    plan.set_defaults(run=_plan)


def _add_persist(commands: Any) -> None:
    persist = commands.add_parser(
        "persist",
        help="write the route into the host's own network configuration",
        description="rcnetd-persist.service does so whenever the route has changed.",
    )
    persist.set_defaults(run=_persist)
    revert = commands.add_parser(
        "revert",
        help="put back the host's files and routes as they were before rcnetd",
        description="rcnetd must not run: 'systemctl mask --now rcnetd' first.",
    )
    _add_root(revert)
    revert.set_defaults(run=_revert)


def _add_instance(commands: Any) -> None:
    metadata = commands.add_parser("metadata", help="show what the platform says about this server")
    _add_format(metadata)
    metadata.add_argument(
        "--write", action="store_true", help="ask it now and keep the answer for rcnetd (root)"
    )
    metadata.set_defaults(run=_metadata)


def _add_analyze(commands: Any) -> None:
    analyze = commands.add_parser("analyze", help="where the boot's time went")
    _add_format(analyze)
    analyze.add_argument(
        "--plot", metavar="FILE.svg", help="write a picture instead; '-' is standard output"
    )
    analyze.add_argument(
        "--all", action="store_true", help="with --plot: also what came after READY"
    )
    analyze.set_defaults(run=_analyze)


def _add_preflight(commands: Any) -> None:
    preflight = commands.add_parser(
        "preflight",
        help="whether an image is fit for its snapshot",
        description="PASS, WARNING or FAIL, a line each; exit code 1 if anything FAILs.",
    )
    _add_format(preflight)
    _add_root(preflight)
    preflight.set_defaults(run=_preflight)


def _add_clean(commands: Any) -> None:
    clean = commands.add_parser(
        "clean", help="before the snapshot of an image: forget what is bound to this machine"
    )
    clean.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    _add_root(clean)
    clean.set_defaults(run=_clean)


def _add_root(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--root", metavar="DIR", type=directory, default=Path("/"), help="the image's directory"
    )


def _add_emulate(commands: Any) -> None:
    # Its own parser does the rest (`main`): the emulator is a package of its own, maybe absent.
    commands.add_parser("emulate", help="the RackConnect API on this machine", add_help=False)


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser(
        "demo",
        help="watch a server boot behind RackConnect, in a private network namespace",
        description="A server, a gateway, a public router, an internet host and the API, all in"
        " network namespaces of this process: the real daemon sets the route and reports READY."
        " Needs root or user namespaces; nothing outside is touched.",
    )
    demo.add_argument(
        "--scenario", metavar="FILE", type=Path, help="what the emulated API answers, and when"
    )
    demo.add_argument("--fault", metavar="NAME", help="begin with this fault of the API")
    _add_format(demo)
    demo.add_argument(
        "--timeout", type=duration, default=120.0, metavar="S", help="give up (default: 2min)"
    )
    demo.set_defaults(run=_demo)


def _status(args: argparse.Namespace) -> int:
    from rcnetd.ctl import status

    paths = Paths.from_environ(os.environ)
    return status.run(paths, as_json=args.format == "json", wait=args.wait, timeout=args.timeout)


def _ask(args: argparse.Namespace) -> int:
    from rcnetd.ctl import ask

    name = "details" if args.details else args.command
    return ask.run(Paths.from_environ(os.environ), args.config, name, args.format)


def _plan(args: argparse.Namespace) -> int:
    from rcnetd.ctl import plan

    return plan.run(Paths.from_environ(os.environ), args.config, args.gateway)


def _persist(args: argparse.Namespace) -> int:
    from rcnetd.ctl import persist

    return persist.run(Paths.from_environ(os.environ), args.config)


def _revert(args: argparse.Namespace) -> int:
    from rcnetd.ctl import persist

    paths = Paths.from_environ(os.environ).below(args.root)
    return persist.revert(paths, args.root, image=args.root != Path("/"))


def _metadata(args: argparse.Namespace) -> int:
    from rcnetd.ctl import metadata

    paths = Paths.from_environ(os.environ)
    return metadata.run(paths, write=args.write, as_json=args.format == "json")


def _analyze(args: argparse.Namespace) -> int:
    from rcnetd.ctl import analyze

    paths = Paths.from_environ(os.environ)
    as_json = args.format == "json"
    return analyze.run(paths, as_json=as_json, plot=args.plot, everything=args.all)


def _preflight(args: argparse.Namespace) -> int:
    from rcnetd.ctl import preflight

    return preflight.run(args.config, args.root, as_json=args.format == "json")


def _clean(args: argparse.Namespace) -> int:
    from rcnetd.ctl import clean

    return clean.run(Paths.from_environ(os.environ), args.root, dry_run=args.dry_run)


def _emulate(arguments: Sequence[str]) -> int:
    try:
        from rcnetd.emulator.command import main as emulate
    except ImportError as error:
        return _missing("rcnetd-emulator", error)
    return emulate(arguments)


def _demo(args: argparse.Namespace) -> int:
    try:
        import rcnetd.emulator  # noqa: F401 -- only whether it is there
        from rcnetd.lab import demo
    except ImportError as error:
        return _missing("rcnetd-emulator", error)
    return demo.run(
        scenario=args.scenario,
        fault=args.fault,
        as_json=args.format == "json",
        timeout=args.timeout,
    )


def _missing(package: str, error: ImportError) -> int:
    print(
        f"rcnetctl: the package {package} is not installed ({error.name} is missing)",
        file=sys.stderr,
    )
    return 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (rcnetctl(8))."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        if arguments[:1] == ["emulate"]:
            return _emulate(arguments[1:])
        args = parser().parse_args(arguments)
        run: Callable[[argparse.Namespace], int] = args.run
        return run(args)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader has seen enough: `rcnetctl status | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0


if __name__ == "__main__":
    sys.exit(main())
