"""The fixtures of `namespaces.py`, for every test here; the table of worlds after a whole run."""

from __future__ import annotations

from typing import cast

import pytest

from tests.netns import worlds
from tests.netns.daemons import cloud
from tests.netns.namespaces import _privilege, namespace, namespaces, server, topology

__all__ = ["_privilege", "cloud", "namespace", "namespaces", "server", "topology"]

RESULTS: dict[tuple[str, str], str] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note what status said in the worlds of the table in README.md."""
    if report.when == "call" and report.passed:
        for key, value in report.user_properties:
            if key == "world":
                # A list, where it comes from another process.
                name, column, said = cast("list[str]", value)
                RESULTS[name, column] = said


def pytest_sessionfinish() -> None:
    """After a whole run, write the table."""
    worlds.write(RESULTS)
