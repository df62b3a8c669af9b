"""What the fetcher's lines say: from a line of its protocol to an event. Pure.

The rule: each kind of answer has exactly its members, of their types and within their bounds, and
fits the question. Anything else is a `ValueError`, and the end of that fetcher.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any

from rcnetd.api.errors import PHASES
from rcnetd.api.parse import parse_json
from rcnetd.basic.dataclass import dataclass
from rcnetd.basic.text import SHOWN, plain
from rcnetd.core.events import (
    Answered,
    FeaturesReceived,
    GatewayNotAssigned,
    GatewayReceived,
    RateLimited,
    RequestFailed,
    StatusReceived,
)
from rcnetd.core.model import AutomationStatus, Operation

MAX_REASON_LENGTH = 300  # characters


@dataclass(frozen=True)
class Progress:
    """The request has come to *phase*, a word of `PHASES`."""

    phase: str


@dataclass(frozen=True)
class Confined:
    """By what the kernel confines the fetcher: the version of Landlock, 0 for none; seccomp."""

    landlock: int
    seccomp: bool


@dataclass(frozen=True)
class BodyReceived(Answered):
    """The API answered 200, and *body* makes sense for the operation, in the format asked for."""

    body: bytes = b""


def understand(line: bytes, operation: Operation, *, raw: bool) -> Answered | Progress | Confined:
    """What a line says about the request for *operation*. Raises `ValueError` only."""
    reply = parse_json(line.decode("ascii"))
    if not isinstance(reply, dict):
        raise ValueError("not an object")
    if reply.keys() == {"progress"}:
        if _text(reply["progress"]) not in PHASES:
            raise ValueError("an unknown phase")
        return Progress(reply["progress"])
    if reply.keys() == {"confined"}:
        return _confined(reply["confined"])
    answer, peer = reply.pop("answer", None), reply.pop("peer", None)
    build = ANSWERS.get((answer, raw)) if isinstance(answer, str) else None
    if build is None:
        raise ValueError("an unknown answer")
    return build(operation, None if peer is None else _ipv4(peer), reply)


def _confined(content: Any) -> Confined:
    if not isinstance(content, dict) or content.keys() != {"landlock", "seccomp"}:
        raise ValueError("an unknown confinement")
    landlock, seccomp = content["landlock"], content["seccomp"]
    if not all(type(number) is int and 0 <= number < 1000 for number in (landlock, seccomp)):
        raise ValueError("an unknown confinement")
    return Confined(landlock, seccomp == 1)


# Each takes the members of one kind of answer, all of them and no other.

Reply = dict[str, Any]


def _status(operation: Operation, peer: IPv4Address | None, reply: Reply) -> Answered:
    word = plain(_text(_only(reply, "word")), SHOWN)
    if operation not in (Operation.STATUS, Operation.DETAILS):
        raise ValueError("an answer to another question")
    known = word in AutomationStatus.__members__
    status = AutomationStatus[word] if known else AutomationStatus.UNKNOWN
    return StatusReceived(operation, peer, status=status, word=word)


def _gateway(operation: Operation, peer: IPv4Address | None, reply: Reply) -> Answered:
    gateway = _ipv4(_only(reply, "gateway"))
    if operation is not Operation.GATEWAY:
        raise ValueError("an answer to another question")
    return GatewayReceived(operation, peer, gateway=gateway)


def _not_assigned(operation: Operation, peer: IPv4Address | None, reply: Reply) -> Answered:
    if operation is not Operation.GATEWAY or reply:
        raise ValueError("an answer to another question")
    return GatewayNotAssigned(operation, peer)


def _features(operation: Operation, peer: IPv4Address | None, reply: Reply) -> Answered:
    enabled = _only(reply, "configure_network_stack")
    if operation is not Operation.FEATURES or not (enabled is None or isinstance(enabled, bool)):
        raise ValueError("an answer to another question")
    return FeaturesReceived(operation, peer, configure_network_stack=enabled)


def _rate_limited(operation: Operation, peer: IPv4Address | None, reply: Reply) -> Answered:
    return RateLimited(operation, peer, retry_after=_seconds(_only(reply, "retry_after")))


def _failed(operation: Operation, peer: IPv4Address | None, reply: Reply) -> Answered:
    reason = plain(_text(reply.pop("reason", None)), MAX_REASON_LENGTH)
    retry_after = _seconds(reply.pop("retry_after", None))
    kind = _text(_only(reply, "kind"))
    if not re.fullmatch(r"[a-z0-9-]{1,32}", kind):
        raise ValueError("a kind that is no word")
    return RequestFailed(operation, peer, kind=kind, reason=reason, retry_after=retry_after)


def _seconds(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("seconds that are not a number")
    if not 0 <= value <= 3600:
        raise ValueError("seconds out of bounds")
    return float(value)


def _raw(operation: Operation, peer: IPv4Address | None, reply: Reply) -> Answered:
    import base64  # the daemon never wants a body

    body = base64.b64decode(_text(_only(reply, "body")), validate=True)
    return BodyReceived(operation, peer, body=body)


def _only(reply: Reply, name: str) -> Any:
    if reply.keys() != {name}:
        raise ValueError("missing or unknown members")
    return reply[name]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("something else than text")
    return value


def _ipv4(value: Any) -> IPv4Address:
    return IPv4Address(_text(value))


Build = Callable[[Operation, "IPv4Address | None", Reply], Answered]
# By the word, and whether the body itself was wanted.
ANSWERS: dict[tuple[str, bool], Build] = {
    ("status", False): _status,
    ("gateway", False): _gateway,
    ("features", False): _features,
    ("raw", True): _raw,
}
for _word, _build in (
    ("not-assigned", _not_assigned),
    ("rate-limited", _rate_limited),
    ("failed", _failed),
):
    ANSWERS[_word, False] = ANSWERS[_word, True] = _build
