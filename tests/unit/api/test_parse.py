"""Bodies: what each form of each answer means, and that nothing else means anything."""

from __future__ import annotations

import json
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnetd.api.errors import InvalidAnswer
from rcnetd.api.parse import FORMATS, Details, Features, Status, Task, decode, parse, parse_json
from rcnetd.core.model import AutomationStatus, Operation
from tests.support.fuzzing import fuzz

STATUS, DETAILS = Operation.STATUS, Operation.DETAILS
GATEWAY, FEATURES = Operation.GATEWAY, Operation.FEATURES
DEPLOYED = Status(AutomationStatus.DEPLOYED, "DEPLOYED")
ADDRESS = IPv4Address("10.180.31.254")
FORMS = [(operation, form) for operation, forms in FORMATS.items() for form in forms]


# Text


@pytest.mark.parametrize("word", ["DEPLOYING", "DEPLOYED", "FAILED", "UNPROCESSABLE"])
@pytest.mark.parametrize("frame", ["{}", "{}\n", " \t{}\r\n\r\n"])
def test_known_words(word: str, frame: str) -> None:
    """The words that RackConnect has, whitespace stripped."""
    assert Status(AutomationStatus[word], word) == parse(STATUS, "text", frame.format(word))


@pytest.mark.parametrize("word", ["MIGRATING", "deployed", "Deployed", "DEPLOYED.", "UNKNOWN"])
def test_unknown_words_are_not_deployed(word: str) -> None:
    """Any other word, and any other spelling, is UNKNOWN, with the word."""
    assert Status(AutomationStatus.UNKNOWN, word) == parse(STATUS, "text", word)


def test_a_long_word_is_cut() -> None:
    """Only 80 characters of an unknown word are kept; the cut cannot make it a known one."""
    assert Status(AutomationStatus.UNKNOWN, "A" * 80) == parse(STATUS, "text", "A" * 5000)


@pytest.mark.parametrize(
    "text", ['"DEPLOYED"', "NOT DEPLOYED", "DEPLOYED DEPLOYED", "<b>DEPLOYED</b>", "DEPLOY\0ED"]
)
def test_what_is_not_one_word_is_no_status(text: str) -> None:
    """A sentence, markup or a quoted word is not an unknown word, it is no answer."""
    with pytest.raises(InvalidAnswer, match="not a status word: '"):
        parse(STATUS, "text", text)


@pytest.mark.parametrize("frame", ["{}", "{}\n", " \t{}\r\n"])
def test_a_gateway(frame: str) -> None:
    """One IPv4 address, whitespace stripped."""
    assert ADDRESS == parse(GATEWAY, "text", frame.format(ADDRESS))


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.1 10.0.0.2",
        "10.0.0.1,10.0.0.2",
        "10.0.0.1\n10.0.0.2\n",
        "2001:db8::1",
        "::ffff:10.0.0.1",
        "10.0.0",
        "10.0.0.256",
        "010.0.0.1",
        "10.0.0.1/24",
        "0x0a000001",
        "167772161",
        "\u0661\u0660.0.0.1",
        "\u00a010.0.0.1",
        "not yet",
    ],
)
def test_what_is_not_one_address_is_no_gateway(text: str) -> None:
    """Two addresses, IPv6, a network, other notations: no answer."""
    with pytest.raises(InvalidAnswer, match="not one IPv4 address: '"):
        parse(GATEWAY, "text", text)


