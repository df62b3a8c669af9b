"""`rcnetd`: read the settings, find the endpoint, run the daemon."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rcnetd import __version__
from rcnetd.config.fragments import ConfigError
from rcnetd.config.load import NoRegion, configuration
from rcnetd.core.settings import Metadata
from rcnetd.daemon.journal import Journal
from rcnetd.store.paths import Paths

if TYPE_CHECKING:
    import argparse
    import subprocess

# Not a mistake in the settings: systemd starts us again, and what should write the file with us.
NO_METADATA = (
    "no region is known yet: no setting names it, and '{}' is not there; trying again"
    " ('systemctl status rcnetd-metadata' shows why)"
)


class Arguments(NamedTuple):
    """What the command line says."""

    config: Sequence[Path] = ()
    debug: bool = False
    check: bool = False


def arguments(argv: Sequence[str]) -> Arguments:
    """Read the command line; ends the process where it is wrong, or asks for help.

    systemd gives us none, and argparse takes 12 ms of the boot.
    """
    if not argv:
        return Arguments()
    args = parser().parse_args(argv)
    return Arguments(args.config, args.debug, args.check)


def parser() -> argparse.ArgumentParser:
    """The command line of `rcnetd`."""
    import argparse

    result = argparse.ArgumentParser(
        prog="rcnetd",
        description="Set and guard the default route of a server behind RackConnect v2.0. systemd"
        " starts this daemon; the command for people is rcnetctl. See rcnetd(8).",
    )
    result.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="read the settings from FILE instead of the default directories; can be repeated",
    )
    result.add_argument("--debug", action="store_true", help="log every request")
    result.add_argument(
        "--check",
        action="store_true",
        help="check the settings and exit; 78 if they are wrong",
    )
    result.add_argument(
        "--version",
        action="version",
        version=f"rcnetd {__version__}",
        help="show the version and exit",
    )
    return result


def main(
    argv: Sequence[str] | None = None, *, process: subprocess.Popen[bytes] | None = None
) -> int:
    """Run the daemon; return its exit code (rcnetd(8), EXIT STATUS).

    *process* is the fetcher's, if it was started already.
    """
    args = arguments(sys.argv[1:] if argv is None else argv)
    journal = Journal(os.environ, debug=args.debug)
    paths = Paths.from_environ(os.environ)
    metadata, warnings = _metadata(paths)
    read = partial(configuration, args.config, metadata)
    try:
        settings, url = read()
    except ConfigError as error:
        if isinstance(error, NoRegion) and not paths.metadata.exists():
            journal.log("error", NO_METADATA.format(paths.metadata))
            return os.EX_TEMPFAIL
        journal.log("error", str(error))
        if not args.check:
            _leave_word(paths, str(error))
        return os.EX_CONFIG
    if args.check:
        return 0
    for warning in warnings:
        journal.log("warning", warning)
    if settings.endpoint_is_plain:
        journal.log("warning", f"endpoint '{url}' is not encrypted: anyone on its way can answer")
    try:
        lock = _lock(paths)
    except OSError as error:
        journal.log("error", f"Failed to lock '{paths.lock}': {error.strerror}")
        return 1
    if lock is None:
        journal.log("error", f"rcnetd is already running ('{paths.lock}' is locked)")
        return 1
    from rcnetd.fetcher.fetcher import Fetcher

    fetcher = Fetcher.started(settings, url, process)
    from rcnetd.daemon.loop import Daemon

    return Daemon(settings, metadata, url, paths, journal, read, fetcher).run()


def _leave_word(paths: Paths, reason: str) -> None:
    """Let `rcnetctl`, and what waits for us, know why we did not begin; unless another runs."""
    from rcnetd.daemon.metrics import Tally, render
    from rcnetd.daemon.status import startup_failure
    from rcnetd.store.runtime import RuntimeFiles

    if not paths.run.is_dir():
        return  # not started by systemd: what we made here would be in the service's way
    with contextlib.suppress(OSError):  # the journal has it
        lock = _lock(paths)
        if lock is not None:
            now, files = time.monotonic(), RuntimeFiles(paths)
            content = startup_failure(os.EX_CONFIG, reason, now)
            files.status(content)
            files.metrics(render(content, Tally(now), now=now, clock=time.time()))
            os.close(lock)


def _metadata(paths: Paths) -> tuple[Metadata, list[str]]:
    from rcnetd.metadata.file import read

    return read(paths.metadata)


def _lock(paths: Paths) -> int | None:
    """Take the daemon's lock for the life of the process; None if another daemon has it."""
    paths.run.mkdir(mode=0o755, parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(paths.lock, flags, 0o600)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        # No daemon can make the file as long as that lasts: the directory is as good.
        descriptor = os.open(paths.run, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
