"""Every row of "what an answer means": the real client against the project's emulator.

The emulator is an independent reading of the API page. Each of its faults is met by the client as
a library and by the fetcher's process; both have to say the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest

from rcnetd.api.client import ApiError, Client, Features, RateLimitError, Status
from rcnetd.core.events import GatewayNotAssigned, GatewayReceived, RateLimited, RequestFailed
from rcnetd.core.model import AutomationStatus, Operation
from rcnetd.emulator.faults import FAULTS
from rcnetd.emulator.testing import RunningEmulator, emulator
from rcnetd.fetcher.fetcher import fetch_once
from tests.support.waiting import LONG

KNOWN, WAITING, FRESH = (IPv4Address(f"127.0.0.{number}") for number in (11, 12, 13))
TIMELINE = f"""
limit: 1000
servers:
  - address: {KNOWN}
    timeline: [{{at: 0, gateway: 10.180.31.254, status: DEPLOYED}}]
  - address: {WAITING}
    timeline: [{{at: 0, status: DEPLOYING}}]
"""
TIMEOUT = 2.0  # seconds, where it is waited for; a dripped address takes 2.6
ENDLESS = ("hang", "drip", "drip-body")  # of the faults: what ends by the time-out only
STATUS, GATEWAY = Operation.STATUS, Operation.GATEWAY
CONFIGURED = AutomationStatus.DEPLOYED


@pytest.fixture(scope="module")
def api() -> Iterator[RunningEmulator]:
    """One emulator for all."""
    with emulator(TIMELINE) as running:
        yield running


def client(api: RunningEmulator, source: IPv4Address = KNOWN, timeout: float = LONG) -> Client:
    """A client of one of its servers."""
    return Client(api.url, source=source, ca_file=api.ca_file, timeout=timeout)


@pytest.mark.parametrize("form", ["text", "json", "xml"])
def test_the_status(api: RunningEmulator, form: str) -> None:
    """200 and a known status word, in every form."""
    assert Status(CONFIGURED, "DEPLOYED") == client(api).automation_status(form)
    assert AutomationStatus.DEPLOYING is client(api, WAITING).automation_status(form).status


@pytest.mark.parametrize("form", ["json", "xml"])
def test_the_details(api: RunningEmulator, form: str) -> None:
    """The status and the tasks."""
    assert CONFIGURED is client(api).automation_details(form).status.status


@pytest.mark.parametrize("form", ["text", "json", "xml"])
def test_the_gateway(api: RunningEmulator, form: str) -> None:
    """200 and an address, or 404: not assigned yet."""
    assert IPv4Address("10.180.31.254") == client(api).gateway_ip(form)
    assert client(api, WAITING).gateway_ip(form) is None


@pytest.mark.parametrize("form", ["json", "xml"])
def test_the_features(api: RunningEmulator, form: str) -> None:
    """The feature that decides is found."""
    features = client(api).automation_features(form)

    assert isinstance(features, Features)
    assert features.configure_network_stack is not None


def test_a_server_that_is_not_known(api: RunningEmulator) -> None:
    """404 elsewhere than on the gateway says so."""
    with pytest.raises(ApiError) as caught:
        client(api, FRESH).automation_status()

    assert "http-404" == caught.value.kind


INVALID = "invalid"
TIMED_OUT = "no answer within 2 s, still waiting for "
ROWS = {
    "refuse": ("disconnected|connect", r"(cannot connect|the connection broke|the API closed).*"),
    "tls-garbage": ("tls", r"the TLS handshake failed: [a-z ]+"),
    "expired": ("clock", r"the API's certificate has expired, if .* clock is right: .* UTC"),
    "not-yet-valid": ("clock", r"the API's certificate is not yet valid, if .*: it says .* UTC"),
    "wrong-name": ("certificate", "the API's certificate is not for 'localhost'"),
    "untrusted": ("certificate", "the API's certificate is not trusted: .*"),
    "hang": ("timeout", TIMED_OUT + "the answer to begin"),
    "drip": ("timeout", TIMED_OUT + "the answer to begin"),
    "drip-body": ("timeout", TIMED_OUT + "the rest of the answer"),
    "truncate": ("disconnected", "the answer was cut short"),
    "reset": (
        "disconnected",
        "the connection broke: Connection reset.*|the answer was cut short",
    ),
    "oversize": ("oversize", "the answer is larger than 64 KiB"),
    "garbage": (INVALID, "the answer is not HTTP: '.*'"),
    "html": (INVALID, "the answer is an HTML page: '.*'"),
    "empty": (INVALID, "the answer is empty"),
    "two-addresses": (INVALID, "the answer is not one IPv4 address: '.*'"),
    "ipv6": (INVALID, "the answer is not one IPv4 address: '.*:.*'"),
    "bad-charset": (INVALID, "the answer('s charset is '.*'| is not text)"),
    "unknown-word": (INVALID, "the answer is not one IPv4 address: '.*'"),
    "redirect": ("redirect", "the API answered 302, a redirect to '.*', which is not followed"),
    "rate-limit": ("rate-limit", r"too many requests \(the API answered 403\)"),
    "http-204": ("http-204", "the API answered 204.*"),
    "http-400": ("http-400", "the API answered 400.*"),
    "http-500": ("http-5xx", "the API answered 500.*"),
    "http-503": ("http-5xx", "the API answered 503.*"),
}


@pytest.fixture
def fault(api: RunningEmulator, request: pytest.FixtureRequest) -> Iterator[str]:
    """The fault, until the test is over."""
    api.set_fault(request.param)
    yield request.param
    api.clear_fault()


def test_every_fault_has_its_row() -> None:
    """A fault that the emulator learns has to be understood here."""
    assert set(FAULTS) == {*ROWS, "not-found"}


@pytest.mark.parametrize("fault", ROWS, indirect=True)
def test_faults(api: RunningEmulator, fault: str) -> None:
    """A failed request with its own kind and plain reason; the library and the fetcher agree."""
    kind, reason = ROWS[fault]
    timeout = TIMEOUT if fault in ENDLESS else LONG
    with pytest.raises(ApiError) as caught:
        client(api, timeout=timeout).gateway_ip()

    assert re.fullmatch(kind, caught.value.kind), caught.value.kind
    assert re.fullmatch(reason, caught.value.reason), caught.value.reason
    event = fetch_once(
        GATEWAY,
        endpoint=api.url,
        source=KNOWN,
        device="lo",
        ca_file=api.ca_file,
        timeout=timeout,
    )
    if fault == "rate-limit":
        assert isinstance(event, RateLimited)
        return
    assert isinstance(event, RequestFailed)
    assert re.fullmatch(kind, event.kind), event.kind
    assert re.fullmatch(reason, event.reason), event.reason


@pytest.mark.parametrize("fault", ["unknown-word"], indirect=True)
def test_an_unknown_word(api: RunningEmulator, fault: str) -> None:
    """200 and an unknown status word: not DEPLOYED."""
    status = client(api).automation_status()

    assert AutomationStatus.UNKNOWN is status.status
    assert status.word


@pytest.mark.parametrize("fault", ["not-found"], indirect=True)
def test_not_found(api: RunningEmulator, fault: str) -> None:
    """404: of the gateway, not assigned; of anything else, a server that is not known."""
    assert client(api).gateway_ip() is None
    with pytest.raises(ApiError) as caught:
        client(api).automation_status()
    assert (
        "the API does not know this server (404 for '/v1/automation_status')" == caught.value.reason
    )


def test_the_rate_limit_with_a_time(api: RunningEmulator) -> None:
    """403 with a Retry-After."""
    api.set_fault("rate-limit", retry_after=17)
    with pytest.raises(RateLimitError) as caught:
        client(api).automation_status()
    api.clear_fault()

    assert 17.0 == caught.value.retry_after


def test_the_real_rate_limit() -> None:
    """The request after the last one of the minute, counted by the emulator itself."""
    with emulator(TIMELINE.replace("1000", "2")) as api:
        asked = client(api)
        for _ in range(2):
            asked.automation_status()

        with pytest.raises(RateLimitError):
            asked.automation_status()


def test_a_region_by_its_address(api: RunningEmulator) -> None:
    """The region's name in TLS and Host, the emulator's address on the wire; no resolver."""
    asked = Client(
        api.region_url("dfw"),
        source=KNOWN,
        ca_file=api.ca_file,
        api_address=IPv4Address(api.host),
    )

    assert CONFIGURED is asked.automation_status().status
    assert "dfw.api.rackconnect.rackspace.com" == api.requests[-1].host.split(":")[0]


def test_events(api: RunningEmulator) -> None:
    """The fetcher's events for the answers that a boot waits for."""
    answers = [
        fetch_once(
            GATEWAY,
            endpoint=api.url,
            source=source,
            device="lo",
            ca_file=api.ca_file,
            timeout=5.0,
            raw=False,
        )
        for source in (KNOWN, WAITING)
    ]

    assert [
        GatewayReceived(GATEWAY, IPv4Address(api.host), gateway=IPv4Address("10.180.31.254")),
        GatewayNotAssigned(GATEWAY, IPv4Address(api.host)),
    ] == answers
