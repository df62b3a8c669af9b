"""`rcnetctl fleet`: list the servers of all clouds and regions, or wait until they are DEPLOYED.

Exit codes: `gate`, and 75 not in time or not complete, 77 not authorised, 78 settings wrong.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Sequence

from rcnetd.basic.text import plain, read_duration
from rcnetd.fleet import ansible, formats
from rcnetd.fleet.collect import Cloud, Collector
from rcnetd.fleet.failures import Failure
from rcnetd.fleet.gate import Goal, Share, Verdict, read_share
from rcnetd.fleet.servers import Automation, Selection
from rcnetd.fleet.waiting import judge, wait

INTERVAL = 10.0  # seconds between two lists of a region
LIST_TIMEOUT = 300.0  # seconds for all answers where nothing is waited for
WAIT_TIMEOUT = 45 * 60.0
FORMATS = ("table", "json", "csv", "names", "ansible", "prometheus")
MAX_IDS = 8 * 2**20  # characters on stdin


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `rcnetctl fleet`."""
    parser.usage = "rcnetctl fleet [OPTIONS]"
    parser.description = (
        "Show the RackConnect automation status of the servers of each cloud in clouds.yaml or"
        " OS_*, or wait until they are DEPLOYED. See rcnetctl-fleet(8)."
    )
    parser.epilog = (
        "Exit codes: 0 all DEPLOYED; 69 some FAILED; 75 not in time, or not all answered; 76 some"
        " UNPROCESSABLE; 77 not authorised; 78 wrong settings or selection."
    )
    add = parser.add_argument
    add("--os-cloud", metavar="NAME", action="append", help="a cloud of clouds.yaml *")
    add("--region", metavar="NAME", action="append", default=[], help="only this region *")
    add("--name", metavar="GLOB", action="append", default=[], help="servers with this name *")
    add(
        "--metadata", metavar="KEY=VALUE", type=_pair, action="append", default=[],
        help="servers with this metadata *",
    )  # fmt: skip
    add(
        "--id", metavar="ID", action="append", default=[],
        help="this server; '-' reads ids from standard input *",
    )  # fmt: skip
    add(
        "--status", metavar="STATUS", type=_status, action="append", default=[],
        help="show servers in this status only (* can be repeated)",
    )  # fmt: skip
    add("--format", metavar="FORMAT", choices=FORMATS, default="table", help=", ".join(FORMATS))
    add("--all", action="store_true", help="list DEPLOYED servers in the table, too")
    add("--wait", choices=("deployed",), help="wait until it is decided")
    add("--timeout", metavar="S", type=_seconds, help="at most S (45min; 5min without --wait)")
    add(
        "--at-least", metavar="SHARE", type=_share, default=Share(),
        help="this share or number of servers is enough (95%%, 40)",
    )  # fmt: skip
    add("--expect", action="store_true", help="count servers without the key, it will come")
    add(
        "--interval", metavar="S", type=_interval, default=INTERVAL,
        help="seconds between lists (10)",
    )  # fmt: skip
    add("--list", action="store_true", help=argparse.SUPPRESS)  # how Ansible calls a script
    add("--host", metavar="NAME", help=argparse.SUPPRESS)


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise argparse.ArgumentTypeError(f"'{text}' is not KEY=VALUE")
    return key, value


def _status(text: str) -> Automation:
    try:
        return Automation[text.upper()]
    except KeyError:
        words = ", ".join(one.value for one in Automation)
        raise argparse.ArgumentTypeError(f"'{text}' is none of {words}") from None


def _seconds(text: str) -> float:
    try:
        return read_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _interval(text: str) -> float:
    seconds = _seconds(text)
    if seconds < 1:
        raise argparse.ArgumentTypeError("an interval is at least 1s: the API limits requests")
    return seconds


