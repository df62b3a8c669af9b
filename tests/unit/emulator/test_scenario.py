"""The emulator's timeline file: what it means, and one line for every mistake."""

from __future__ import annotations

from importlib import resources
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rcnetd.emulator import scenario as module
from rcnetd.emulator.faults import ANSWER, CONNECTION, FAULTS, OPERATIONS, Fault
from rcnetd.emulator.scenario import Scenario, ScenarioError, Server, State, load, parse

GATEWAY = IPv4Address("10.180.31.254")


def steps(text: str) -> Server:
    """The one server of a timeline's steps."""
    return parse(f"servers: [{{timeline: {text}}}]").servers[0]


def test_the_form_that_the_module_documents() -> None:
    """The example in the docstring is a file that works."""
    text = (module.__doc__ or "").split("\n\n")[1]
    (server,) = parse(text).servers

    assert (IPv4Address("10.180.1.2"), "dfw", "boot") == (
        server.address,
        server.region,
        server.start,
    )
    assert State() == server.state(0)
    assert State(gateway=GATEWAY) == server.state(5)
    assert State(gateway=GATEWAY, fault=Fault("hang")) == server.state(8)
    assert Fault("http-503", "gateway_ip", 90) == server.state(9.5).fault
    assert State(gateway=GATEWAY) == server.state(10)
    assert State("DEPLOYED", GATEWAY) == server.state(1e9)


def test_the_demos_timeline() -> None:
    """The file that the package carries."""
    path = Path(str(resources.files("rcnetd.emulator"))) / "demo.yaml"

    assert "DEPLOYED" == load(path).servers[0].state(20).status


def test_the_defaults() -> None:
    """Any address, any region, all features off, DEPLOYING for ever, 30 a minute."""
    assert Scenario() == parse("servers: [{}]")
    assert 7 == parse("{servers: [{}], limit: 7}").limit
    assert State() == Server().state(100)


@pytest.mark.parametrize(
    ("at", "seconds"),
    [("0", 0), ("5", 5), ("5s", 5), ("250ms", 0.25), ("1.5min", 90), ("1h", 3600), ("2 s", 2)],
)
def test_points_in_time(at: str, seconds: float) -> None:
    """Seconds, or with a unit."""
    server = steps(f"[{{at: {at}, status: DEPLOYED}}]")

    assert "DEPLOYED" == server.state(seconds).status
    assert not seconds or "DEPLOYING" == server.state(seconds - 0.01).status


