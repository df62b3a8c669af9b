"""`rcnetd`: read the settings, find the endpoint, run the daemon."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rcnetd import __version__
from rcnetd.journal import Journal
from rcnetd.options import Instance, Settings
from rcnetd.places import Places
from rcnetd.settings import ConfigError, load

if TYPE_CHECKING:
    import argparse

EX_CONFIG = 78  # sysexits.h; systemd does not start us again


def endpoint(settings: Settings, instance: Instance) -> str:
    """The base URL of the API: the setting, else the region's.

    Raises `ConfigError` that names the three ways to set it when no region is known.
    """
    if settings.endpoint is not None:
        return settings.endpoint
    region = settings.region or instance.region
    if region is None:
        raise ConfigError(
            "no region is known: set 'region' in /etc/rcnetd/rcnetd.yaml, or 'endpoint' there, or"
            " have the platform name it (xenstore vm-data/provider_data/region, or the config"
            " drive)"
        )
    # "Use the endpoint that matches the region where your cloud server resides." (the API page)
    return f"https://{region}.api.rackconnect.rackspace.com"


def configuration(files: Sequence[Path], instance: Instance) -> tuple[Settings, str]:
    """The settings and the endpoint that they mean ("": none is needed). Raises `ConfigError`."""
    settings = load(files, environ=os.environ)
    return settings, "" if instance.is_rackconnect_v3 else endpoint(settings, instance)


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
        description="Set the default route of a server behind RackConnect v2.0, and guard it."
        " Started by systemd; see rcnetctl for people.",
    )
    result.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="read settings from FILE instead of the usual directories; repeatable, later wins",
    )
    result.add_argument("--debug", action="store_true", help="log every poll")
    result.add_argument(
        "--check", action="store_true", help="only read the settings; 78 if they are wrong"
    )
    result.add_argument("--version", action="version", version=f"rcnetd {__version__}")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon; returns its exit code (README, "Exit codes")."""
    args = arguments(sys.argv[1:] if argv is None else argv)
    journal = Journal(os.environ, debug=args.debug)
    places = Places.from_environ(os.environ)
    instance, warnings = _instance(places)
    read = partial(configuration, args.config, instance)
    try:
        settings, url = read()
    except ConfigError as error:
        journal.log("error", str(error))
        if not args.check:
            _leave_word(places, str(error))
        return EX_CONFIG
    if args.check:
        return 0
    for warning in warnings:
        journal.log("warning", warning)
    if settings.endpoint_is_plain:
        journal.log("warning", f"endpoint '{url}' is not encrypted: anyone on its way can answer")
    try:
        lock = _lock(places)
    except OSError as error:
        journal.log("error", f"Failed to lock '{places.lock}': {error.strerror}")
        return 1
    if lock is None:
        journal.log("error", f"rcnetd is already running ('{places.lock}' is locked)")
        return 1
    from rcnetd.fetching import Fetcher
    from rcnetd.privileges import keep_capabilities_here

    keep_capabilities_here()
    fetcher = Fetcher.started(settings, url)  # what it loads, it loads beside us
    from rcnetd.daemon import Daemon

    return Daemon(settings, instance, url, places, journal, read, fetcher).run()


def _leave_word(places: Places, reason: str) -> None:
    """Let `rcnetctl`, and what waits for us, know why we did not begin; unless another runs."""
    from rcnetd.records import Records
    from rcnetd.report import not_begun

    if not places.run.is_dir():
        return  # not started by systemd: what we made here would be in the service's way
    with contextlib.suppress(OSError):  # the journal has it
        lock = _lock(places)
        if lock is not None:
            Records(places).status(not_begun(EX_CONFIG, reason, time.monotonic()))
            os.close(lock)


def _instance(places: Places) -> tuple[Instance, list[str]]:
    from rcnetd.instance import read

    return read(places.instance)


def _lock(places: Places) -> int | None:
    """Take the daemon's lock for the life of the process; None if another daemon has it."""
    places.run.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor = os.open(places.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


if __name__ == "__main__":
    sys.exit(main())
