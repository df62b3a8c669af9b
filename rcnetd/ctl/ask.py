"""`rcnetctl gateway`, `automation`, `features`: ask the API directly, within the shared budget.

The body is printed as the API gave it. Exit codes: 0 answered; 75 not assigned yet, or no slot in
the budget; 69 no usable answer; 78 settings wrong. Without the privilege to use the ledger, the
daemon's last answer is printed with its age.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from rcnetd.config.load import endpoint
from rcnetd.core.events import GatewayNotAssigned, RateLimited, RequestFailed
from rcnetd.core.model import Operation
from rcnetd.core.pacing import WINDOW
from rcnetd.core.settings import Metadata, Settings
from rcnetd.ctl import status
from rcnetd.store.ledger import Ledger
from rcnetd.store.paths import Paths

TIMEOUT = 10.0  # seconds

LAST_ANSWER_CODES = {
    "ok": 0,
    "not-assigned": os.EX_TEMPFAIL,
    "rate-limited": os.EX_TEMPFAIL,
    "failed": os.EX_UNAVAILABLE,
}
OPERATIONS = {
    "gateway": (Operation.GATEWAY, "text"),
    "automation": (Operation.STATUS, "text"),
    "details": (Operation.DETAILS, "json"),
    "features": (Operation.FEATURES, "json"),
}


def run(paths: Paths, config: Sequence[Path], name: str, form: str | None) -> int:
    """Ask one operation by its command's *name* in the format *form*, and print the answer."""
    from rcnetd.config.fragments import ConfigError
    from rcnetd.config.load import load
    from rcnetd.metadata.file import read

    operation, default = OPERATIONS[name]
    form = form or default
    if operation is Operation.DETAILS and form == "text":
        return _fail("the details come as json or xml, not as text", 2)
    try:
        settings = load(config, environ=os.environ)
        metadata, _ = read(paths.metadata)
        url = endpoint(settings, metadata)
    except ConfigError as error:
        return _fail(str(error), os.EX_CONFIG)
    try:
        body = ask(paths, settings, metadata, url, operation, form)
    except NoAnswer as error:
        return _fail(str(error), error.code)
    except PermissionError:
        return _last_answer(paths, operation)
    except OSError as error:
        return _fail(f"Failed to use '{paths.requests}': {error.strerror}", os.EX_UNAVAILABLE)
    sys.stdout.buffer.write(body.rstrip(b"\n") + b"\n")
    sys.stdout.flush()
    return 0


class NoAnswer(Exception):
    """The API has not answered the question; one plain line, and the exit code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def ask(
    paths: Paths,
    settings: Settings,
    metadata: Metadata,
    url: str,
    operation: Operation,
    form: str,
) -> bytes:
    """Ask the API within the shared budget; the body. Raises `NoAnswer`; `OSError`, if this user
    may not use the budget."""
    from rcnetd.fetcher.fetcher import EXPIRE_AFTER, BodyReceived, fetch_once

    paths.run.mkdir(mode=0o755, parents=True, exist_ok=True)
    ledger = Ledger(paths.requests, settings.requests_per_minute)
    slot, budget = ledger.take(deadline=TIMEOUT + EXPIRE_AFTER)
    if slot is None:
        seconds = max(budget.blocked_for, min(budget.free_in, default=0.0))
        text = f"the budget of {budget.limit} requests a minute is used up"
        raise NoAnswer(f"{text}; the next is possible in {seconds:.0f} s", os.EX_TEMPFAIL)
    try:
        found = _servicenet(paths, settings, metadata)
        if found is None:
            raise NoAnswer("there is no ServiceNet interface to ask from", os.EX_UNAVAILABLE)
        source, device = found
        answer = fetch_once(
            operation,
            endpoint=url,
            source=source,
            device=device,
            ca_file=settings.ca_file,
            api_address=settings.api_address,
            timeout=TIMEOUT,
            format=form,
        )
    finally:
        ledger.end(slot)
    if isinstance(answer, BodyReceived):
        return answer.body
    if isinstance(answer, GatewayNotAssigned):
        raise NoAnswer("the gateway is not assigned yet (404)", os.EX_TEMPFAIL)
    if isinstance(answer, RateLimited):
        ledger.block(max(WINDOW, answer.retry_after or 0.0))
        text = "the API's rate limit is reached (403); nobody asks for a minute"
        raise NoAnswer(text, os.EX_TEMPFAIL)
    reason = answer.reason if isinstance(answer, RequestFailed) else repr(answer)
    raise NoAnswer(f"Failed to ask '{operation.value}': {reason}", os.EX_UNAVAILABLE)


def _servicenet(
    paths: Paths, settings: Settings, metadata: Metadata
) -> tuple[IPv4Address, str] | None:
    """Source address and device: the daemon's, or found in the same way as the daemon's."""
    content = status.read(paths)
    if content and status.is_running(content) and content["servicenet"]:
        known = content["servicenet"]
        return IPv4Interface(known["address"]).ip, str(known["interface"])
    from rcnetd.core.model import Query
    from rcnetd.core.servicenet import choose, hints
    from rcnetd.netlink.kernel import Kernel

    servicenet = choose(Kernel().read(Query()), settings.servicenet, hints(metadata, known=None))
    return (servicenet.address.ip, servicenet.link.name) if servicenet else None


def _last_answer(paths: Paths, operation: Operation) -> int:
    from rcnetd.basic.text import duration

    try:
        content = status.read(paths)
        last = content["answers"].get(operation.value) if content else None
        age = duration(time.monotonic() - last["at"]) if last else ""
    except status.Unreadable as error:
        return _fail(str(error), 1)
    except status.NOT_ITS_FORM:
        return _fail(f"'{paths.status}' is damaged; restart rcnetd", 1)
    if last is None:
        text = "asking the API needs root (the request budget is the server's)"
        return _fail(f"{text}, and rcnetd has no answer yet", os.EX_TEMPFAIL)
    print(last["answer"])
    print(f"rcnetctl: rcnetd's last answer, {age} old; ask anew as root", file=sys.stderr)
    return LAST_ANSWER_CODES[last["outcome"]]


def _fail(text: str, code: int) -> int:
    print(f"rcnetctl: {text}", file=sys.stderr)
    return code
