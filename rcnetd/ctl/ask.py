"""One request to the API, within the shared budget: for `gateway`, `automation` and `features`.

The body is printed as the API sent it. Without the privilege to use the request ledger, the
daemon's last answer is printed instead, with its age.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Interface

from rcnetd.config.load import endpoint
from rcnetd.core.events import Answered, GatewayNotAssigned, RateLimited, RequestFailed
from rcnetd.core.model import Operation
from rcnetd.core.pacing import WINDOW
from rcnetd.core.settings import Metadata, Settings
from rcnetd.ctl import status
from rcnetd.ctl.command import CommandError, host_paths
from rcnetd.ctl.terminal import say
from rcnetd.store.ledger import Ledger
from rcnetd.store.paths import Paths

TIMEOUT = 10.0  # seconds
NOT_ASSIGNED = "the gateway is not assigned yet (404)"
# The exit code for each outcome of the daemon's last answer.
LAST_ANSWER_CODES = {
    "ok": 0,
    "not-assigned": os.EX_TEMPFAIL,
    "rate-limited": os.EX_TEMPFAIL,
    "failed": os.EX_UNAVAILABLE,
}


def add_arguments(
    parser: argparse.ArgumentParser, description: str, formats: Sequence[str]
) -> None:
    """Declare the options that the three commands share; the first format is the default."""
    parser.description = (
        f"{description} The request counts against the budget that is shared with rcnetd."
        " Without root, show rcnetd's last answer instead."
    )
    parser.epilog = (
        "Exit codes: 0 answered; 69 no usable answer; 75 not assigned yet, or the request budget is"
        " used up; 78 invalid settings."
    )
    parser.add_argument(
        "--format", choices=formats, help=f"format of the answer (default: {formats[0]})"
    )


def run(args: argparse.Namespace, operation: Operation, form: str) -> int:
    """Ask the API for one operation in the format *form*, and print the body."""
    from rcnetd.config.fragments import ConfigError
    from rcnetd.config.load import load
    from rcnetd.metadata.file import read

    paths = host_paths()
    try:
        settings = load(args.config, environ=os.environ)
        metadata, _ = read(paths.metadata)
        url = endpoint(settings, metadata)
    except ConfigError as error:
        raise CommandError(str(error), os.EX_CONFIG) from None
    try:
        body = ask(paths, settings, metadata, url, operation, form)
    except PermissionError:
        return _last_answer(paths, operation)
    except OSError as error:
        text = f"Failed to use '{paths.requests}': {error.strerror}"
        raise CommandError(text, os.EX_UNAVAILABLE) from None
    show(body)
    return 0


def show(body: bytes) -> None:
    """Print an answer: for a program as it is, for a terminal with nothing that it obeys."""
    if not sys.stdout.isatty():
        sys.stdout.buffer.write(body.rstrip(b"\n") + b"\n")
        return
    for line in body.decode("utf-8", "replace").rstrip().splitlines():
        say(line)


def ask(
    paths: Paths,
    settings: Settings,
    metadata: Metadata,
    url: str,
    operation: Operation,
    form: str,
) -> bytes:
    """Send the request and return the body.

    Raises `CommandError` without an answer; `OSError` if this user may not use the ledger.
    """
    from rcnetd.fetcher.fetcher import EXPIRE_AFTER

    paths.run.mkdir(mode=0o755, parents=True, exist_ok=True)
    ledger = Ledger(paths.requests, settings.requests_per_minute)
    slot, budget = ledger.take(deadline=TIMEOUT + EXPIRE_AFTER)
    if slot is None:
        seconds = max(budget.blocked_for, min(budget.free_in, default=0.0))
        text = f"the budget of {budget.limit} requests a minute is used up"
        raise CommandError(f"{text}; the next is possible in {seconds:.0f} s", os.EX_TEMPFAIL)
    try:
        answer = _fetch(paths, settings, metadata, url, operation, form)
    finally:
        ledger.end(slot)
    return _body(answer, ledger)


def _fetch(
    paths: Paths, settings: Settings, metadata: Metadata, url: str, operation: Operation, form: str
) -> Answered:
    from rcnetd.fetcher.fetcher import fetch_once

    found = _servicenet(paths, settings, metadata)
    if found is None:
        raise CommandError("there is no ServiceNet interface to ask from", os.EX_UNAVAILABLE)
    source, device = found
    return fetch_once(
        operation,
        endpoint=url,
        source=source,
        device=device,
        ca_file=settings.ca_file,
        api_address=settings.api_address,
        timeout=TIMEOUT,
        format=form,
    )


def _body(answer: Answered, ledger: Ledger) -> bytes:
    """Return the body of an answer. Raises `CommandError` if it has none."""
    from rcnetd.fetcher.fetcher import BodyReceived

    if isinstance(answer, BodyReceived):
        return answer.body
    if isinstance(answer, GatewayNotAssigned):
        raise CommandError(NOT_ASSIGNED, os.EX_TEMPFAIL)
    if isinstance(answer, RateLimited):
        ledger.block(max(WINDOW, answer.retry_after or 0.0))
        text = "the API's rate limit is reached (403); all requests are paused for a minute"
        raise CommandError(text, os.EX_TEMPFAIL)
    reason = answer.reason if isinstance(answer, RequestFailed) else repr(answer)
    raise CommandError(f"Failed to ask '{answer.operation.value}': {reason}", os.EX_UNAVAILABLE)


def _servicenet(
    paths: Paths, settings: Settings, metadata: Metadata
) -> tuple[IPv4Address, str] | None:
    """Return the source address and the link: the daemon's, or what it would choose."""
    with suppress(status.Unreadable, *status.NOT_ITS_FORM):
        content = status.read(paths)
        if content and status.is_running(content) and content["servicenet"]:
            known = content["servicenet"]
            return IPv4Interface(known["address"]).ip, str(known["interface"])
    from rcnetd.core.model import Query
    from rcnetd.core.servicenet import choose, hints
    from rcnetd.netlink.kernel import Kernel, NetlinkError

    try:
        network = Kernel().read(Query())
    except NetlinkError as error:
        raise CommandError(str(error), os.EX_UNAVAILABLE) from None
    servicenet = choose(network, settings.servicenet, hints(metadata, known=None))
    return (servicenet.address.ip, servicenet.link.name) if servicenet else None


def _last_answer(paths: Paths, operation: Operation) -> int:
    """Print the daemon's last answer; return the exit code that goes with it."""
    from rcnetd.basic.text import duration

    try:
        content = status.read(paths)
        last = content["answers"].get(operation.value) if content else None
        age = duration(time.monotonic() - last["at"]) if last else ""
        text, code = (last["answer"], LAST_ANSWER_CODES[last["outcome"]]) if last else ("", 0)
    except status.NOT_ITS_FORM:
        raise CommandError(f"'{paths.status}' is damaged; restart rcnetd") from None
    if last is None:
        text = "only root may use the request budget, and rcnetd has no answer yet"
        raise CommandError(text, os.EX_TEMPFAIL)
    say(text)
    say(f"rcnetctl: this is rcnetd's answer of {age} ago; only root may ask", file=sys.stderr)
    return code
