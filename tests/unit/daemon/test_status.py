"""What the daemon says of itself."""

from __future__ import annotations

import json
from ipaddress import IPv4Address
from math import inf
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import rcnetd.store
from rcnetd.basic.dataclass import replace
from rcnetd.core.events import (
    Answered,
    FeaturesReceived,
    GatewayReceived,
    RateLimited,
    RequestFailed,
)
from rcnetd.core.facts import Gateway
from rcnetd.core.model import Operation, RouteLookup
from rcnetd.core.settings import Metadata
from rcnetd.daemon.status import (
    answer_fields,
    describe_answer,
    document,
    startup_failure,
    status_text,
)
from rcnetd.fetcher.protocol import Confined
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
    World,
    boot,
    foreign_default,
)

SCHEMA = json.loads((Path(rcnetd.store.__file__).parent / "schemas/status.json").read_text())


def status(book: Playbook) -> str:
    """STATUS= as it would be now."""
    return status_text(book.machine.snapshot(book.now))


def test_status_begins_with_the_states_own_sentence() -> None:
    """`systemctl status`, the log and the code use one sentence."""
    book = boot(MANAGED, NOT_ASSIGNED, DEPLOYING).wait(2)

    assert status(book).startswith("waiting for the gateway to be assigned; ")


def test_status_says_what_is_live() -> None:
    """How long, when the next request is, and how much of the budget is used."""
    book = boot(MANAGED, NOT_ASSIGNED, DEPLOYING).wait(2)

    text = status(book)
    assert "automation DEPLOYING" in text
    assert "since 2s" in text
    assert "next request in 2s" in text
    assert "0 of 18 requests used" in text
    assert "asking automation_features" in status(boot())


def test_status_names_the_last_failure() -> None:
    """Someone at the console sees why it waits."""
    failure = RequestFailed(Operation.FEATURES, kind="dns", reason="the name does not resolve")
    assert "last failure: the name does not resolve" in status(boot(failure))
    assert "rate limit is reached" in status(boot(RateLimited(Operation.FEATURES)))


def test_status_when_ready_names_the_route() -> None:
    """One line says by which gateway and which link."""
    book = boot(MANAGED, ASSIGNED, DEPLOYED)

    assert status(book) == "ready, guarding the default route via 10.180.31.254 dev eth1"


def test_status_names_what_is_wrong_when_ready() -> None:
    """A lost ServiceNet, a refused route, a diversion and a fight are all told."""
    book = boot(MANAGED, ASSIGNED, FAILED)
    assert status(book).startswith("automation FAILED, guarding the default route via")

    book.world.diversion = RouteLookup(1, 7, IPv4Address("10.8.0.1"), 0, 3)
    book.look()
    assert "diverted by a /1 route of table main via 10.8.0.1" in status(book)
    book.world.diversion = None

    book.world.refuse = "Failed to add route: no"
    book.world.routes = [route for route in book.world.routes if route.protocol != 82]
    book.look()
    assert "not in effect, putting it back" in status(book)
    book.world.refuse = None

    book.wait(20)
    for _ in range(10):
        book.wait(0.1)
        book.world.routes.append(foreign_default())
        book.look()
    assert "another program keeps taking the default route" in status(book)

    book.world.flush(3)
    book.look()
    assert "ServiceNet is gone" in status(book)


def test_status_names_a_doubtful_gateway_and_one_that_is_checked() -> None:
    """The reason why nothing happens is the first thing to see."""
    doubtful = GatewayReceived(Operation.GATEWAY, gateway=IPv4Address("10.180.1.2"))
    text = status(boot(MANAGED, doubtful))
    assert "the API's gateway 10.180.1.2 is this server's own address" in text

    book = Playbook(World(alive=set()).servicenet_routes()).look().tell(MANAGED, ASSIGNED)
    assert "; gateway 10.180.31.254;" in status(book)

    book = boot(MANAGED, ASSIGNED, DEPLOYED).wait(901)
    book.tell(GatewayReceived(Operation.GATEWAY, gateway=IPv4Address("10.180.17.17")))
    assert "a new gateway 10.180.17.17 does not answer yet" in status(book)


def test_status_without_a_valid_gateway() -> None:
    """After the address has moved there may be none for a while."""
    book = boot(MANAGED, ASSIGNED, DEPLOYED)
    book.machine.facts = replace(book.machine.facts, gateway=Gateway())

    assert "(no valid gateway)" in status(book)


def test_status_at_the_end_is_the_reason() -> None:
    """`systemctl status` of a stopped service says why and what to do."""
    assert "stopped: RackConnect says UNPROCESSABLE" in status(boot(UNMANAGED, UNPROCESSABLE))


