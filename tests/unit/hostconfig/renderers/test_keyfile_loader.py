"""Which keyfiles NetworkManager loads."""

from __future__ import annotations

import pytest

from rcnetd.hostconfig.renderers.keyfile_loader import candidates, first_choices, is_read, load
from rcnetd.hostconfig.renderers.marked_edits import documents
from rcnetd.hostconfig.renderers.model import File, HostLink

ETC, RUN, LIB = (f"{top}/NetworkManager/system-connections" for top in ("/etc", "/run", "/usr/lib"))
UUID = "5f4b0a7e-6f0e-4c7e-9c53-0b8f1a3f1d11"
NO_UUID = "[connection]\ntype=ethernet\ninterface-name=eth1\n"
TEXT = f"{NO_UUID}uuid={UUID}\n"
LINK = HostLink("eth1", "bc:76:4e:20:6c:5b")


def loaded(**files: str | File) -> list[str]:
    """The files that NetworkManager loads: `etc_a=…` is `a.nmconnection` in /etc."""
    places = {"etc": ETC, "run": RUN, "lib": LIB}
    tree = {}
    for name, content in files.items():
        place, _, base = name.partition("_")
        file = content if isinstance(content, File) else File(content.encode(), 0o600)
        tree[f"{places[place]}/{base}.nmconnection"] = file
    return [profile.path for profile in load(tree, documents(tree)).profiles]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"{ETC}/eth0", True),
        (f"{ETC}/eth0.nmconnection", True),
        (f"{ETC}/eth0.nmconnection.bak", True),
        (f"{ETC}/eth0.nmconnection.orig", True),
        (f"{ETC}/eth0.nmconnection.rpmsave", True),
        (f"{ETC}/eth0.rpmnew", False),  # six letters, as of mkstemp
        (f"{ETC}/eth0.backup", False),
        (f"{ETC}/eth0.x1Y2z3", False),
        (f"{ETC}/eth0~", False),
        (f"{ETC}/.eth0.swp", False),
        (f"{ETC}/vpn.der", False),
        (f"{ETC}/vpn.PEM", False),
        (f"{ETC}/.pem", False),
        (f"{ETC}/{UUID}.nmmeta", True),
        (f"{RUN}/eth0", False),
        (f"{RUN}/eth0.nmconnection", True),
        (f"{RUN}/.nmconnection", False),
        (f"{LIB}/eth0.nmconnection.bak", False),
        (f"{LIB}/{UUID}.nmmeta", False),
        ("/etc/NetworkManager/NetworkManager.conf", True),
        ("/usr/lib/NetworkManager/conf.d/10-x.conf", True),
        ("/etc/NetworkManager/conf.d/10-x.conf.bak", False),
    ],
)
def test_names_that_count(path: str, expected: bool) -> None:
    """In /etc almost every name does."""
    assert is_read(path) is expected


def test_a_uuid_is_loaded_once() -> None:
    """/run comes before /etc, /etc before /usr/lib."""
    assert loaded(lib_a=TEXT, etc_b=TEXT, run_c=TEXT) == [f"{RUN}/c.nmconnection"]
    assert loaded(lib_a=TEXT, etc_b=TEXT) == [f"{ETC}/b.nmconnection"]


def test_within_a_directory_the_newest_file_counts() -> None:
    """Of equally old files, the last name counts."""
    older = File(TEXT.encode(), 0o600, mtime_ns=1)
    newer = File(TEXT.encode(), 0o600, mtime_ns=2)
    assert loaded(etc_a=newer, etc_b=older) == [f"{ETC}/a.nmconnection"]
    assert loaded(etc_a=older, etc_b=older) == [f"{ETC}/b.nmconnection"]


def test_names_tell_profiles_without_a_uuid_apart() -> None:
    """The same name in another directory is the same profile."""
    assert loaded(etc_a=NO_UUID, lib_a=NO_UUID) == [f"{ETC}/a.nmconnection"]
    assert len(loaded(etc_a=NO_UUID, lib_b=NO_UUID)) == 2


@pytest.mark.parametrize(
    ("tombstone", "hidden", "hides"),
    [(ETC, LIB, True), (ETC, ETC, True), (RUN, ETC, True), (ETC, RUN, False), (LIB, LIB, False)],
)
def test_a_tombstone_hides_a_profile(tombstone: str, hidden: str, hides: bool) -> None:
    """`nmcli connection delete` leaves a link to /dev/null for a profile in /usr/lib."""
    tree = {
        f"{tombstone}/{UUID}.nmmeta": File(b""),
        f"{hidden}/a.nmconnection": File(TEXT.encode(), 0o600),
    }
    assert bool(load(tree, documents(tree)).profiles) is not hides


def test_an_nmmeta_file_that_is_not_a_mask_hides_nothing() -> None:
    """It keeps notes of NetworkManager's own."""
    tree = {
        f"{ETC}/{UUID}.nmmeta": File(b"[nmmeta]\n", 0o600),
        f"{ETC}/a.nmconnection": File(TEXT.encode(), 0o600),
    }
    assert len(load(tree, documents(tree)).profiles) == 1


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (File(TEXT.encode(), 0o640), "others than root may access it"),
        (File(TEXT.encode(), 0o600, uid=1), "it does not belong to root"),
        (File(b"hello\n", 0o600), f"{ETC}/a:1: expected a section or 'key=value' in one"),
        (File(b"[connection]\nid=x\n", 0o600), "[connection] has no type"),
    ],
)
def test_a_file_that_is_ignored_has_a_reason(file: File, reason: str) -> None:
    """The reason is for the message that no profile brings the link up."""
    tree = {f"{ETC}/a": file}
    result = load(tree, documents(tree))
    assert result.profiles == []
    assert result.ignored[0].startswith(f"NetworkManager ignores '{ETC}/a': {reason}")


def test_the_highest_priority_is_tried_first() -> None:
    """The others are tried when it fails."""
    texts = {"a": 0, "b": 7, "c": 7, "d": 1000}
    tree = {
        f"{ETC}/{name}": File(f"{NO_UUID}autoconnect-priority={value}\n".encode(), 0o600)
        for name, value in texts.items()
    }
    profiles = load(tree, documents(tree)).profiles
    assert [one.path for one in first_choices(profiles, LINK)] == [f"{ETC}/b", f"{ETC}/c"]
    assert len(candidates(profiles, LINK)) == 4
    assert first_choices(profiles, HostLink("eth9")) == []


@pytest.mark.parametrize(
    ("text", "metric"),
    [
        ("[connection]\nipv4.route-metric=0\n", 0),
        ("[connection-eth]\nmatch-device=type:ethernet\nipv4.route-metric=7\n", 7),
        ("[connection]\nipv4.route-metric=500\n", 100),
        ("[connection]\nipv4.route-metric=-1\n", 100),
        ("[main]\nipv4.route-metric=0\n", 100),
        ("hello\n", 100),
    ],
)
def test_networkmanager_conf_may_give_another_metric(text: str, metric: int) -> None:
    """The lowest one that a profile may get counts."""
    tree = {
        "/etc/NetworkManager/conf.d/9.conf": File(text.encode()),
        f"{ETC}/a": File(NO_UUID.encode(), 0o600),
    }
    (profile,) = load(tree, documents(tree)).profiles
    assert profile.metric == metric