def test_words_come_in_any_case() -> None:
    """As people write them."""
    (server,) = parse("servers: [{region: DFW, timeline: [{at: 0, status: failed}]}]").servers

    assert ("dfw", "FAILED") == (server.region, server.state(0).status)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_can_be_scheduled(fault: str) -> None:
    """By its name, or with a restriction to one operation where it can be had."""
    assert Fault(fault) == steps(f"[{{at: 0, fault: {fault}}}]").state(0).fault
    if fault in ANSWER:
        for on in OPERATIONS:
            server = steps(f"[{{at: 0, fault: {{name: {fault}, on: {on}}}}}]")
            assert Fault(fault, on) == server.state(0).fault


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", None, "is empty; it needs 'servers'"),
        ("[", 1, "is not YAML"),
        ("servers: [\n{]", 2, "is not YAML"),
        ("[1]", 1, "must be a mapping"),
        ("{}", 1, "servers: is missing"),
        ("servers: 5", 1, "servers: must be a list"),
        ("servers: []", 1, "servers: must have 1 to"),
        ("servers: [5]", 1, "servers: must be a mapping"),
        ("severs: [{}]", 1, "severs: is not a key; did you mean 'servers'?"),
        ("zzz: [{}]", 1, "zzz: is not a key; use one of servers, limit"),
        ("servers: [{}]\n? [a]\n: 1", 2, "?: is not a key"),
        ("servers: [{}]\nservers: [{}]", 2, "servers: is set twice"),
        ("servers:\n- address: 10.0.0.1\n- address: 10.0.0.1", 3, "10.0.0.1 is there twice"),
        ("servers:\n- address: 10.0.0.256", 2, "'10.0.0.256' is not an IPv4 address"),
        ("servers:\n- address:", 2, "servers.address: must be a value"),
        ("servers:\n- region: dwf", 2, "'dwf' is not known; did you mean 'dfw'?"),
        ("servers:\n- start: later", 2, "use one of boot, first-request"),
        ("servers:\n- features: {ConfigureNetwork: true}", 2, "did you mean 'ConfigureNetworkSt"),
        ("servers:\n- features: {ConfigureNetworkStack: 2}", 2, "use one of true, false"),
        ("servers:\n- tasks: one", 2, "servers.tasks: must be a list"),
        ("servers:\n- tasks: [[]]", 2, "servers.tasks: must be a value"),
        ("servers:\n- timeline:\n  - status: DEPLOYED", 3, "timeline.at: is missing"),
        ("servers:\n- timeline:\n  - at: 5", 3, "timeline: needs status, gateway or fault"),
        ("servers:\n- timeline: [{at: soon, status: FAILED}]", 2, "'soon' is no length of time"),
        ("servers:\n- timeline: [{at: -1, status: FAILED}]", 2, "'-1' is no length of time"),
        ("servers:\n- timeline: [{at: 5d, status: FAILED}]", 2, "'5d' is no length of time"),
        (
            "servers:\n- timeline:\n  - {at: 5, status: FAILED}\n  - {at: 4, status: FAILED}",
            4,
            "is earlier than the entry before",
        ),
        ("servers:\n- timeline: [{at: 5, status: DEPLOYD}]", 2, "did you mean 'DEPLOYED'?"),
        ("servers:\n- timeline: [{at: 5, gateway: '::1'}]", 2, "'::1' is not an IPv4 address"),
        ("servers:\n- timeline: [{at: 5, fault: hung}]", 2, "did you mean 'hang'?"),
        ("servers:\n- timeline: [{at: 5, fault: {on: gateway_ip}}]", 2, "fault.name: is missing"),
        (
            "servers:\n- timeline: [{at: 5, fault: {name: refuse, on: gateway_ip}}]",
            2,
            "'refuse' strikes before the operation is known",
        ),
        (
            "servers:\n- timeline: [{at: 5, fault: {name: http-503, retry_after: x}}]",
            2,
            "'x' is no whole number from 0 to 86400",
        ),
        ("limit: 0\nservers: [{}]", 1, "'0' is no whole number from 1 to 1000000"),
        ("servers: &a [*a]", None, ""),
    ],
)
def test_mistakes(text: str, line: int | None, words: str) -> None:
    """File, line, key, and what to do."""
    with pytest.raises(ScenarioError) as caught:
        parse(text, "my.yaml")

    message = str(caught.value)
    assert message.startswith(f"'my.yaml' line {line}: " if line else "'my.yaml'")
    assert words in message
    assert "\n" not in message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """No file, a directory, a file without end."""
    with pytest.raises(ScenarioError, match=r"Failed to read '.*': No such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(ScenarioError, match=r"Failed to read '.*': Is a directory"):
        load(tmp_path)
    with pytest.raises(ScenarioError, match="is larger than 1048576 bytes"):
        load(Path("/dev/zero"))


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=60)
    | st.builds(
        "servers: [{{{}: {}}}]".format,
        st.sampled_from(["address", "region", "features", "tasks", "timeline", "start"]),
        st.text(max_size=30),
    )
)
def test_no_text_breaks_it(text: str) -> None:
    """A timeline, or one line."""
    said = ""
    try:
        parse(text)
    except ScenarioError as error:
        said = str(error)
    assert "\n" not in said


def test_deep_nesting_is_a_mistake_too() -> None:
    """No stack is deep enough for everything."""
    with pytest.raises(ScenarioError):
        parse("[" * 100_000)


def test_every_fault_is_of_one_kind() -> None:
    """Before the request is known, or after."""
    assert not set(CONNECTION) & set(ANSWER)
