"""Files that root's programs read: the worst that a lie in each can do (rcnetd(8), SECURITY)."""

from __future__ import annotations

import json
import os
import re
import tempfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnetd.core.model import Network
from rcnetd.core.settings import REGIONS, Settings
from rcnetd.ctl.main import main
from rcnetd.ctl.revert import MAX_LIFETIME, _recorded, _set_down
from rcnetd.hostconfig import policy
from rcnetd.hostconfig.renderers.model import CannotPersist
from rcnetd.metadata.file import read as read_metadata
from rcnetd.netlink.decode import prefixlen
from rcnetd.store.budget import MAX_BLOCK, MAX_ENTRIES
from rcnetd.store.ledger import MAGIC, Ledger
from rcnetd.store.paths import Paths
from rcnetd.store.runtime import read_removed
from tests.support.fuzzing import fuzz
from tests.support.playbook import Playbook, World
from tests.support.unshared import TREE

ROWS = {
    "route.json": "test_the_route_is_the_kernel_s",
    "removed.json": "test_only_default_routes_are_put_back",
    "status.json, ready.json": "test_a_status_is_only_shown",
    "rcnetd.prom, timeline.jsonl": "test_a_link_shows_no_other_file",
    "requests": "test_a_ledger_that_lies",
    "metadata.json": "test_the_platform_says_only_what_has_its_form",
    "undo/record.json": "tests/unit/hostconfig/test_host.py",
}


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """The daemon's directories."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setenv("RCNETD_METADATA", str(tmp_path / "metadata.json"))
    (tmp_path / "run").mkdir()
    return Paths(tmp_path / "run", tmp_path / "state", tmp_path / "metadata.json")


def test_each_row_of_the_manual_has_its_test() -> None:
    """And no other."""
    manual = (TREE / "packaging/man/rcnetd.8.rst").read_text()
    section = manual.partition("SECURITY\n")[2].partition("SIGNALS\n")[0]
    assert [*ROWS] == re.findall(r"^(\S.*) \(written by .*\)$", section, re.MULTILINE)
    for name in ROWS.values():
        assert name in globals() or (TREE / name).exists()


@pytest.mark.parametrize("name", ["status", "metrics", "timeline", "route", "removed", "public"])
def test_a_link_shows_no_other_file(
    paths: Paths, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The daemon may read less than root: a link in its directory would name what root may."""
    secret = paths.run.parent / "secret"
    secret.write_text('{"version": 1, "event": "started", "at": 1, "root": "secret"}\nsecret\n')
    getattr(paths, name).symlink_to(secret)
    if name == "public":
        assert read_removed(paths) == {"routes": [], "links": []}
    for command in ("status", "status --json", "status --format prometheus", "analyze", "persist"):
        main(command.split())
        out, error = capsys.readouterr()
        assert "secret" not in out + error


@pytest.mark.parametrize(
    ("gateway", "why"),
    [
        ("203.0.113.1", "is not in"),
        ("10.180.31.255", "broadcast"),
        ("10.180.1.2", "own"),
        ("127.0.0.1", "nothing is written"),
        ("255.255.255.255", "nothing is written"),
        ("10.180.31.254", "is not by gateway"),
    ],
)
def test_the_route_is_the_kernel_s(gateway: str, why: str) -> None:
    """Not ServiceNet's, or not in effect: nothing is written."""
    book = Playbook(World()).look()
    network: Network = book.machine.facts.network
    servicenet = book.machine.facts.servicenet
    assert servicenet is not None
    address = policy.gateway_of(json.dumps({"version": 1, "gateway": gateway}).encode())

    def require() -> None:
        policy.require_valid_gateway(address, servicenet, network, Settings())
        policy.require_in_effect(address, servicenet, network)

    with pytest.raises(CannotPersist, match=why):
        require()


