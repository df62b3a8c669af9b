"""`rcnetctl emulate TIMELINE`: serve the RackConnect API on this machine until it is stopped."""

from __future__ import annotations

import argparse
import asyncio
import json
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

EX_OSERR, EX_CONFIG = 71, 78  # sysexits.h


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


def parser() -> argparse.ArgumentParser:
    """The command line of `rcnetctl emulate`."""
    result = argparse.ArgumentParser(
        prog="rcnetctl emulate",
        usage="rcnetctl emulate [OPTIONS] TIMELINE",
        description="Serve the RackConnect API v1 by a scenario (its form: rcnetd-emulator(5)).",
    )
    result.add_argument("scenario", metavar="SCENARIO", type=Path, nargs="?", help="a YAML file")
    result.add_argument(
        "--listen", metavar="IP:PORT", type=_listen, action="append",
        help="where (default: 127.0.0.1:8443); repeatable; port 0 takes a free one",
    )  # fmt: skip
    result.add_argument("--ca-file", metavar="FILE", type=Path, help="write the authority here")
    result.add_argument("--cert", metavar="FILE", type=Path, help="a certificate of your own (PEM)")
    result.add_argument("--key", metavar="FILE", type=Path, help="its private key (PEM)")
    result.add_argument("--plain", action="store_true", help="HTTP without TLS")
    result.add_argument("--fault", metavar="NAME", choices=tuple(FAULTS), help="begin with it")
    result.add_argument(
        "--fault-on", metavar="OPERATION", choices=OPERATIONS, help="and only for this one"
    )
    result.add_argument("--fault-for", metavar="S", type=_seconds, help="end the fault after this")
    result.add_argument("--list-faults", action="store_true", help="name the faults, and stop")
    result.add_argument("--log", action="store_true", help="a line for each request")
    result.add_argument("--log-format", choices=("text", "json"), default="text", help="of them")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Exit codes: 0, 71 cannot listen, 78 the scenario is wrong."""
    options = parser()
    args = options.parse_args(argv)
    if args.list_faults:
        width = max(map(len, FAULTS))
        print("\n".join(f"{name:<{width}}  {text}" for name, text in FAULTS.items()))
        return 0
    if args.scenario is None:
        options.error("TIMELINE is missing")
    if (args.cert is None) != (args.key is None):
        options.error("--cert and --key belong together")
    if args.fault_on and args.fault in CONNECTION:
        options.error(f"'{args.fault}' strikes before the operation is known; no --fault-on")
    try:
        timeline = load(args.scenario)
        context = None
        if args.cert is not None:
            context = context_of(args.key.read_bytes() + b"\n" + args.cert.read_bytes())
    except (ScenarioError, OSError) as error:
        print(f"rcnetctl: {error}", file=sys.stderr)
        return EX_CONFIG
    emulator = Emulator(
        timeline,
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
        print(f"rcnetctl: Failed to serve: {error}", file=sys.stderr)
        return EX_OSERR
    return 0


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
