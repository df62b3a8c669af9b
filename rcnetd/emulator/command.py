"""`rcnetctl emulate SCENARIO`: serve the RackConnect API on this machine until it is stopped."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from rcnetd.emulator.certificates import context_of
from rcnetd.emulator.faults import CONNECTION, FAULTS, OPERATIONS, Fault
from rcnetd.emulator.scenario import ScenarioError, load, read_duration
from rcnetd.emulator.server import Emulator, Request

EX_USAGE, EX_OSERR, EX_CONFIG = 2, os.EX_OSERR, os.EX_CONFIG


def _listen(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"(\d+\.\d+\.\d+\.\d+):(\d{1,5})", text)
    if match is None or int(match[2]) > 65535:
        raise argparse.ArgumentTypeError(f"'{text}' is not IP:PORT")
    return match[1], int(match[2])


def _seconds(text: str) -> float:
    try:
        return read_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `rcnetctl emulate`."""
    parser.usage = "rcnetctl emulate [OPTIONS] SCENARIO"
    parser.description = (
        "Serve the RackConnect API v1 as a scenario describes it (rcnetd-emulator(5)), until SIGINT"
        " or SIGTERM."
    )
    parser.epilog = "Exit codes: 0 stopped; 71 cannot listen; 78 invalid scenario."
    parser.add_argument("scenario", metavar="SCENARIO", type=Path, nargs="?", help="a YAML file")
    parser.add_argument(
        "--listen", metavar="IP:PORT", type=_listen, action="append",
        help="listen here (default: 127.0.0.1:8443); repeatable; port 0 is any free port",
    )  # fmt: skip
    parser.add_argument("--ca-file", metavar="FILE", type=Path, help="write the CA to FILE")
    parser.add_argument(
        "--cert", metavar="FILE", type=Path, help="use this certificate (PEM); needs --key"
    )
    parser.add_argument("--key", metavar="FILE", type=Path, help="private key of --cert (PEM)")
    parser.add_argument("--plain", action="store_true", help="serve HTTP, without TLS")
    parser.add_argument("--fault", metavar="NAME", choices=tuple(FAULTS), help="start with a fault")
    parser.add_argument(
        "--fault-on",
        metavar="OPERATION",
        choices=OPERATIONS,
        help="apply the fault to this operation only",
    )
    parser.add_argument("--fault-for", metavar="S", type=_seconds, help="end the fault after S")
    parser.add_argument("--list-faults", action="store_true", help="list the faults and exit")
    parser.add_argument("--log", action="store_true", help="print a line for each request")
    parser.add_argument(
        "--log-format", choices=("text", "json"), default="text", help="format of these lines"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m rcnetd.emulator`, which is `rcnetctl emulate` without the rest of it."""
    parser = argparse.ArgumentParser(prog="rcnetctl emulate")
    add_arguments(parser)
    return run(parser.parse_args(argv))


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    if args.list_faults:
        width = max(map(len, FAULTS))
        print("\n".join(f"{name:<{width}}  {text}" for name, text in FAULTS.items()))
        return 0
    mistake = _mistake(args)
    if mistake:
        return _fail(mistake, EX_USAGE)
    try:
        scenario = load(args.scenario)
        context = None
        if args.cert is not None:
            context = context_of(args.key.read_bytes() + b"\n" + args.cert.read_bytes())
    except (ScenarioError, OSError) as error:
        return _fail(str(error), EX_CONFIG)
    emulator = Emulator(
        scenario,
        args.listen or [("127.0.0.1", 8443)],
        tls=not args.plain,
        context=context,
        fault=Fault(args.fault, args.fault_on) if args.fault else None,
        on_request=_logger(args.log_format) if args.log else None,
    )
    try:
        if args.ca_file is not None and not args.plain:
            args.ca_file.write_bytes(emulator.ca_pem)
        asyncio.run(_serve(emulator, args.fault_for, plain=args.plain))
    except OSError as error:
        return _fail(f"Failed to serve: {error}", EX_OSERR)
    return 0


def _mistake(args: argparse.Namespace) -> str:
    """What is wrong with arguments that are right one by one; "" if nothing is."""
    if args.scenario is None:
        return "SCENARIO is missing; 'rcnetctl demo' runs without one"
    if (args.cert is None) != (args.key is None):
        return "--cert and --key need each other"
    if args.fault_on and args.fault in CONNECTION:
        return f"'{args.fault}' happens before the operation is known; leave out --fault-on"
    return ""


def _fail(text: str, code: int) -> int:
    print(f"rcnetctl: {text}", file=sys.stderr)
    return code


async def _serve(emulator: Emulator, fault_for: float | None, *, plain: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await emulator.start()
    scheme = "http" if plain else "https"
    listening = ", ".join(f"{scheme}://{host}:{port}" for host, port in emulator.addresses)
    with suppress(BrokenPipeError):
        print(f"listening on {listening}", flush=True)
    if fault_for is not None:
        loop.call_later(fault_for, emulator.set_fault, None)
    try:
        await stop.wait()
    finally:
        await emulator.stop()


def _logger(form: str) -> Callable[[Request], None]:
    def log(request: Request) -> None:
        answer = "no answer" if request.status is None else str(request.status)
        if form == "json":
            print(json.dumps(vars(request)), flush=True)
        else:
            fault = f" ({request.fault})" if request.fault else ""
            print(
                f"{request.at:8.3f} {request.source} {request.host} {request.method}"
                f" {request.target} -> {answer}{fault}, {request.count} this minute",
                flush=True,
            )

    return log
