"""What the emulator answers, by the API page's words; and the rate limit."""

from __future__ import annotations

import json
from ipaddress import IPv4Address
from xml.etree import ElementTree

import pytest

from rcnetd.emulator.ratelimit import MAX_SOURCES, RateLimit
from rcnetd.emulator.responses import FORMATS, Answer, answer, operation_of
from rcnetd.emulator.scenario import Server, State

GATEWAY = IPv4Address("10.180.31.254")
TASK = 'Cloud Server Created: Add "rackconnect" user & <more>'
SERVER = Server(
    features=(("ConfigureNetworkStack", True), ("ManageSoftwareFirewall", False)), tasks=(TASK,)
)
STATE = State("DEPLOYED", GATEWAY)


def ask(target: str, method: str = "GET", state: State = STATE) -> Answer:
    """The answer to one request."""
    return answer(SERVER, state, method, target)


@pytest.mark.parametrize(
    ("target", "kind", "body"),
    [
        ("/v1/automation_status", "text/plain", "DEPLOYED"),
        ("/v1/automation_status?format=text", "text/plain", "DEPLOYED"),
        ("/v1/gateway_ip", "text/plain", str(GATEWAY)),
        ("/v1/gateway_ip?format=TEXT", "text/plain", str(GATEWAY)),
    ],
)
def test_text(target: str, kind: str, body: str) -> None:
    """The default where the page has it."""
    assert Answer(200, body.encode(), kind) == ask(target)


@pytest.mark.parametrize(
    ("target", "value"),
    [
        ("/v1/automation_status?format=json", {"automation_status": "DEPLOYED"}),
        ("/v1/gateway_ip?format=json", {"gateway_ip": str(GATEWAY)}),
        (
            "/v1/automation_status/details",
            {"automation_status": "DEPLOYED", "tasks": [{"name": TASK, "status": "DEPLOYED"}]},
        ),
        (
            "/v1/automation_features",
            {
                "automation_features": [
                    {"name": "ConfigureNetworkStack", "is_enabled": True},
                    {"name": "ManageSoftwareFirewall", "is_enabled": False},
                ]
            },
        ),
    ],
)
def test_json(target: str, value: object) -> None:
    """JSON is the default of the details and the features."""
    for text in (target, target.replace("?format=json", "") + "?format=json"):
        found = ask(text)
        assert (200, "application/json") == (found.status, found.content_type)
        assert value == json.loads(found.body)


@pytest.mark.parametrize(
    ("operation", "texts"),
    [
        ("automation_status", ["DEPLOYED"]),
        ("gateway_ip", [str(GATEWAY)]),
        ("automation_status/details", ["DEPLOYED", TASK, "DEPLOYED"]),
        (
            "automation_features",
            ["ConfigureNetworkStack", "true", "ManageSoftwareFirewall", "false"],
        ),
    ],
)
def test_xml(operation: str, texts: list[str]) -> None:
    """Well-formed, escaped."""
    found = ask(f"/v1/{operation}?format=xml")

    assert (200, "application/xml") == (found.status, found.content_type)
    assert texts == [text for text in ElementTree.fromstring(found.body).itertext() if text.strip()]


@pytest.mark.parametrize("operation", FORMATS)
def test_a_form_that_the_page_does_not_offer(operation: str) -> None:
    """400, with those that it does."""
    for form in {"text", "json", "xml", "yaml"} - set(FORMATS[operation]):
        found = ask(f"/v1/{operation}?format={form}")
        assert 400 == found.status
        assert FORMATS[operation][0] in found.body.decode()


@pytest.mark.parametrize("form", ["text", "json", "xml"])
def test_a_gateway_that_is_not_assigned(form: str) -> None:
    """404, whatever the form."""
    assert 404 == ask(f"/v1/gateway_ip?format={form}", state=State()).status
    assert 200 == ask("/v1/automation_status", state=State()).status


@pytest.mark.parametrize("status", ["DEPLOYING", "DEPLOYED", "FAILED", "UNPROCESSABLE"])
def test_every_status(status: str) -> None:
    """The page's four words."""
    assert status.encode() == ask("/v1/automation_status", state=State(status)).body


@pytest.mark.parametrize("target", ["/", "/v1", "/v1/", "/v2/gateway_ip", "/v1/gateway_ip/x", ""])
def test_other_paths(target: str) -> None:
    """404."""
    assert operation_of(target) is None
    assert 404 == ask(target).status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods(method: str) -> None:
    """405; nobody changes anything here."""
    assert 405 == ask("/v1/gateway_ip", method).status
    assert 200 == ask("/v1/gateway_ip", "HEAD").status


def test_the_31st_request_in_a_minute_is_too_many() -> None:
    """By source; the counter begins anew with each minute of the server's clock."""
    limit = RateLimit(phase=30.0)

    assert not any(limit.is_exceeded(limit.count("10.180.1.2", 1.0)) for _ in range(30))
    assert limit.is_exceeded(limit.count("10.180.1.2", 29.9))
    assert not limit.is_exceeded(limit.count("10.180.1.3", 29.9))
    assert not limit.is_exceeded(limit.count("10.180.1.2", 30.0))


def test_the_count_is_bounded() -> None:
    """However many sources there are."""
    limit = RateLimit()
    for number in range(MAX_SOURCES + 10):
        limit.count(str(number), 0.0)

    assert 1 == limit.count("new", 0.0)