def _share(text: str) -> Share:
    try:
        return read_share(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(args: argparse.Namespace) -> int:
    """List the servers, or wait for them; return the exit code. `ImportError` without the SDK."""
    from rcnetd.fleet.clouds import Cloud as SdkCloud

    try:
        if (args.list or args.host) and args.format != "ansible":
            raise Failure("--list and --host are for --format ansible", 2)
        selection = Selection(tuple(args.name), tuple(args.metadata), _ids(args.id))
        names = dict.fromkeys(args.os_cloud or [None])
        return _run(args, selection, [SdkCloud(name) for name in names])
    except Failure as failure:
        print(f"rcnetctl: {failure.reason}", file=sys.stderr)
        return failure.code


def _ids(given: Sequence[str]) -> frozenset[str]:
    """The ids of the command line, and of standard input for '-'. Raises `Failure`."""
    found = [one for one in given if one != "-"]
    if "-" in given:
        try:
            found += sys.stdin.read(MAX_IDS).split()
        except (OSError, ValueError) as error:
            raise Failure(f"Failed to read ids from standard input: {error}", 78) from None
        if not found:
            raise Failure("standard input has no ids", os.EX_CONFIG)
    return frozenset(found)


def _run(args: argparse.Namespace, selection: Selection, clouds: Iterable[Cloud]) -> int:
    collector = Collector(
        clouds, tuple(args.region), selection,
        clock=time.monotonic, sleep=time.sleep, jitter=random.random,
    )  # fmt: skip
    goal = Goal(args.at_least, args.expect)
    timeout = args.timeout
    if timeout is None:
        timeout = WAIT_TIMEOUT if args.wait else LIST_TIMEOUT
    end = time.monotonic() + timeout
    verdict = _wait(collector, goal, end, args.interval) if args.wait else None
    if not args.wait:
        collector.start()
        while not collector.is_idle() and collector.wait(end):
            pass
        verdict = judge(collector, goal)
    return _finish(args, collector, selection, verdict or Verdict(os.EX_TEMPFAIL))


def _wait(collector: Collector, goal: Goal, end: float, interval: float) -> Verdict:
    from rcnetd.fleet.live import view

    shown = view(sys.stderr)
    try:
        return wait(
            collector, goal, shown,
            end=end, interval=interval, clock=time.monotonic, jitter=random.random,
        )  # fmt: skip
    finally:
        shown.close()


def _finish(
    args: argparse.Namespace, collector: Collector, selection: Selection, verdict: Verdict
) -> int:
    """Print the servers on stdout, everything else on stderr."""
    troubles = collector.troubles()
    for trouble in troubles:
        print(f"rcnetctl: {trouble}", file=sys.stderr)
    if not collector.has_answers():
        return _no_answer([trouble.failure for trouble in troubles])
    missing = selection.ids - {server.id for server in collector.servers()}
    for server_id in sorted(missing)[:10]:
        print(f"rcnetctl: no server has the id '{plain(server_id, 80)}'", file=sys.stderr)
    sys.stdout.write(RENDERERS[args.format](args, _report(args, collector)))
    sys.stdout.flush()
    if args.format in ("ansible", "prometheus"):  # read by programs that want the list
        return os.EX_TEMPFAIL if troubles else 0
    reason = verdict.reason
    if not collector.counts().total and str(selection):
        reason = f"no server matches {selection}"
    if reason:
        print(f"rcnetctl: {reason}", file=sys.stderr)
    return os.EX_TEMPFAIL if troubles and not verdict.code else verdict.code


def _no_answer(failures: Sequence[Failure]) -> int:
    codes = {failure.code for failure in failures}
    return codes.pop() if len(codes) == 1 else os.EX_TEMPFAIL


def _report(args: argparse.Namespace, collector: Collector) -> formats.Report:
    monotonic, posix = time.monotonic(), time.time()
    servers = collector.servers()
    return formats.Report(
        [one for one in servers if not args.status or one.automation in args.status],
        posix,
        [
            formats.Place(one.cloud, one.name, one.failure is None and one.full_at is not None)
            for one in collector.watches
        ],
        collector.troubles(),
        {
            server_id: posix - (monotonic - since.at)
            for one in collector.watches
            for server_id, since in one.since.items()
            if since.at is not None
        },
    )


def _inventory(args: argparse.Namespace, report: formats.Report) -> str:
    if args.host:
        return ansible.host(report.servers, args.host)
    return ansible.inventory(report.servers)


RENDERERS: dict[str, Callable[[argparse.Namespace, formats.Report], str]] = {
    "table": lambda args, report: formats.table(report, every=args.all),
    "json": lambda _, report: formats.as_json(report),
    "csv": lambda _, report: formats.as_csv(report),
    "names": lambda _, report: formats.names(report),
    "ansible": _inventory,
    "prometheus": lambda _, report: formats.prometheus(report),
}