# JSON and XML


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("json", '{"automation_status": "DEPLOYED"}'),
        ("json", '{"automationStatus": " DEPLOYED\\n"}'),
        ("json", '{"server": {"automation_status": "DEPLOYED"}}'),
        ("json", '"DEPLOYED"'),
        ("json", '{"status": "DEPLOYED"}'),
        ("xml", "<automation_status>DEPLOYED</automation_status>"),
        ("xml", '<?xml version="1.0" encoding="utf-16"?><AutomationStatus> DEPLOYED\n'
                "</AutomationStatus>"),
        ("xml", '<string xmlns="http://schemas.microsoft.com/x">DEPLOYED</string>'),
        ("xml", '<r xmlns:a="u"><a:automation_status kind="x">DEPLOYED</a:automation_status></r>'),
        ("xml", '<server automation_status="DEPLOYED" id="7"/>'),
    ],
)  # fmt: skip
def test_a_status_in_a_document(form: str, text: str) -> None:
    """Wherever it stands, under the name the clients know; or as the only value there is."""
    assert DEPLOYED == parse(STATUS, form, text)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("json", '{"gateway_ip": "10.180.31.254"}'),
        ("json", '[{"GatewayIP": "10.180.31.254", "server": "x"}]'),
        ("json", '{"gateway": "10.180.31.254", "gateway_ip": "10.180.31.254"}'),
        ("xml", "<gateway_ip>10.180.31.254</gateway_ip>"),
        ("xml", "<r><server>x</server><gateway_ip>\n10.180.31.254</gateway_ip></r>"),
    ],
)
def test_a_gateway_in_a_document(form: str, text: str) -> None:
    """The same address twice is still one."""
    assert ADDRESS == parse(GATEWAY, form, text)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("json", '{"gateway_ip": "10.0.0.1", "backup_gateway_ip": "10.0.0.2"}'),
        ("json", '{"gateway_ip": null}'),
        ("json", '{"gateway_ip": 167772161}'),
        ("json", '{"gateway_ip": ["10.0.0.1", "10.0.0.2"]}'),
        ("json", '{"a": "10.0.0.1", "b": "10.0.0.2"}'),
        ("json", "{}"),
        ("json", "[]"),
        ("json", "null"),
        ("json", '{"gateway_ip": "10.0.0.1", "gateway_ip": "10.0.0.2"}'),
        ("json", "10.0.0.1"),
        ("json", '{"gateway_ip": NaN}'),
        ("json", "[" * 33 + '"10.0.0.1"' + "]" * 33),
        ("json", "[" * 60_000),
        ("json", "9" * 60_000),
        ("xml", "<gateway_ip/>"),
        ("xml", "<r><gateway_ip>10.0.0.1</gateway_ip><gateway_ip>10.0.0.2</gateway_ip></r>"),
        ("xml", "<gateway_ip>10.0.0.1"),
        ("xml", "10.0.0.1"),
        ("xml", "<a>" * 33 + "10.0.0.1" + "</a>" * 33),
        ("xml", "<a>" * 15_000),
        ("xml", "<gateway_ip>&x;</gateway_ip>"),
    ],
)
def test_a_document_without_one_gateway(form: str, text: str) -> None:
    """Several, none, another type, broken or bottomless documents: no answer."""
    with pytest.raises(InvalidAnswer):
        parse(GATEWAY, form, text)


@pytest.mark.parametrize(
    "head",
    [
        "<!DOCTYPE r>",
        '<!DOCTYPE r [<!ENTITY x "10.0.0.1">]>',
        '<!DOCTYPE r SYSTEM "file:///etc/passwd">',
        '<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "b"><!ENTITY b "&a;&a;">]>',
    ],
)
def test_xml_declares_no_types_and_entities(head: str) -> None:
    """What could expand or fetch something is refused as such."""
    with pytest.raises(InvalidAnswer, match="document type declaration"):
        parse(GATEWAY, "xml", head + "<r>10.0.0.1</r>")


def test_details() -> None:
    """The outermost status, and each object with a name and a status is a task."""
    text = json.dumps(
        {
            "automation_status": "FAILED",
            "tasks": [
                {"name": 'Cloud Server Created: Add "rackconnect" user', "status": "FAILED"},
                {"task": "Other", "automation_status": "DEPLOYING", "n": 1},
                {"nothing": 1},
            ],
        }
    )

    assert Details(
        Status(AutomationStatus.FAILED, "FAILED"),
        (
            Task('Cloud Server Created: Add "rackconnect" user', "FAILED"),
            Task("Other", "DEPLOYING"),
        ),
    ) == parse(DETAILS, "json", text)


def test_details_in_xml() -> None:
    """The same from XML."""
    text = (
        "<d><automation_status>DEPLOYED</automation_status><tasks>"
        "<task><name>A</name><status>DONE</status></task></tasks></d>"
    )

    assert Details(DEPLOYED, (Task("A", "DONE"),)) == parse(DETAILS, "xml", text)


