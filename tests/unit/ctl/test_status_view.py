"""The status for people, and its form for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import rcnetd.store
from rcnetd.core.events import Answered, RequestFailed
from rcnetd.core.model import Operation
from rcnetd.core.states import State
from rcnetd.ctl import status_view
from rcnetd.daemon.status import answer_fields, document
from tests.support.playbook import (
    ASSIGNED,
    DEPLOYED,
    DEPLOYING,
    FAILED,
    MANAGED,
    NOT_ASSIGNED,
    UNMANAGED,
    UNPROCESSABLE,
    Playbook,
)

SCHEMA = json.loads((Path(rcnetd.store.__file__).parent / "schemas/status.json").read_text())
DOWN = RequestFailed(Operation.GATEWAY, None, "connect", "cannot connect to 10.208.0.10")
BOOTS: dict[str, list[Answered]] = {
    "nothing yet": [],
    "not assigned": [MANAGED, NOT_ASSIGNED, DEPLOYING],
    "the API is down": [MANAGED, DOWN],
    "route": [MANAGED, ASSIGNED, DEPLOYING],
    "ready": [MANAGED, ASSIGNED, DEPLOYED],
    "failed": [MANAGED, ASSIGNED, FAILED],
    "unprocessable": [MANAGED, UNPROCESSABLE],
    "off": [UNMANAGED, DEPLOYED],
}
OPERATIONS: dict[Answered, str] = {
    NOT_ASSIGNED: "gateway_ip",
    ASSIGNED: "gateway_ip",
    DOWN: "gateway_ip",
    DEPLOYING: "automation_status",
    DEPLOYED: "automation_status",
    FAILED: "automation_status",
    UNPROCESSABLE: "automation_status",
}


def content(name: str, *, pid: int | None = 1, later: float = 0.0) -> dict[str, Any]:
    """The status of a daemon that was told the answers of *name*."""
    book = Playbook().look().tell(*BOOTS[name])
    answers = {
        OPERATIONS[event]: {**answer_fields(event), "at": 0.0}
        for event in BOOTS[name]
        if event in OPERATIONS
    }
    result = document(book.machine.snapshot(book.now + later), pid=0, answers=answers)
    return {**result, "pid": pid}


def rows(content: dict[str, Any], *, running: bool = True) -> dict[str, str]:
    """What a person sees, by the rows' names."""
    return {
        name: text for name, text, _ in status_view.rows(content, content["at"], running=running)
    }


@pytest.mark.parametrize("name", BOOTS)
def test_every_document_has_its_form(name: str) -> None:
    """Programs get what is documented, also after the daemon has ended."""
    jsonschema.validate(content(name), SCHEMA)
    jsonschema.validate(content(name, pid=None), SCHEMA)


def test_the_form_names_every_key_and_state() -> None:
    """Nothing is undocumented, and nothing documented is missing."""
    assert [state.name for state in State] == SCHEMA["properties"]["state"]["enum"]
    for key in ("metadata", "servicenet", "gateway", "route", "automation", "requests"):
        assert SCHEMA["properties"][key]["properties"].keys() == content("ready")[key].keys()


@pytest.mark.parametrize(
    ("name", "row", "text"),
    [
        ("not assigned", "Gateway", "not assigned yet (404), asked 5s ago"),
        ("not assigned", "Automation", "DEPLOYING, asked 5s ago"),
        ("the API is down", "Failure", "cannot connect to 10.208.0.10"),
        ("route", "Gateway", "10.180.31.254"),
        ("route", "Route", "in effect"),
        ("ready", "Automation", "DEPLOYED, asked 5s ago"),
        ("ready", "State", "READY for 5s"),
        (
            "ready",
            "Network",
            "configured by rcnetd: the feature Configure Network Stack is not enabled",
        ),
        ("failed", "Automation", "FAILED, asked 5s ago"),
        ("unprocessable", "Exit code", "76"),
    ],
)
def test_a_row(name: str, row: str, text: str) -> None:
    """A row shows what is known, and its age."""
    assert text == rows(content(name, later=5.0))[row]


