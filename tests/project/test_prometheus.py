"""The alert rules and the dashboard: tested by promtool, and about metrics that there are."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from rcnetd.daemon.metrics import Tally, render
from rcnetd.daemon.status import startup_failure
from tests.support.prometheus import promtool

HERE = Path(__file__).parents[2] / "packaging" / "prometheus"
RULES, TESTS = HERE / "rcnetd.rules.yml", HERE / "rcnetd.rules.test.yml"
METRICS = render(startup_failure(78, "wrong", 0.0), Tally(0.0), now=0.0, clock=0.0)


def alerts() -> dict[str, dict[str, Any]]:
    """The alert rules by their names."""
    (group,) = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def queries() -> list[str]:
    """Every expression of the rules and the dashboard."""
    board = json.loads((HERE / "rcnetd.dashboard.json").read_text(encoding="utf-8"))
    shown = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return [*(rule["expr"] for rule in alerts().values()), *shown]


@pytest.mark.parametrize("command", [("check", RULES), ("test", TESTS)])
def test_promtool_is_content(command: tuple[str, Path]) -> None:
    """The rules parse, and fire and resolve as their unit tests say."""
    verb, path = command
    done = subprocess.run(
        [promtool(), verb, "rules", path.name], cwd=HERE, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert 0 == done.returncode, done.stdout + done.stderr


def test_every_alert_is_tested() -> None:
    """It is seen to fire."""
    tests = yaml.safe_load(TESTS.read_text(encoding="utf-8"))["tests"]
    fired = {
        one["alertname"] for test in tests for one in test["alert_rule_test"] if one["exp_alerts"]
    }

    assert alerts().keys() == fired


def test_every_metric_that_is_asked_for_exists() -> None:
    """A query of a metric that does not exist never fires, and nobody notices."""
    known = set(re.findall(r"^# TYPE (\w+)", METRICS, re.MULTILINE))
    asked = {name for query in queries() for name in re.findall(r"\brcnetd_\w+", query)}

    assert asked <= known
    assert 10 < len(asked)


def test_every_value_of_a_label_exists() -> None:
    """As with the names."""
    for query in queries():
        for label, values in re.findall(r'(\w+)=~?"([\w|-]+)"', query):
            for value in values.split("|"):
                assert f'{label}="{value}"' in METRICS, query


def test_ranges_span_four_scrapes() -> None:
    """A range of one step has no value in Prometheus 3."""
    for query in queries():
        assert all(int(minutes) >= 4 for minutes in re.findall(r"\[(\d+)m\]", query))
