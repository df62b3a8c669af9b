"""The fetcher's lines: each is exactly one of its protocol, or the fetcher's end."""

from __future__ import annotations

import json
from ipaddress import IPv4Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from rcnetd.fetcher.protocol import BodyReceived, Confined, Progress, understand
from tests.support.fuzzing import fuzz

STATUS, GATEWAY, FEATURES = Operation.STATUS, Operation.GATEWAY, Operation.FEATURES
PEER = IPv4Address("10.1.2.3")


@pytest.mark.parametrize(
    ("operation", "reply", "event"),
    [
        (STATUS, {"answer": "status", "word": "DEPLOYED"},
         StatusReceived(STATUS, PEER, status=AutomationStatus.DEPLOYED, word="DEPLOYED")),
        (STATUS, {"answer": "status", "word": "x\n" + 99 * "y"},
         StatusReceived(STATUS, PEER, word="x " + 78 * "y")),
        (GATEWAY, {"answer": "gateway", "gateway": "10.0.0.1"},
         GatewayReceived(GATEWAY, PEER, gateway=IPv4Address("10.0.0.1"))),
        (GATEWAY, {"answer": "not-assigned"}, GatewayNotAssigned(GATEWAY, PEER)),
        (FEATURES, {"answer": "features", "configure_network_stack": None},
         FeaturesReceived(FEATURES, PEER)),
        (FEATURES, {"answer": "features", "configure_network_stack": False},
         FeaturesReceived(FEATURES, PEER, configure_network_stack=False)),
        (STATUS, {"answer": "rate-limited", "retry_after": None}, RateLimited(STATUS, PEER)),
        (STATUS, {"answer": "rate-limited", "retry_after": 7},
         RateLimited(STATUS, PEER, retry_after=7.0)),
        (STATUS, {"answer": "failed", "kind": "http-5xx", "reason": "a\x1b[1m\nb"},
         RequestFailed(STATUS, PEER, kind="http-5xx", reason="a [1m b")),
    ],
)  # fmt: skip
def test_answers(operation: Operation, reply: dict[str, Any], event: Answered) -> None:
    """Each kind of answer is its event; text is one harmless line."""
    line = json.dumps({**reply, "peer": "10.1.2.3"}).encode()

    assert event == understand(line, operation, raw=False)


def test_a_body() -> None:
    """The body itself, where it was asked for."""
    line = b'{"answer": "raw", "body": "e30K", "peer": null}'

    assert BodyReceived(FEATURES, body=b"{}\n") == understand(line, FEATURES, raw=True)


def test_progress() -> None:
    """A known phase."""
    assert Progress("securing") == understand(b'{"progress": "securing"}', STATUS, raw=False)


def test_what_confines_the_fetcher() -> None:
    """It is a version and a truth value; anything else breaks the protocol."""
    line = b'{"confined": {"landlock": 6, "seccomp": 1}}'
    assert Confined(6, seccomp=True) == understand(line, STATUS, raw=False)
    for other in ("7", "{}", '{"landlock": -1, "seccomp": 1}', '{"landlock": 1, "seccomp": true}',
                  '{"landlock": 1, "seccomp": 1, "x": 1}'):  # fmt: skip
        with pytest.raises(ValueError, match="an unknown confinement"):
            understand(f'{{"confined": {other}}}'.encode(), STATUS, raw=False)


@pytest.mark.parametrize(
    ("operation", "line"),
    [
        (STATUS, ""),
        (STATUS, "null"),
        (STATUS, "[]"),
        (STATUS, "{}"),
        (STATUS, "[" * 99),
        (STATUS, '{"progress": "napping"}'),
        (STATUS, '{"progress": []}'),
        (STATUS, '{"progress": "asking", "answer": "status"}'),
        (STATUS, '{"answer": []}'),
        (STATUS, '{"answer": "status"}'),
        (STATUS, '{"answer": "status", "word": 1}'),
        (STATUS, '{"answer": "status", "word": "A", "more": 1}'),
        (STATUS, '{"answer": "status", "word": "A", "peer": "::1"}'),
        (STATUS, '{"answer": "status", "word": "A", "peer": 7}'),
        (STATUS, '{"answer": "status", "word": "\xe9"}'),
        (GATEWAY, '{"answer": "status", "word": "DEPLOYED"}'),
        (STATUS, '{"answer": "gateway", "gateway": "10.0.0.1"}'),
        (GATEWAY, '{"answer": "gateway", "gateway": "10.0.0"}'),
        (GATEWAY, '{"answer": "gateway", "gateway": 167772161}'),
        (STATUS, '{"answer": "not-assigned"}'),
        (GATEWAY, '{"answer": "not-assigned", "gateway": "10.0.0.1"}'),
        (FEATURES, '{"answer": "features", "configure_network_stack": 1}'),
        (FEATURES, '{"answer": "features", "configure_network_stack": "true"}'),
        (STATUS, '{"answer": "rate-limited", "retry_after": -1}'),
        (STATUS, '{"answer": "rate-limited", "retry_after": 1e999}'),
        (STATUS, '{"answer": "rate-limited", "retry_after": true}'),
        (STATUS, '{"answer": "rate-limited", "retry_after": "5"}'),
        (STATUS, '{"answer": "failed", "kind": "A B", "reason": ""}'),
        (STATUS, '{"answer": "failed", "kind": "", "reason": ""}'),
        (STATUS, '{"answer": "failed", "kind": "dns"}'),
        (STATUS, '{"answer": "raw", "body": "e30K"}'),
    ],
)
def test_what_is_not_in_the_protocol(operation: Operation, line: str) -> None:
    """Missing, unknown, wrongly typed, out of bounds, to another question: refused."""
    with pytest.raises(ValueError, match=r"."):
        understand(line.encode("latin-1"), operation, raw=False)


@pytest.mark.parametrize("body", ['"e30"', '"e30K!"', "7", "null"])
def test_a_broken_body(body: str) -> None:
    """Base64 is read strictly."""
    with pytest.raises(ValueError, match=r"."):
        understand(f'{{"answer": "raw", "body": {body}}}'.encode(), GATEWAY, raw=True)


WORDS = st.sampled_from(
    ["answer", "peer", "status", "word", "gateway", "failed", "kind", "reason", "raw", "body",
     "features", "configure_network_stack", "progress", "asking", "10.0.0.1", "rate-limited"]
)  # fmt: skip


@fuzz(200)
@given(
    st.binary(max_size=100)
    | st.dictionaries(
        WORDS, WORDS | st.none() | st.booleans() | st.floats() | st.integers() | st.lists(WORDS)
    ).map(lambda value: json.dumps(value).encode()),
    st.sampled_from(list(Operation)),
    st.booleans(),
)
def test_any_line(line: bytes, operation: Operation, raw: bool) -> None:
    """An event about the question that was asked, or a ValueError."""
    event: object = None
    try:
        event = understand(line, operation, raw=raw)
    except ValueError:
        return

    assert isinstance(event, Progress) or (
        isinstance(event, Answered) and event.operation is operation
    )
