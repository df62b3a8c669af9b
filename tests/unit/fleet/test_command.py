"""`rcnetctl fleet` as a whole, against a cloud on loopback."""

from __future__ import annotations

import csv
import io
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rcnetd.ctl.main import main
from rcnetd.fleet import reader
from tests.support.openstack import (
    Region,
    half,
    says,
    server,
    token_expires,
    works,
    write_clouds,
)  # fmt: skip
from tests.unit.fleet.conftest import Serve

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def fleet(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command; its exit code, stdout and stderr."""
    monkeypatch.setattr(reader, "RETRY_DELAY", 0.01)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["fleet", *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def mixed() -> Region:
    """Servers in every status."""
    words = ["DEPLOYED", "DEPLOYING", "FAILED", "UNPROCESSABLE", None, "NEWWORD"]
    return Region([server(number, word) for number, word in enumerate(words)])


def test_the_table_has_what_is_not_deployed(serve: Serve, fleet: Run) -> None:
    """Counts first, then the worst."""
    serve(ORD=mixed())
    code, out, err = fleet("--os-cloud", "lab")
    lines = out.splitlines()

    assert 69 == code
    assert lines[0].startswith("6 servers: 1 DEPLOYED, 1 FAILED, 1 UNPROCESSABLE, 1 DEPLOYING")
    assert ["NAME", "web-2", "web-3", "web-1", "web-5", "web-4"] == [
        line.split()[0] for line in lines[2:]
    ]
    assert "unknown: NEWWORD" in out
    assert "rcnetctl: 1 FAILED and 1 UNPROCESSABLE of 5, at least 5 are needed\n" == err


@pytest.mark.parametrize(
    ("words", "arguments", "expected"),
    [
        (["DEPLOYED", "DEPLOYED"], (), 0),
        (["DEPLOYED", None], (), 0),
        (["DEPLOYED", None], ("--expect",), 75),
        (["DEPLOYED", "DEPLOYING"], (), 75),
        (["DEPLOYED", "FAILED"], (), 69),
        (["DEPLOYED", "FAILED"], ("--at-least", "50%"), 0),
        (["DEPLOYED", "UNPROCESSABLE"], (), 76),
        ([None], (), 78),
        ([], (), 78),
        (["DEPLOYED"], ("--name", "db-*"), 78),
    ],
)
def test_exit_codes(
    serve: Serve, fleet: Run, words: list[str | None], arguments: tuple[str, ...], expected: int
) -> None:
    """The page of rcnetctl-fleet(8)."""
    serve(ORD=Region([server(number, word) for number, word in enumerate(words)]))
    code, _, err = fleet(*arguments)

    assert expected == code
    assert 1 >= err.count("\n")
    if expected == 78:
        assert "rcnetctl: no" in err


def test_all_regions_and_clouds_at_once(serve: Serve, fleet: Run, tmp_path: Path) -> None:
    """One dead region hides none of the others, and counts as not in time."""
    one = serve("one", ORD=Region([server(1)]), DFW=Region([server(2)]))
    two = serve("two", LON=Region([server(3)]), SYD=None)
    code, out, err = fleet("--os-cloud", "one", "--os-cloud", "two", "--format", "names")

    assert 75 == code
    assert ["web-2", "web-1", "web-3"] == out.split()
    assert (
        "rcnetctl: Failed to list the servers of 'two', region 'SYD': it cannot be reached"
        " (connection refused)\n"
    ) == err
    assert one.logins == two.logins == 1


def test_a_broken_cloud_hides_no_other(serve: Serve, fleet: Run, tmp_path: Path) -> None:
    """Nor does one that is not authorised."""
    cloud = serve(ORD=Region([server(1)]))
    wrong = cloud.settings()
    wrong["auth"]["password"] = "other"
    clouds = {"lab": cloud.settings(), "wrong": wrong, "broken": {"auth": 5}}
    write_clouds(tmp_path / "clouds.yaml", clouds)
    names = [word for name in clouds for word in ("--os-cloud", name)]
    code, out, err = fleet(*names, "--format", "names")

    assert (75, "web-1\n") == (code, out)
    assert 2 == err.count("\n")
    assert "'wrong': not authorised" in err
    assert "'broken': its settings" in err


@pytest.mark.parametrize(
    ("arguments", "expected", "text"),
    [
        (("--os-cloud", "nope"), 78, "nope"),
        (("--os-cloud", "lab", "--region", "lon"), 78, "it has ORD"),
        (("--id", "-"), 78, "standard input"),
        (("--host", "x"), 2, "--format ansible"),
    ],
)
def test_bad_input_is_one_line(
    serve: Serve, fleet: Run, monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...], expected: int, text: str,
) -> None:  # fmt: skip
    """And nothing on stdout."""
    serve(ORD=Region([server(1)]))
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    code, out, err = fleet(*arguments)

    assert (expected, "") == (code, out)
    assert text in err
    assert 1 == err.count("\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--metadata", "key"), ("--metadata", "=x"), ("--at-least", "0"), ("--interval", "0.1s"),
        ("--timeout", "soon"), ("--wait", "route"), ("--status", "GREEN"), ("--format", "xml"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_exit_2(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """With a line that says what is wrong."""
    with pytest.raises(SystemExit) as caught:
        main(["fleet", *arguments])
    assert 2 == caught.value.code
    assert "rcnetctl fleet: error: " in capsys.readouterr().err


def test_selection(serve: Serve, fleet: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name, metadata, id and status; ids that are not there are named."""
    serve(ORD=mixed())
    key = "rackconnect_automation_status"

    assert "web-0\n" == fleet("--format", "names", "--metadata", f"{key}=DEPLOYED")[1]
    assert "web-2\n" == fleet("--format", "names", "--status", "failed")[1]
    assert "web-1\nweb-5\n" == fleet("--format", "names", "--name", "web-[15]")[1]
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{server(3)['id']}\n\n missing\n"))
    _, out, err = fleet("--format", "names", "--id", "-")
    assert "web-3\n" == out
    assert "no server has the id 'missing'" in err


def test_formats(serve: Serve, fleet: Run) -> None:
    """json and csv are read back whole."""
    serve(ORD=mixed())
    content = json.loads(fleet("--format", "json")[1])

    assert content["complete"]
    assert 1 == content["counts"]["FAILED"]
    assert [{"cloud": "lab", "region": "ORD", "answered": True}] == content["regions"]
    assert "203.0.0.0" == content["servers"][0]["access_address"]
    rows = list(csv.DictReader(io.StringIO(fleet("--format", "csv")[1])))
    assert ["web-0", "web-1", "web-2", "web-3", "web-4", "web-5"] == [one["name"] for one in rows]
    assert "configure_network_stack=ENABLED" == rows[0]["features"]


@pytest.mark.parametrize("form", ["ansible", "prometheus"])
def test_programs_that_want_the_list_get_exit_0(serve: Serve, fleet: Run, form: str) -> None:
    """Ansible drops an inventory that fails; a partial one is not complete, though."""
    serve(ORD=mixed())
    assert 0 == fleet("--format", form)[0]

    serve(ORD=mixed(), SYD=None)
    assert 75 == fleet("--format", form)[0]


def test_faults_of_the_cloud(serve: Serve, fleet: Run) -> None:
    """Half a page, over the limit, a token that expires in the middle: all servers all the same."""
    region = Region([server(number) for number in range(2500)])
    cloud = serve(ORD=region)
    region.faults.extend([half, says(413, Retry_After="0"), works, token_expires, says(503)])
    code, out, err = fleet("--format", "names")

    assert (0, "") == (code, err)
    assert 2500 == len(set(out.split()))
    assert 2 == cloud.logins


def test_a_server_deleted_between_pages(serve: Serve, fleet: Run) -> None:
    """Even where the cloud forgets it at once, and refuses it as a marker."""
    region = Region([server(number) for number in range(1500)])
    region.before_page = lambda number: number == 2 and region.listed.pop(server(999)["id"], None)
    serve(ORD=region)
    code, out, _ = fleet("--format", "names")

    assert 0 == code
    assert 1500 == len(set(out.split()))


def later(region: Region, *steps: Callable[[], None]) -> threading.Thread:
    """Take a step whenever the region has been asked once more."""

    def run() -> None:
        for step in steps:
            seen = len(region.requests)
            end = time.monotonic() + 20
            while len(region.requests) == seen and time.monotonic() < end:
                time.sleep(0.01)
            step()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_wait_until_deployed(serve: Serve, fleet: Run) -> None:
    """Changes only, the addresses read again at the end, and deleted servers leave the count."""
    region = Region([server(1, "DEPLOYING"), server(2), server(3, "DEPLOYING"), server(4, None)])
    serve(ORD=region)
    later(
        region,
        lambda: region.change(1, "DEPLOYED", access="203.0.113.9"),
        lambda: region.delete(3),
    )
    code, out, err = fleet("--wait", "deployed", "--interval", "1s", "--format", "json")
    content = json.loads(out)

    assert 0 == code, err
    assert {"web-1", "web-2", "web-4"} == {one["name"] for one in content["servers"]}
    first = next(one for one in content["servers"] if one["name"] == "web-1")
    assert "203.0.113.9" == first["access_address"]
    assert first["since"]
    assert "changes-since" not in region.requests[0]
    assert "changes-since" in region.requests[1]
    assert any("changes-since" not in one for one in region.requests[2:])
    assert "2 of 2 DEPLOYED (100%)" in err


@pytest.mark.parametrize(("word", "expected"), [("FAILED", 69), ("UNPROCESSABLE", 76)])
def test_a_wait_ends_when_it_is_no_longer_possible(
    serve: Serve, fleet: Run, word: str, expected: int
) -> None:
    """Most scripts hang for ever here."""
    region = Region([server(1, "DEPLOYING"), server(2, "DEPLOYING")])
    serve(ORD=region)
    later(region, lambda: region.change(1, word))
    code, out, err = fleet("--wait", "deployed", "--interval", "1s")

    assert expected == code
    assert "web-1" in out
    assert f"1 {word} of 2, at least 2 are needed" in err


def test_a_wait_ends_in_time(serve: Serve, fleet: Run) -> None:
    """75, and what was known is printed."""
    serve(ORD=Region([server(1, "DEPLOYING")]))
    code, out, err = fleet("--wait", "deployed", "--interval", "1s", "--timeout", "1.2s")

    assert 75 == code
    assert out.startswith("1 server: 1 DEPLOYING")
    assert "not in time: 1 server: 1 DEPLOYING" in err


def test_a_wait_lasts_while_a_region_is_dead(serve: Serve, fleet: Run) -> None:
    """All others are DEPLOYED; it is reported, and counts as not in time."""
    serve(ORD=Region([server(1)]), SYD=None)
    code, out, err = fleet("--wait", "deployed", "--interval", "1s", "--timeout", "1.5s")

    assert 75 == code
    assert out.startswith("1 server: 1 DEPLOYED")
    assert "region 'SYD': it cannot be reached (connection refused), asking again" in err


def test_a_wait_for_who_is_not_authorised_ends_at_once(
    serve: Serve, fleet: Run, tmp_path: Path
) -> None:
    """Time changes nothing about it."""
    cloud = serve(ORD=Region([server(1)]))
    cloud.users["demo"] = "other"
    code, out, err = fleet("--wait", "deployed")

    assert (77, "") == (code, out)
    assert "not authorised" in err


def test_a_key_that_is_removed_is_noticed(
    serve: Serve, fleet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changes do not tell; the full list at the end does."""
    region = Region([server(1, "DEPLOYING"), server(2)])
    serve(ORD=region)

    def step() -> None:
        region.change(2, None)
        region.change(1, "DEPLOYED")

    later(region, step)
    code, _, err = fleet(
        "--wait", "deployed", "--interval", "1s", "--expect", "--timeout", "4s", "--at-least", "2"
    )

    assert 75 == code
    assert "1 not RackConnected" in err


def test_a_key_that_comes(serve: Serve, fleet: Run) -> None:
    """With --expect, servers without the key are waited for, and those that appear."""
    region = Region([server(1, None)])
    serve(ORD=region)

    def appear() -> None:
        one = server(2, "DEPLOYED")
        region.listed[one["id"]] = one
        region.changed_at[one["id"]] = time.time()
        region.change(1, "DEPLOYED")

    later(region, appear)
    code, out, _ = fleet("--wait", "deployed", "--interval", "1s", "--expect", "--format", "names")

    assert (0, "web-1\nweb-2\n") == (code, out)


def test_without_the_sdk_it_says_what_to_install(
    fleet: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """rcnetd-fleet may be there without it, by pip."""
    monkeypatch.setitem(sys.modules, "rcnetd.fleet.clouds", None)
    code, out, err = fleet()

    assert (1, "") == (code, out)
    assert "rcnetd-fleet" in err


def test_a_cloud_is_not_asked_by_help(capsys: pytest.CaptureFixture[str]) -> None:
    """It needs no SDK."""
    with pytest.raises(SystemExit):
        main(["fleet", "--help"])
    assert "usage: rcnetctl fleet" in capsys.readouterr().out
