"""`rcnetctl persist`: write the route that is in effect into the host's network configuration.

`rcnetd-persist.service` runs it with `--retry` when the daemon's route or one of the files has
changed. Exit codes: 0 done, or nothing to do; 1 refused or failed; 3 rcnetd has set no route since
boot; 75 failed for a reason that may pass; 78 wrong settings. Unless it is 0, nothing was changed.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from rcnetd.basic.dataclass import dataclass
from rcnetd.basic.files import read_bounded, write_atomic
from rcnetd.config.fragments import ConfigError
from rcnetd.config.load import load
from rcnetd.core.model import Query
from rcnetd.core.routes import OUTSIDE
from rcnetd.core.settings import Backend, Settings
from rcnetd.ctl.command import host_paths
from rcnetd.ctl.terminal import say
from rcnetd.hostconfig import policy
from rcnetd.hostconfig.host import HostConfig, Plan
from rcnetd.hostconfig.renderers.model import CannotPersist, NotYet
from rcnetd.hostconfig.transaction import Changed
from rcnetd.metadata.file import read as read_metadata
from rcnetd.netlink.kernel import Kernel, NetlinkError
from rcnetd.store.paths import Paths
from rcnetd.store.runtime import read_removed

NOT_RUNNING = 3
MAX_ROUTE_SIZE = 4096  # bytes
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Ten minutes: what has not passed by then is for a person. What is not decided yet (`NotYet`) goes
# on after that: a boot may take as long as it likes, and a carrier may be gone for a day.
RETRY_DELAYS = (0.5, 1.0, 2.0, 4.0, 8.0, *[15.0] * 39)  # seconds
LONG_DELAY = 60.0  # seconds
MAY_PASS = (
    errno.ENOSPC, errno.EDQUOT, errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.EIO, errno.ENOMEM
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: an exit code and its reason; *is_open* if nothing is decided yet."""

    code: int = 0
    reason: str = ""
    is_open: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `rcnetctl persist`."""
    parser.description = (
        "Write the default route into the host's network configuration. rcnetd-persist.service"
        " does this whenever the route or one of these files changes."
    )
    parser.epilog = (
        "Exit codes: 0 written, or nothing to write; 1 refused or failed, nothing was changed;"
        " 3 rcnetd has set no route since boot; 75 failed for a reason that may pass; 78 invalid"
        " settings."
    )
    parser.add_argument(
        "--retry", action="store_true",
        help="retry what fails for a reason that may pass, for up to 10min; wait for what is not"
        " decided yet, such as a network manager that has not started",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Write the route that is in effect."""
    return persist(host_paths(), args.config, retry=args.retry)


def persist(
    paths: Paths, config: Sequence[Path], root: Path = Path("/"), *, retry: bool = False
) -> int:
    """Write the route; with *retry*, wait for what may pass."""
    try:
        settings = load(config, environ=dict(os.environ))
    except ConfigError as error:
        return _fail(str(error), os.EX_CONFIG)
    if settings.persist is Backend.NONE:
        say("nothing is written: 'persist: none' is set")
        return 0
    outcome, said = _attempt(paths, settings, root), ""
    for delay in chain(RETRY_DELAYS, repeat(LONG_DELAY)) if retry else ():
        is_late = delay == LONG_DELAY
        if outcome.code != os.EX_TEMPFAIL or (is_late and not outcome.is_open):
            break
        if is_late:
            _note(paths, ok=False, renderer=None, files=[], reason=outcome.reason)
        if outcome.reason != said:
            said = outcome.reason
            say(f"rcnetctl: {said}, retrying", file=sys.stderr)
        time.sleep(delay)
        outcome = _attempt(paths, settings, root)
    return _fail(outcome.reason, outcome.code) if outcome.code else 0


def _attempt(paths: Paths, settings: Settings, root: Path) -> Outcome:
    plan: Plan | None = None
    try:
        gateway = policy.gateway_of(read_bounded(paths.route, MAX_ROUTE_SIZE, follow=False))
        metadata, _ = read_metadata(paths.metadata)
        network = Kernel().read(Query(destinations=(OUTSIDE,)))
        servicenet = policy.servicenet_of(network, settings, metadata)
        policy.require_valid_gateway(gateway, servicenet, network, settings)
        policy.require_in_effect(gateway, servicenet, network)
        host = HostConfig(root, paths.undo)
        with host.locked():
            plan = host.plan(settings, metadata, network, servicenet, gateway)
            for warning in plan.verify():
                say(f"rcnetctl: warning: {warning}", file=sys.stderr)
            record = host.persist(plan, lambda: {**read_removed(paths), "boot_id": boot_id()})
        _show(plan)
        files = sorted(record.files)
        _note(paths, ok=True, renderer=plan.backend.value, files=files, reason=None)
        return Outcome()
    except FileNotFoundError as error:
        if str(error.filename) == str(paths.route):
            reason = "rcnetd has set no route since boot; there is nothing to write"
            return Outcome(NOT_RUNNING, reason)
        outcome = _failure(error)
    except NotYet as error:  # it only waits: nothing that the status should report
        return _failure(error)
    except (CannotPersist, Changed, NetlinkError, OSError, ValueError) as error:
        outcome = _failure(error)
    name = plan.backend.value if plan else None
    _note(paths, ok=False, renderer=name, files=[], reason=outcome.reason)
    return outcome


def _show(plan: Plan) -> None:
    for path, change in sorted(plan.changes.items()):
        word = "removed" if change.data is None else "edited" if path in plan.tree else "wrote"
        say(f"{word} {path}")
    if not plan.changes:
        name = plan.backend.value
        say(f"nothing to write: {name} has the route by {plan.target.gateway} already")


def _failure(error: Exception) -> Outcome:
    may_pass = isinstance(error, (NotYet, Changed, NetlinkError)) or (
        isinstance(error, OSError) and error.errno in MAY_PASS
    )
    code = os.EX_TEMPFAIL if may_pass else 1
    return Outcome(code, reason(error), is_open=isinstance(error, NotYet))


def reason(error: Exception) -> str:
    """An error as one line: what failed, why, and what happens now."""
    if isinstance(error, PermissionError) and os.geteuid() != 0:
        return "only root may write the host's network configuration; run it as root"
    if isinstance(error, OSError) and error.strerror:
        where = f" '{error.filename}'" if error.filename else " a file"
        hint = " (is it immutable? see lsattr(1))" if isinstance(error, PermissionError) else ""
        return f"Failed to write{where}: {error.strerror}{hint}; nothing was changed"
    return str(error)


def boot_id() -> str:
    """The identity of this boot; "" if the kernel does not say."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _note(paths: Paths, **content: Any) -> None:
    """Leave the outcome for `rcnetctl status`."""
    text = json.dumps({"version": 1, "at": time.monotonic(), **content}, indent=1) + "\n"
    with suppress(OSError):  # without privilege, there is no place for it
        paths.persisted.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_atomic(paths.persisted, text, durable=False)


def _fail(text: str, code: int) -> int:
    say(f"rcnetctl: {text}", file=sys.stderr)
    return code
