"""Why a cloud or a region gave no answer: one plain line, and the exit code that it stands for."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER = 120.0  # seconds; a longer one is taken for this


class Failure(Exception):
    """No answer. *transient*: asking again may help, not before *retry_after* seconds.

    *unreachable*: no connection came about, which the next attempt will hardly change.
    """

    def __init__(
        self,
        reason: str,
        code: int = os.EX_TEMPFAIL,
        *,
        transient: bool = False,
        unreachable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason, self.code = reason, code
        self.transient, self.unreachable, self.retry_after = transient, unreachable, retry_after


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """The seconds of a `Retry-After` header: a number or a date, bounded; None if it is neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            until = parsedate_to_datetime(value.strip())
        except (TypeError, ValueError, IndexError):
            return None
        if until.tzinfo is None:
            until = until.replace(tzinfo=timezone.utc)
        seconds = (until - (now or datetime.now(timezone.utc))).total_seconds()
    # A comparison with NaN is false: it is no length of time.
    return min(max(seconds, 0.0), MAX_RETRY_AFTER) if seconds == seconds else None  # noqa: PLR0124
