"""What the platform says of this server."""

from __future__ import annotations

import json
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rcnetd.instance import read
from rcnetd.options import Instance


def read_text(tmp_path: Path, text: str) -> tuple[Instance, list[str]]:
    """Read a file with this text."""
    path = tmp_path / "instance.json"
    path.write_text(text)
    return read(path)


def test_a_whole_file(tmp_path: Path) -> None:
    """Everything that the platform can say."""
    content = {
        "region": "DFW",
        "region_source": "xenstore",
        "roles": ["rack_connect", "rax_managed"],
        "servicenet_mac": "BC:76:4E:20:6C:5B",
        "public_mac": "bc:76:4e:20:6c:5a",
        "servicenet_router": "10.208.224.1",
        "configure_network_stack": "ENABLED",
    }

    assert read_text(tmp_path, json.dumps(content)) == (
        Instance(
            "dfw",
            "xenstore",
            ("rack_connect", "rax_managed"),
            "bc:76:4e:20:6c:5b",
            "bc:76:4e:20:6c:5a",
            IPv4Address("10.208.224.1"),
            True,
        ),
        [],
    )


def test_no_file_is_no_instance_data(tmp_path: Path) -> None:
    """Nothing is said, nothing is warned of."""
    assert read(tmp_path / "missing") == (Instance(), [])
    assert read_text(tmp_path, "{}") == (Instance(), [])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("region", "{}"),
        ("region", "fra"),
        ("region", 5),
        ("servicenet_mac", "eth1"),
        ("public_mac", ["a"]),
        ("servicenet_router", "10.208.224"),
        ("configure_network_stack", "PERHAPS"),
        ("roles", "rackconnect:v3"),
    ],
)
def test_what_is_not_usable_is_warned_of(tmp_path: Path, key: str, value: object) -> None:
    """The rest counts; a junk region is none."""
    content = {"region": "ord", key: value}
    instance, warnings = read_text(tmp_path, json.dumps(content))

    assert len(warnings) == 1
    assert key in warnings[0]
    assert instance.region == (None if key == "region" else "ord")


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "[" * 5000, "x" * 70_000])
def test_a_damaged_file_is_ignored_with_a_warning(tmp_path: Path, text: str) -> None:
    """Never an exception for what a platform can cause."""
    instance, warnings = read_text(tmp_path, text)

    assert instance == Instance()
    assert len(warnings) == 1
    assert "ignoring" in warnings[0]


def test_a_file_that_cannot_be_read_is_warned_of(tmp_path: Path) -> None:
    """Not even that stops the daemon."""
    instance, warnings = read(tmp_path / ("x" * 300))

    assert instance == Instance()
    assert len(warnings) == 1


@pytest.mark.parametrize(
    ("roles", "is_v3"),
    [([], False), (["rack_connect"], False), (["rackconnect:v3"], True), ([7, None], False)],
)
def test_rackconnect_v3_is_told_by_a_role(tmp_path: Path, roles: list[object], is_v3: bool) -> None:
    """Such a server is not ours."""
    instance, _ = read_text(tmp_path, json.dumps({"roles": roles}))

    assert is_v3 == instance.is_rackconnect_v3


@settings(max_examples=300, deadline=None)
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["region", "roles", "servicenet_mac", "servicenet_router", "x"]), inner
    ),
))  # fmt: skip
def test_no_json_breaks_it(tmp_path_factory: pytest.TempPathFactory, content: object) -> None:
    """Whatever the file says, there is an instance."""
    path = tmp_path_factory.getbasetemp() / "fuzzed.json"
    path.write_text(json.dumps(content))

    assert isinstance(read(path)[0], Instance)
