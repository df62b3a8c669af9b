"""Why a request to the API came to nothing: the typed errors, each with a plain reason.

The rule: `kind` is a word for programs, `reason` one line for people. What the other side said is
shown in single quotes, cut, and without control characters.
"""

from __future__ import annotations

from rcnetd.basic.text import quoted

CUT_SHORT = "the answer was cut short"
UNANSWERED = "the API closed the connection without an answer"
# What a request waits for, one after the other; the words are those of the fetcher's progress.
PHASES = {
    "starting": "the fetcher to start",
    "resolving": "the name to be resolved",
    "connecting": "the connection",
    "securing": "the TLS handshake",
    "asking": "the answer to begin",
    "reading": "the rest of the answer",
}


class ApiError(Exception):
    """A request has failed. Catch this for all of them.

    *kind* is a stable word for programs, *reason* a plain line for people.
    """

    kind = "failed"

    def __init__(self, reason: str, *, kind: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.kind = kind or type(self).kind


class DnsError(ApiError):
    """The API's name could not be resolved to an IPv4 address."""

    kind = "dns"


class ConnectError(ApiError):
    """No connection came about: refused, unreachable, no such source address or link.

    *kind* is `source` or `device` where this server's own address or link was the trouble.
    """

    kind = "connect"


class Disconnected(ApiError):
    """The connection broke before the answer was whole: reset, closed or truncated."""

    kind = "disconnected"


class TimedOut(ApiError):
    """The time for the whole request was over while *phase* (of `PHASES`) was on."""

    kind = "timeout"

    def __init__(self, timeout: float, phase: str) -> None:
        super().__init__(f"no answer within {timeout:.3g} s, still waiting for {PHASES[phase]}")
        self.phase = phase


class TlsError(ApiError):
    """The other side does not speak TLS as it should."""

    kind = "tls"


class CertificateError(TlsError):
    """The certificate is for another name, or nobody we trust has signed it."""

    kind = "certificate"


class ClockError(CertificateError):
    """The certificate has expired or is not yet valid: by this server's clock."""

    kind = "clock"


class TrustError(ApiError):
    """The certificate authorities to trust, ours or the system's, could not be read."""

    kind = "ca-file"


class HttpError(ApiError):
    """The API answered with a *status* other than 200; *kind* is `http-404`, `http-5xx`…

    *retry_after* is the answer's Retry-After in seconds (0 to 3600), None if it had none.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        *,
        kind: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(reason, kind=kind or f"http-{status}")
        self.status = status
        self.retry_after = retry_after


class Redirected(HttpError):
    """The API wants us to ask somewhere else, which we do not."""

    def __init__(self, status: int, location: str) -> None:
        where = f" to {quoted(location)}" if location else ""
        text = f"the API answered {status}, a redirect{where}, which is not followed"
        super().__init__(status, text, kind="redirect")


class UnknownServer(HttpError):
    """404, and not from `gateway_ip`: the API does not know this server."""

    def __init__(self, operation: str) -> None:
        super().__init__(404, f"the API does not know this server (404 for '/v1/{operation}')")


class RateLimitError(HttpError):
    """403: "If you exceed the number of allowed requests per minute"; or 413, 429."""

    def __init__(self, status: int, retry_after: float | None) -> None:
        text = f"too many requests (the API answered {status})"
        super().__init__(status, text, kind="rate-limit", retry_after=retry_after)


class InvalidAnswer(ApiError):
    """200, but the body is not what the API page promises."""

    kind = "invalid"


class Oversize(InvalidAnswer):
    """The answer is larger than anything the API could have to say."""

    kind = "oversize"