@pytest.mark.parametrize(
    "route",
    [b"", b"[]", b"{}", b'{"version": 1, "gateway": 1}', b'{"version": 1, "gateway": "::1"}',
     b'{"version": 1, "gateway": "10.0.0.1; reboot"}', b"[" * 4096],
)  # fmt: skip
def test_a_route_of_another_form(route: bytes) -> None:
    """Nothing of it is used."""
    with pytest.raises(CannotPersist, match="is damaged"):
        policy.gateway_of(route)


@fuzz(100)
@given(
    entries=st.lists(
        st.one_of(
            st.none(),
            st.text(max_size=9),
            st.fixed_dictionaries(
                {
                    "raw": st.one_of(st.none(), st.binary(max_size=90).map(bytes.hex)),
                    "expires": st.one_of(st.integers(), st.none(), st.just("x")),
                }
            ),
        ),
        max_size=5,
    )
)
def test_only_default_routes_are_put_back(entries: list[object]) -> None:
    """Whatever else the daemon says that it has removed; lifetimes are the kernel's."""
    for one in _recorded(entries):
        assert prefixlen(one.raw) == 0
        assert 0 <= one.expires <= MAX_LIFETIME
    assert [] == _set_down([{"mac": "x", "addresses": ["; reboot"]}, {}, None])


@pytest.mark.parametrize("pid", [0, -1, 1, 2**40, "1", None])
def test_a_status_is_only_shown(
    paths: Paths, pid: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No process is signalled for it, whatever it says of the daemon's."""
    sent = []
    monkeypatch.setattr(os, "kill", lambda number, what: sent.append((number, what)))
    paths.status.write_text(json.dumps({"version": 1, "pid": pid, "exit": {"code": 10**9}}))
    main(["status"])
    assert {0} >= {what for _, what in sent}
    assert all(number > 0 for number, _ in sent)
    assert "Traceback" not in capsys.readouterr().err


NUMBERS = st.one_of(
    st.integers(-(10**20), 10**20), st.floats(), st.sampled_from(["nan", "inf", "-inf", "9" * 5000])
)


@fuzz(100)
@given(words=st.lists(NUMBERS, min_size=2, max_size=200))
def test_a_ledger_that_lies(words: list[object]) -> None:
    """With a checksum that is right: an hour at most, and never more than the limit at once."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "requests")
        text = " ".join(map(str, words))
        path.write_text(f"{MAGIC} {zlib.crc32(text.encode()):08x} {text}\n")
        ledger = Ledger(path, 18, clock=lambda: 1000.0)
        budget = ledger.view()
        assert 0 <= budget.blocked_for <= MAX_BLOCK
        assert budget.used <= MAX_ENTRIES
        taken = 0
        while ledger.take(deadline=10.0)[0] is not None:
            taken += 1
        assert taken <= 18
        assert path.stat().st_size < 16 * 1024


def test_a_ledger_that_is_no_file_of_the_daemon_s(tmp_path: Path) -> None:
    """A link to a file of root's is not written to."""
    (tmp_path / "precious").write_text("kept\n")
    (tmp_path / "requests").symlink_to("precious")
    with pytest.raises(OSError, match=r"Too many levels|Not a ledger"):
        Ledger(tmp_path / "requests", 18).view()
    assert "kept\n" == (tmp_path / "precious").read_text()


def test_the_platform_says_only_what_has_its_form(tmp_path: Path) -> None:
    """Anything else is ignored with a warning."""
    path, lie = tmp_path / "metadata.json", "$(reboot)\n../../etc"
    keys = ("region", "servicenet_mac", "servicenet_address", "public_mac", "public_address",
            "servicenet_router", "configure_network_stack")  # fmt: skip
    path.write_text(json.dumps(dict.fromkeys(keys, lie)))
    found, warnings = read_metadata(path)
    assert [None] * len(keys) == [getattr(found, key) for key in keys]
    assert len(keys) == len(warnings)
    for region in REGIONS:
        path.write_text(json.dumps({"region": region, "servicenet_router": "127.0.0.1"}))
        assert (region, None) == (read_metadata(path)[0].region, found.servicenet_router)
