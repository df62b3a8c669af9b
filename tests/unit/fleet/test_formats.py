"""The servers for people and programs."""

from __future__ import annotations

import json
import subprocess

from rcnetd.fleet.collect import Trouble
from rcnetd.fleet.failures import Failure
from rcnetd.fleet.formats import Place, Report, as_csv, as_json, names, prometheus, table
from rcnetd.fleet.servers import Server, parse
from tests.support.openstack import server
from tests.support.prometheus import promtool


def made(number: int, word: str | None = "DEPLOYED", region: str = "ORD", **more: str) -> Server:
    """A server."""
    found = parse(server(number, word, **more), "rax", region)
    assert found is not None
    return found


REPORT = Report(
    [made(1), made(2, "FAILED"), made(3, None, "DFW"), made(4, "DEPLOYING")],
    1795766400.0,
    [Place("rax", "ORD", True), Place("rax", "DFW", False)],
    [Trouble("rax", "DFW", Failure("it cannot be reached"))],
    {made(2).id: 1795766390.0},
)


def test_the_table() -> None:
    """Counts, then what is not DEPLOYED, the worst first."""
    lines = table(REPORT).splitlines()

    assert "4 servers: 1 DEPLOYED, 1 FAILED, 1 DEPLOYING, 1 not RackConnected" == lines[0]
    assert ["web-2", "web-4", "web-3"] == [line.split()[0] for line in lines[3:]]
    assert "07:59:50" in lines[3]
    assert "203.0.0.2  10.180.0.2" in lines[3]


def test_the_whole_table() -> None:
    """With --all, DEPLOYED servers come last."""
    assert "web-1 " in table(REPORT, every=True).splitlines()[-1]


def test_a_table_of_nothing_is_one_line() -> None:
    """No heading without rows."""
    assert "1 server: 1 DEPLOYED\n" == table(Report([made(1)], 0.0))


def test_json() -> None:
    """Points in time are ISO 8601; a status that is not there is null."""
    content = json.loads(as_json(REPORT))

    assert not content["complete"]
    assert "2026-11-27T08:00:00Z" == content["at"]
    assert [None, "2026-11-27T07:59:50Z"] == [one["since"] for one in content["servers"][:2]]
    assert content["servers"][2]["automation_status"] is None
    failures = [{"cloud": "rax", "region": "DFW", "reason": "it cannot be reached"}]
    assert failures == content["failures"]


def test_csv_quotes_what_has_to_be() -> None:
    """By the standard library."""
    assert '"a, ""b""",' in as_csv(Report([made(1, name='a, "b"')], 0.0))


def test_names() -> None:
    """One on each line, for xargs."""
    assert "web-1\nweb-2\nweb-3\nweb-4\n" == names(REPORT)


def test_prometheus() -> None:
    """Every status of every region; a label's value is escaped."""
    text = prometheus(
        Report([made(1)], 0.0, [Place('a"\\', "ORD", True)])
    )  # fmt: skip

    assert 'rcnetd_fleet_servers{cloud="a\\"\\\\",region="ORD",status="FAILED"} 0' in text
    assert "rcnetd_fleet_complete 1" in text
    assert 'status="DEPLOYED"} 1' in prometheus(REPORT)
    assert 'answered{cloud="rax",region="DFW"} 0' in prometheus(REPORT)


def test_promtool_takes_them() -> None:
    """Prometheus' own linter has nothing to say."""
    done = subprocess.run(
        [promtool(), "check", "metrics"], input=prometheus(REPORT), text=True, capture_output=True,
        check=False,
    )  # fmt: skip
    assert (0, "") == (done.returncode, done.stderr + done.stdout)
