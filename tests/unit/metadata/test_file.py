"""What the platform says of this server, read from a file that may be anything."""

from __future__ import annotations

import json
import os
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnetd.core.settings import Metadata
from rcnetd.metadata.file import MAX_SIZE, read
from tests.support.fuzzing import fuzz

WHOLE = {
    "region": "DFW",
    "region_source": "xenstore",
    "roles": ["rack_connect", "identity:user-admin"],
    "servicenet_mac": "BC:76:4E:20:A1:0B",
    "public_mac": "bc:76:4e:20:a1:0c",
    "servicenet_router": "10.208.224.1",
    "configure_network_stack": "DISABLED",
}


def read_json(tmp_path: Path, content: Any) -> tuple[Metadata, list[str]]:
    """What is read of *content* as JSON."""
    path = tmp_path / "metadata.json"
    path.write_text(json.dumps(content))
    return read(path)


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    """Regions and MACs come in any case and are lower case inside."""
    metadata, warnings = read_json(tmp_path, WHOLE)

    assert [] == warnings
    assert (
        Metadata(
            region="dfw",
            region_source="xenstore",
            roles=("rack_connect", "identity:user-admin"),
            servicenet_mac="bc:76:4e:20:a1:0b",
            public_mac="bc:76:4e:20:a1:0c",
            servicenet_router=IPv4Address("10.208.224.1"),
            configure_network_stack=False,
        )
        == metadata
    )


def test_no_file_is_no_instance_data(tmp_path: Path) -> None:
    """A host that is no Xen guest has none: that is no reason to warn."""
    assert (Metadata(), []) == read(tmp_path / "metadata.json")


@pytest.mark.parametrize("content", [{}, dict.fromkeys(WHOLE), {"version": 1, "new_key": [1]}])
def test_everything_may_be_absent(tmp_path: Path, content: dict[str, Any]) -> None:
    """Absent, null, or of a later version: nothing is said, and nothing is warned of."""
    assert (Metadata(), []) == read_json(tmp_path, content)


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ([], False),
        (["rack_connect"], False),
        (["a", "rackconnect:v3"], True),
        (["x:rackconnect:v3-lon"], True),
        (["r"] * 1000 + ["rackconnect:v3"], True),
    ],
)
def test_rackconnect_v3_is_in_the_roles(tmp_path: Path, roles: list[str], expected: bool) -> None:
    """Any role that has it, wherever it stands."""
    metadata, _ = read_json(tmp_path, {"roles": roles})

    assert expected == metadata.is_rackconnect_v3


@pytest.mark.parametrize(
    ("text", "expected"),
    [("ENABLED", True), ("DISABLED", False), ("enabled", True), ('"ENABLED"\n', True)],
)
def test_the_feature_is_a_word(tmp_path: Path, text: str, expected: bool) -> None:
    """As the metadata writes it, and as xenstore quotes it."""
    metadata, warnings = read_json(tmp_path, {"configure_network_stack": text})

    assert (expected, []) == (metadata.configure_network_stack, warnings)


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("region", "fra", "'fra'"),
        ("region", "{}", "'{}'"),
        ("region", "", "''"),
        ("region", "d\nfw", "'d fw'"),
        ("region", "x" * 1000, f"'{'x' * 80}'"),
        ("region", ["dfw"], "a list"),
        ("region_source", 5, "a int"),
        ("servicenet_mac", "bc:76:4e:20:a1", "'bc:76:4e:20:a1'"),
        ("public_mac", "bc:76:4e:20:a1:0g", "'bc:76:4e:20:a1:0g'"),
        ("servicenet_router", "10.208.224", "'10.208.224'"),
        ("servicenet_router", "::1", "'::1'"),
        ("servicenet_router", "0.0.0.0", "'0.0.0.0'"),
        ("servicenet_router", "127.0.0.1", "'127.0.0.1'"),
        ("servicenet_router", "224.0.0.1", "'224.0.0.1'"),
        ("servicenet_router", "255.255.255.255", "'255.255.255.255'"),
        ("configure_network_stack", "MAYBE", "'MAYBE'"),
        ("configure_network_stack", True, "a bool"),
    ],
)
def test_what_is_not_usable_is_left_out_with_a_warning(
    tmp_path: Path, key: str, value: Any, shown: str
) -> None:
    """The other keys stay usable; the warning is one line that names file, key and value."""
    metadata, warnings = read_json(tmp_path, {**WHOLE, key: value})
    path = tmp_path / "metadata.json"

    assert [f"'{path}': {key} is {shown}, which is not usable, ignoring"] == warnings
    assert getattr(metadata, key) is None
    assert ("rack_connect", "identity:user-admin") == metadata.roles


@pytest.mark.parametrize(
    ("roles", "usable"),
    [("rackconnect:v3", ()), ({"a": 1}, ()), (0, ()), (["a", None, ["b"], "c"], ("a", "c"))],
)
def test_roles_that_are_no_words_are_left_out(
    tmp_path: Path, roles: Any, usable: tuple[str, ...]
) -> None:
    """The words among them stay."""
    metadata, warnings = read_json(tmp_path, {"roles": roles})

    assert usable == metadata.roles
    assert 1 == len(warnings)
    assert "roles is not a list of words" in warnings[0]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"[]", "it is not a JSON object"),
        (b"null", "it is not a JSON object"),
        (b"\xff\xfe\xfd", "codec can't decode"),
        (b"[" * 60_000, ""),
        (b'{"region": ' * 5000, ""),
        (b" " * (MAX_SIZE + 1), "is larger than"),
    ],
)
def test_a_damaged_file_is_no_instance_data(tmp_path: Path, data: bytes, reason: str) -> None:
    """A warning of one line, and the settings decide."""
    path = tmp_path / "metadata.json"
    path.write_bytes(data)
    metadata, warnings = read(path)

    assert Metadata() == metadata
    (warning,) = warnings
    assert warning.startswith(f"Failed to read '{path}': ")
    assert reason in warning
    assert warning.endswith(", ignoring")
    assert warning.isprintable()


def test_what_is_no_file_is_no_instance_data(tmp_path: Path) -> None:
    """A pipe blocks nobody, a link in a circle is an error with its reason."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")

    assert "is not a regular file" in read(tmp_path / "pipe")[1][0]
    assert "symbolic links" in read(tmp_path / "circle")[1][0]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=5,
)


@fuzz(200)
@given(content=st.dictionaries(st.sampled_from(sorted(WHOLE)), JSON))
def test_nothing_in_it_raises(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    """Whatever the values are: the types of an `Metadata` are right, and warnings are one line."""
    metadata, warnings = read_json(tmp_path_factory.getbasetemp(), content)

    assert metadata.region is None or metadata.region in ("dfw", "hkg", "iad", "lon", "ord", "syd")
    assert all(isinstance(role, str) for role in metadata.roles)
    assert isinstance(metadata.configure_network_stack, (bool, type(None)))
    assert all(warning.isprintable() for warning in warnings)
