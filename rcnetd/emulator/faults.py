"""The faults that the emulator can have, by name. Values only; `server.py` commits them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Before the request is known: they cannot be limited to one operation.
CONNECTION: Mapping[str, str] = {
    "refuse": "connections are refused (reset, while another server's are accepted)",
    "tls-garbage": "something else than TLS answers",
    "expired": "the certificate has expired",
    "not-yet-valid": "the certificate is not valid yet",
    "wrong-name": "the certificate is for another name",
    "untrusted": "the certificate is from an unknown authority",
}
ANSWER: Mapping[str, str] = {
    "hang": "the request is taken, no answer comes",
    "drip": "the answer's head comes one byte at a time",
    "drip-body": "the answer's body comes one byte at a time",
    "truncate": "the connection ends before the answer does",
    "reset": "the connection is reset in the middle of the answer",
    "oversize": "a body of 100,000 bytes",
    "garbage": "bytes that are not HTTP",
    "html": "200 and an HTML page",
    "empty": "200 and nothing",
    "two-addresses": "200 and two addresses",
    "ipv6": "200 and an IPv6 address",
    "bad-charset": "200 and bytes that are no text",
    "unknown-word": "200 and a word that the API page does not know",
    "redirect": "302 to another place",
    "rate-limit": "403, whatever the count (retry_after: seconds)",
    "not-found": "404 on everything",
    "http-204": "204, no content",
    "http-400": "400, bad request",
    "http-500": "500, an HTML error page",
    "http-503": "503 (retry_after: seconds)",
}
FAULTS: Mapping[str, str] = {**CONNECTION, **ANSWER}
OPERATIONS = ("automation_status", "automation_status/details", "gateway_ip", "automation_features")


@dataclass(frozen=True)
class Fault:
    """One fault. *on* limits it to an operation; *retry_after* is a header's value in seconds."""

    name: str
    on: str | None = None
    retry_after: int | None = None

    def strikes(self, operation: str | None) -> bool:
        """Whether a request for *operation* meets it."""
        return self.on is None or self.on == operation