STACK = "ConfigureNetworkStack"


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize(
    ("form", "shape"),
    [
        ("json", '{{"automation_features": [{{"name": "ProvisionPublicIPAddress",'
                 ' "is_enabled": true}},'
                 ' {{"name": "ConfigureNetworkStack", "is_enabled": {json}}}]}}'),
        ("json", '[{{"feature_name": "Configure Network Stack", "enabled": "{word}"}}]'),
        ("json", '{{"configure_network_stack": {json}, "manage_software_firewall": true}}'),
        ("json", '{{"rackconnect_automation_feature_configure_network_stack": "{state}"}}'),
        ("json", '{{"ConfigureNetworkStack": {{"isEnabled": {json}}}}}'),
        ("json", '[{{"about": "text", "x": "configure_network_stack", "status": "{state}"}}]'),
        ("xml", "<fs><automation_feature><n>ProvisionPublicIPAddress</n>"
                "<is_enabled>true</is_enabled></automation_feature><automation_feature><n>ConfigureNetworkStack</n>"
                "<is_enabled>{word}</is_enabled></automation_feature></fs>"),
        ("xml", '<fs><f name="ConfigureNetworkStack" enabled="{word}"/></fs>'),
        ("xml", "<fs><ConfigureNetworkStack>{state}</ConfigureNetworkStack></fs>"),
    ],
)  # fmt: skip
def test_features_of_many_shapes(form: str, shape: str, enabled: bool) -> None:
    """Nobody has published the shape: name and flag are found however they are nested."""
    text = shape.format(
        json=json.dumps(enabled), word=str(enabled), state="ENABLED" if enabled else "DISABLED"
    )
    features = parse(FEATURES, form, text)

    assert isinstance(features, Features)
    assert features.configure_network_stack is enabled


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        "true",
        '{"configure_network_stack": "PERHAPS"}',
        '{"configure_network_stack": null}',
        '{"configure_network_stack": 1}',
        '[{"name": "ProvisionPublicIPAddress", "is_enabled": true}]',
        '[{"name": "ConfigureNetworkStack"}]',
        '{"a": {"ConfigureNetworkStack": true}, "b": {"ConfigureNetworkStack": false}}',
    ],
)
def test_features_that_do_not_tell(text: str) -> None:
    """An unknown or contradictory shape is no failure, and no guess."""
    features = parse(FEATURES, "json", text)

    assert isinstance(features, Features)
    assert features.configure_network_stack is None


# Bytes to text


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "text/plain; charset=UTF-8", 'text/plain; charset="us-ascii"'],
)
def test_decoding(content_type: str) -> None:
    """UTF-8, with or without a mark and a declaration."""
    assert "DEPLOYED" == decode(b"\xef\xbb\xbfDEPLOYED", content_type)


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        (b"", "", "the answer is empty"),
        (b" \r\n\t", "", "the answer is empty"),
        ("DEPLOYED".encode("utf-16"), "", "the answer is not text"),
        (b"DEPLOYED", "text/plain; charset=utf-16", "the answer's charset is 'utf-16'"),
        (b"\xff", "text/plain; charset=latin1", "the answer is not text"),
        (b"<html>x", "text/plain", "the answer is an HTML page: '<html>x'"),
        (b"\n<!DOCTYPE HTML>x", "", "the answer is an HTML page: '<!DOCTYPE HTML>x'"),
        (b"DEPLOYED", "Text/HTML; charset=utf-8", "the answer is an HTML page: 'DEPLOYED'"),
    ],
)
def test_what_is_no_text(body: bytes, content_type: str, reason: str) -> None:
    """Other charsets, other bytes, pages for people and nothing at all: no answer."""
    with pytest.raises(InvalidAnswer) as caught:
        decode(body, content_type)

    assert reason == caught.value.reason
    assert "invalid" == caught.value.kind


# Anything


PIECES = st.sampled_from(
    ["<", ">", "</", "/>", "{", "}", "[", "]", ":", ",", '"', "\\", "gateway_ip", "10.0.0.1", "&",
     "automation_status", "DEPLOYED", "networkstack", "enabled", "true", "null", "<!DOCTYPE ", "\n"]
)  # fmt: skip


@fuzz(200)
@given(st.binary(max_size=300) | st.lists(PIECES, max_size=40).map(lambda x: "".join(x).encode()))
def test_any_body_is_a_value_or_an_invalid_answer(body: bytes) -> None:
    """No body makes the parsers fail in another way; a gateway is always an address."""
    for operation, form in FORMS:
        value: object = None
        reason = ""
        try:
            value = parse(operation, form, decode(body, ""))
        except InvalidAnswer as error:
            reason = error.reason

        assert reason.isprintable()
        assert len(reason) < 300
        assert bool(reason) is (value is None)
        assert operation is not GATEWAY or reason or isinstance(value, IPv4Address)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON)
def test_json_is_read_as_it_is(value: object) -> None:
    """What is bounded is read as by any JSON reader, and any document is features of some sort."""
    text = json.dumps(value)

    assert value == parse_json(text)
    assert isinstance(parse(FEATURES, "json", text), Features)


def test_brackets_in_strings_are_not_depth() -> None:
    """Only real nesting counts, whatever strings contain."""
    assert ["[" * 100, '\\"' + "{" * 100] == parse_json(json.dumps(["[" * 100, '\\"' + "{" * 100]))
