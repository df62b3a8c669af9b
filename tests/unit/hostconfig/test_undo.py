"""The record of what was there, and the way back from it."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Interface

import pytest

from rcnetd.basic.dataclass import replace
from rcnetd.core.model import METRIC, PROTOCOL, Address, Link, Network, Route
from rcnetd.hostconfig.renderers.marked_edits import HEADER, OFF
from rcnetd.hostconfig.renderers.model import Change, File
from rcnetd.hostconfig.undo import FileRecord, Implausible, RevertRecord, parse, plan_restore

A = "/etc/a"
OLD, NEW = File(b"old\xff", 0o640, 1, 2), f"{OFF}old\n".encode()
GATEWAY = IPv4Address("10.180.31.254")
ETH0, ETH1 = Link(2, "eth0", "00:00:00:00:00:02"), Link(3, "eth1", "00:00:00:00:00:03")
OURS = Route(3, GATEWAY, METRIC, PROTOCOL, raw=b"ours")
REMOVED = Route(2, IPv4Address("203.0.113.1"), 0, 4, raw=b"old")
NETWORK = Network(
    links=(ETH0, ETH1),
    addresses=(Address(2, IPv4Interface("203.0.113.10/24")),),
    defaults=(OURS,),
)


def test_outlives_being_written() -> None:
    """With bytes that are not UTF-8, and files that were not there."""
    undo = RevertRecord(
        {A: FileRecord(OLD, (NEW, None)), "/etc/b": FileRecord(None, (b"",))},
        ("/etc/c",),
        ({"raw": "00"},),
        ({"mac": ""},),
        "boot",
    )
    assert undo == parse(undo.text().encode())


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 2}', '{"version": 1, "files": 5}'])
def test_a_damaged_record_is_said(text: str) -> None:
    """By the errors that its reader knows."""
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        parse(text.encode())


FILE = {"data": "", "mode": 0o644, "uid": 0, "gid": 0}


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("/usr/bin/x", FILE),
        ("etc/x", FILE),
        ("/etc/../usr/bin/x", FILE),
        ("/etc/x\0", FILE),
        ("/etc/x", {**FILE, "mode": 0o4755}),
        ("/etc/x", {**FILE, "mode": 0o2755}),
        ("/etc/x", {**FILE, "mode": -1}),
        ("/etc/x", {**FILE, "uid": -1}),
    ],
)
def test_what_rcnetd_never_writes_is_refused(path: str, file: dict[str, object]) -> None:
    """A record may come from somebody else's image."""
    record = json.loads(RevertRecord({A: FileRecord(OLD, ())}).text())
    record["files"] = {path: {"before": file, "ours": []}}
    with pytest.raises(Implausible):
        parse(json.dumps(record).encode())


def original(record: RevertRecord, now: File | None) -> File | None:
    """The file without anything of ours."""
    return record.originals({A: now})[A]


def changed(record: RevertRecord, now: File | None, data: bytes | None) -> RevertRecord:
    """The record after the file was given other content."""
    present = {A: now}
    original = record.without_ours({} if now is None else {A: now})
    made = {A: Change(data)}
    return record.before_write(present, original, made).after_write(made)


def test_a_file_s_story() -> None:
    """First edited, edited again for another policy, then as it was."""
    before = File(b"old\n")
    before_write = RevertRecord().before_write({A: before}, {A: before}, {A: Change(NEW)})
    assert FileRecord(before, (b"old\n", NEW)) == before_write.files[A]
    first = before_write.after_write({A: Change(NEW)})
    assert FileRecord(before, (NEW,)) == first.files[A]
    second = changed(first, File(NEW), b"2")
    assert FileRecord(before, (b"2",)) == second.files[A]
    assert {} == changed(second, File(b"2"), b"old\n").files


def test_after_a_crash_the_file_is_known() -> None:
    """Be it as it was before the change or as it was to become; with mode and owner."""
    record = RevertRecord().before_write({A: OLD}, {A: OLD}, {A: Change(NEW)})
    for data in (OLD.data, NEW):
        assert OLD == original(record, File(data, 0o600))


def test_the_record_follows_another_agent() -> None:
    """What it has written is what was before; without our edits, if it took them along."""
    undo = RevertRecord({A: FileRecord(OLD, (NEW,))})
    anew = File(b"anew\n")
    assert {} == undo.current({A: anew}).files
    assert anew == original(undo, anew)
    ours = File(b"anew\n" + NEW)
    assert undo == undo.current({A: ours})
    assert File(b"anew\nold\n") == original(undo, ours)
    own = File(HEADER.encode())
    assert original(undo, own) is None
    assert original(undo, None) is None
    assert original(undo, replace(OLD, mode=0o600)) == replace(OLD, mode=0o600)


def test_the_way_back_makes_before_it_breaks() -> None:
    """Old routes come back; ours goes only where another is there then."""
    back = plan_restore([REMOVED, OURS], [(ETH0.mac, ()), ("00:00:00:00:00:09", ())], NETWORK)
    assert (((2, ()),), (REMOVED,), (OURS,)) == (back.links, back.routes, back.ours)
    assert () == plan_restore([], [], NETWORK).ours
    assert () == plan_restore([replace(REMOVED, ifindex=9)], [], NETWORK).routes
    both = replace(NETWORK, defaults=(OURS, REMOVED))
    assert ((), (OURS,)) == (
        plan_restore([REMOVED], [], both).routes,
        plan_restore([REMOVED], [], both).ours,
    )