def test_status_without_requests_to_come() -> None:
    """While ServiceNet is awaited there is no next request."""
    text = status(Playbook(World(addresses=[])).look())
    assert "next request" not in text
    assert text.startswith("waiting for ServiceNet; since 0.0s")


@pytest.mark.parametrize(
    ("event", "text", "fields"),
    [
        (DEPLOYED, "DEPLOYED", {"outcome": "ok", "status": "DEPLOYED"}),
        (ASSIGNED, "10.180.31.254", {"outcome": "ok", "gateway": "10.180.31.254"}),
        (NOT_ASSIGNED, "not assigned yet (404)", {"outcome": "not-assigned"}),
        (
            MANAGED,
            "Configure Network Stack not enabled",
            {"outcome": "ok", "configure_network_stack": False},
        ),
        (
            UNMANAGED,
            "Configure Network Stack enabled",
            {"outcome": "ok", "configure_network_stack": True},
        ),
        (
            FeaturesReceived(Operation.FEATURES),
            "Configure Network Stack not told",
            {"outcome": "ok", "configure_network_stack": None},
        ),
        (RateLimited(Operation.STATUS), "rate limit (403)", {"outcome": "rate-limited"}),
        (
            RequestFailed(Operation.STATUS, kind="dns", reason="no name"),
            "dns: no name",
            {"outcome": "failed", "kind": "dns"},
        ),
    ],
)
def test_an_answer_for_people_and_for_programs(
    event: Answered, text: str, fields: dict[str, Any]
) -> None:
    """The timeline and `status.json` have both."""
    assert {"answer": text, **fields} == answer_fields(event)
    schema = SCHEMA["properties"]["answers"]
    jsonschema.validate({event.operation.value: {**answer_fields(event), "at": 1.0}}, schema)


def test_an_unknown_answer_is_a_bug_with_a_name() -> None:
    """Nothing is described wrongly."""
    with pytest.raises(AssertionError, match="Unexpected answer"):
        describe_answer(Answered(Operation.STATUS))


@pytest.mark.parametrize(
    "book",
    [
        Playbook(World(addresses=[])).look(),
        boot(MANAGED, NOT_ASSIGNED),
        boot(MANAGED, ASSIGNED, DEPLOYED),
        boot(UNMANAGED, UNPROCESSABLE),
        boot(RequestFailed(Operation.FEATURES, kind="dns", reason="no")),
        Playbook(metadata=Metadata(roles=("rackconnect:v3",))).look(),
    ],
    ids=["no servicenet", "waiting", "ready", "exit", "failure", "v3"],
)
def test_the_document_has_its_form(book: Playbook) -> None:
    """Programs find every key in every state, as documented; `null` is "not known"."""
    content = document(
        book.machine.snapshot(book.now), pid=7, answers={}, confinement=Confined(7, seccomp=True)
    )

    assert json.loads(json.dumps(content)) == content
    jsonschema.validate(content, SCHEMA)
    assert SCHEMA["properties"].keys() - {"running", "persisted"} == content.keys()


def test_the_document_of_a_ready_server() -> None:
    """What a program wants to know is there under its name."""
    book = boot(MANAGED, ASSIGNED, DEPLOYED)
    content = document(book.machine.snapshot(book.now), pid=7, answers={"x": {"outcome": "ok"}})

    assert content["ready"] is True
    assert content["servicenet"]["interface"] == "eth1"
    assert content["gateway"]["address"] == "10.180.31.254"
    assert content["route"]["in_effect"] is True
    assert content["automation"]["status"] == "DEPLOYED"
    assert content["answers"] == {"x": {"outcome": "ok"}}

    book.world.diversion = RouteLookup(1, 7, None, 0, 3)
    diverted = document(book.look().machine.snapshot(book.now), pid=7, answers={})
    text = "traffic is diverted by a /1 route of table main dev #7"
    assert diverted["route"]["diversions"] == [text]
    book.machine.poller.next_at = inf
    assert document(book.machine.snapshot(0.0), pid=7, answers={})["requests"]["next_at"] is None


def test_a_daemon_that_could_not_begin_says_why() -> None:
    """Who waits for it is let go, with the reason."""
    content = startup_failure(78, "'rcnetd.yaml' line 1: regoin: is not a setting", 5.0)

    assert {"code": 78, "reason": content["exit"]["reason"]} == content["exit"]
    assert content["pid"] is None
    assert content["status"].startswith("stopped: 'rcnetd.yaml' line 1")