def test_what_is_not_known_has_no_row() -> None:
    """This is before the first answer."""
    assert {"State", "ServiceNet", "Requests"} == rows(content("nothing yet")).keys()


def test_troubles_are_seen() -> None:
    """Each has its row."""
    full = content("route")
    full["gateway"].update(rejected="10.180.31.255 is the broadcast address", remembered=True)
    full["route"].update(repairs=2, in_effect=False, diversions=["traffic is refused (blackhole)"])
    taken = "default via 203.0.113.1 dev eth0 proto dhcp metric 0"
    repair = {"at": full["at"] - 65, "reason": f"'{taken}' took over the default route"}
    full["route"].update(fighting=True, last_repair=repair)
    full["automation"]["source"] = "is remembered from an earlier boot"
    shown = rows(full)

    assert "gateway 10.180.31.255 is the broadcast address" == shown["Rejected"]
    assert "10.180.31.254, remembered" == shown["Gateway"]
    assert "not in effect, repaired 2 times" == shown["Route"]
    assert f"1min 5s ago: '{taken}' took over the default route" == shown["Repaired"]
    assert (
        "another program keeps replacing the route; rcnetd repairs it every 10 s" == shown["Fight"]
    )
    assert "traffic is refused (blackhole)" == shown["Diverted"]
    assert "DEPLOYED is remembered from an earlier boot" == shown["Automation"]


@pytest.mark.parametrize(
    ("landlock", "seccomp", "shown"),
    [
        (7, True, "confined by Landlock 7 and seccomp"),
        (0, True, "confined by seccomp"),
        (1, False, "confined by Landlock 1"),
        (0, False, "not confined: this kernel has neither Landlock nor seccomp"),
    ],
)
def test_the_fetcher_s_confinement(landlock: int, seccomp: bool, shown: str) -> None:
    """What is in force on this kernel; an older daemon does not say."""
    full = content("ready")
    full["fetcher"] = {"landlock": landlock, "seccomp": seccomp}
    jsonschema.validate(full, SCHEMA)
    assert shown == rows(full)["Fetcher"]
    del full["fetcher"]
    assert "Fetcher" not in rows(full)


def test_a_gateway_that_does_not_answer_yet() -> None:
    """It is not in use."""
    full = content("not assigned")
    full["gateway"]["candidate"] = "10.180.31.254"

    assert "10.180.31.254, not in use yet" == rows(full)["Gateway"]


@pytest.mark.parametrize(
    ("name", "running", "line", "tone"),
    [
        ("ready", True, "ready, guarding the default route via 10.180.31.254 dev eth1", "good"),
        ("not assigned", True, "waiting for the gateway to be assigned", "busy"),
        ("failed", True, "automation FAILED, guarding the default route", "bad"),
        ("ready", False, "not running", "bad"),
        ("unprocessable", False, "not running: RackConnect says UNPROCESSABLE", "bad"),
    ],
)
def test_the_first_line(name: str, running: bool, line: str, tone: str) -> None:
    """One line shows the state."""
    text, colour = status_view.headline(content(name), running=running)

    assert text.startswith(line)
    assert tone == colour


def test_a_daemon_that_is_gone_has_no_next_request() -> None:
    """It shows the last state, and its age."""
    gone = rows({**content("not assigned"), "pid": None}, running=False)

    assert "WAITING_FOR_GATEWAY, ended 0.0s ago" == gone["State"]
    assert "Requests" not in gone


def test_who_waits_sees_what_is_live() -> None:
    """Seconds are counted since the daemon wrote last."""
    waiting = content("the API is down")
    line = status_view.live(waiting, waiting["at"] + 61)

    assert line.startswith("waiting for the gateway to be assigned; since 1min 1s; next request in")
    assert line.endswith("cannot connect to 10.208.0.10")
    assert "next request" not in status_view.live(content("ready"), 0.0)
