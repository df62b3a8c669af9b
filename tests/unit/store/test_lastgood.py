"""`gateway.json`: what was written is read again, anything else is a first boot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnetd.basic.dataclass import replace
from rcnetd.store.lastgood import load, machine_id, save
from tests.support.fuzzing import fuzz
from tests.unit.core.test_lastgood import MEMORY, OFF

ID = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("memory", [MEMORY, OFF, replace(MEMORY, deployed=False)])
def test_what_is_saved_is_loaded(tmp_path: Path, memory: object) -> None:
    """With its directory, readable by the daemon alone."""
    path = tmp_path / "state" / "gateway.json"
    save(path, memory)  # type: ignore[arg-type] # parametrized

    assert (memory, []) == load(path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_no_file_is_a_first_boot(tmp_path: Path) -> None:
    """And no reason for a warning."""
    assert (None, []) == load(tmp_path / "gateway.json")


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"\0" * 400,
        b"[" * 4000,
        b"x" * 5000,
    ],
)
def test_a_damaged_file_is_one_warning(tmp_path: Path, damage: bytes) -> None:
    """A torn write, another program's file: the boot goes on as a first one."""
    path = tmp_path / "gateway.json"
    path.write_bytes(damage)

    memory, warnings = load(path)

    assert memory is None
    assert [f"'{path}' is damaged, going on as on a first boot"] == warnings


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", 2),
        ("machine_id", None),
        ("endpoint", 7),
        ("mac", []),
        ("address", 180),
        ("address", "10.180.1.2/99"),
        ("configured_by", "maybe"),
        ("configured_by", "rackconnect"),
        ("gateway", None),
        ("gateway", 176160510),
        ("gateway", "10.180.31.254\n"),
        ("deployed", "yes"),
        ("deployed", ...),
    ],
)
def test_every_value_is_checked(tmp_path: Path, key: str, value: Any) -> None:
    """Right types and forms, or nothing is used."""
    path = tmp_path / "gateway.json"
    save(path, MEMORY)
    content = json.loads(path.read_text())
    content.pop(key)
    if value is not ...:
        content[key] = value
    path.write_text(json.dumps(content))

    memory, warnings = load(path)

    assert memory is None
    assert 1 == len(warnings)


def test_what_cannot_be_read_is_one_warning(tmp_path: Path) -> None:
    """The reason is the system's."""
    loop = tmp_path / "gateway.json"
    loop.symlink_to(loop)
    memory, warnings = load(loop)

    assert memory is None
    assert "Too many levels of symbolic links, going on as on a first boot" in warnings[0]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (f"{ID}\n", ID),
        (ID, ID),
        ("", ""),
        ("uninitialized\n", ""),
        (ID.upper(), ""),
        ("\xff", ""),
        ("x" * 100, ""),
        (None, ""),
    ],
)
def test_machine_id(tmp_path: Path, content: str | None, expected: str) -> None:
    """As machine-id(5) has it; an image that has not booted has none."""
    path = tmp_path / "machine-id"
    if content is not None:
        path.write_text(content, encoding="latin-1")

    assert expected == machine_id(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20)
    | st.sampled_from(["on", "off", "10.180.1.2/19", "10.180.31.254", "0" * 32]),
    lambda inner: st.lists(inner, max_size=3), max_leaves=5,
)  # fmt: skip
KEYS = st.sampled_from(
    ["version", "machine_id", "endpoint", "mac", "address", "configured_by", "gateway", "deployed",
     "api_address"]
)  # fmt: skip


@fuzz(200)
@given(st.binary(max_size=300) | st.dictionaries(KEYS, JSON).map(lambda x: json.dumps(x).encode()))
def test_any_file_is_a_memory_or_a_warning(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    """Never an exception, never a part of one."""
    path = tmp_path_factory.getbasetemp() / "fuzzed-gateway.json"
    path.write_bytes(data)

    memory, warnings = load(path)
    assert (memory is None) is bool(warnings)
