"""What tests need of the machine they run on.

The rule: a skip is visible, and where `RCNETD_REQUIRE` names what is missing (`netns,boot,lint`;
CI does) it is a failure: nothing is left out unnoticed.
"""

from __future__ import annotations

import os
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

# A machine that is busy is no fault of the inputs.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def missing(word: str, reason: str) -> NoReturn:
    """Skip the test because the machine lacks *word*; fail it if `RCNETD_REQUIRE` has the word."""
    if word in os.environ.get("RCNETD_REQUIRE", "").replace(",", " ").split():
        pytest.fail(f"{reason}, and RCNETD_REQUIRE has '{word}'", pytrace=False)
    pytest.skip(reason)
