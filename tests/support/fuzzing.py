"""Fuzzers: some hundred inputs in every full run, as many as RCNETD_EXAMPLES says in their own.

RCNETD_FUZZ_SHARE is the part of them that `tests/run unit` takes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings

Test = TypeVar("Test", bound=Callable[..., Any])


def fuzz(usual: int) -> Callable[[Test], Test]:
    """Mark a Hypothesis test as a fuzzer with *usual* inputs."""
    share = max(1, round(usual * float(os.environ.get("RCNETD_FUZZ_SHARE", "1"))))
    examples = int(os.environ.get("RCNETD_EXAMPLES", share))
    limits = settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))

    def mark(test: Test) -> Test:
        marked: Test = pytest.mark.fuzz(limits(test))
        return marked

    return mark
