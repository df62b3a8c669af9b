"""`Retry-After` in all its forms."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from rcnetd.fleet.failures import MAX_RETRY_AFTER, retry_after

NOW = datetime(2026, 11, 27, 8, 0, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("7", 7.0),
        ("7.5", 7.5),
        ("-3", 0.0),
        ("1000000", MAX_RETRY_AFTER),
        ("inf", MAX_RETRY_AFTER),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Fri, 27 Nov 2026 08:00:30 GMT", 30.0),
        ("Fri, 27 Nov 2026 08:00:30 -0000", 30.0),
        ("Fri, 27 Nov 2026 07:00:30 GMT", 0.0),
        ("Fri, 27 Nov 2036 07:00:30 GMT", MAX_RETRY_AFTER),
        ("Fri, 99 Nov 2026 99:00:30 GMT", None),
    ],
)
def test_retry_after(value: str | None, expected: float | None) -> None:
    """Seconds, also broken ones, and dates; never longer than the bound."""
    assert expected == retry_after(value, NOW)
