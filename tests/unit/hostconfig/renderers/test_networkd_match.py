"""[Match] as networkd reads it; compared with systemd 252 and 262."""

from __future__ import annotations

import pytest

from rcnetd.basic.dataclass import replace
from rcnetd.hostconfig.renderers.marked_edits import Document
from rcnetd.hostconfig.renderers.model import CannotPersist, HostLink
from rcnetd.hostconfig.renderers.networkd_reader import Configuration, read
from tests.support.trees import PUBLIC, SERVICENET


def configuration(**files: str) -> Configuration:
    """Return these files, by the first part of their names."""
    paths = {f"/etc/systemd/network/{name}.network": text for name, text in files.items()}
    return read({path: Document(path, text.encode()) for path, text in paths.items()})


def unit_of(link: HostLink, **files: str) -> str | None:
    """Return the name of the file that configures a link."""
    unit = configuration(**files).of(link)
    return unit.name if unit else None


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ("Name=eth1", True),
        ("Name=eth0 eth*", True),
        ("Name=eth0", False),
        ("Name=!eth0", True),
        ("Name=!eth0 eth1", False),
        ("Name=eth0\nName=\nName=eth1", True),
        ("Name=e*\nName=!eth1", False),
        ("Name=!eth2 eth3", True),
        ("OriginalName=eth1", True),
        ("Name=eth0\nName=eth1", True),
        ("MACAddress=00:00:00:00:00:01 BC-76-4E-20-6C-5B", True),
        ("MACAddress=00:00:00:00:00:01", False),
        ("Type=ether\nName=e*", True),
        ("Type=wlan", False),
        ("Driver=x\nName=eth0", False),
        ("MACAddress=bc76.4e20.6c5b", True),
        ("MACAddress=bc:76:4e:20:6c:5b:00 nonsense", False),
        ("PermanentMACAddress=BC:76:4E:20:6C:5B\nName=eth1", True),
        ("Kind=veth\nName=eth1", False),
        ("Kind=!vlan\nName=eth1", True),
        ("Name=", False),
        ("", False),
        ("DNS=x", False),
    ],
)
def test_matches_as_networkd_does(match: str, fits: bool) -> None:
    """The first file that fits configures the link; one without a valid condition never fits."""
    text = f"[Match]\n{match}\n[Network]\nDHCP=yes\n"
    assert fits is (unit_of(SERVICENET, a=text) is not None)


def test_a_virtual_link_has_no_permanent_address() -> None:
    """A VLAN has the address of the link below, but the driver of that link alone says so."""
    vlan = replace(SERVICENET, name="vlan401", kind="vlan")
    files = dict(
        a="[Match]\nPermanentMACAddress=bc:76:4e:20:6c:5b\n",
        b="[Match]\nMACAddress=bc:76:4e:20:6c:5b\nType=ether\n",
        c="[Match]\nMACAddress=bc:76:4e:20:6c:5b\nKind=vlan\nType=vlan\n",
    )
    assert ("a.network", "c.network") == (unit_of(SERVICENET, **files), unit_of(vlan, **files))


@pytest.mark.parametrize("key", ["Driver", "Host", "Path", "Virtualization"])
def test_what_only_networkd_can_tell_is_refused(key: str) -> None:
    """But only where the rest of [Match] fits; until then it is taken to fit."""
    found = configuration(a=f"[Match]\nName=eth0\n{key}=x\n", b="[Match]\nName=eth1\n")
    assert (found.of(PUBLIC), found.of(SERVICENET)) == (found.units[0], found.units[1])
    found.units[1].match.require_no_condition(SERVICENET)
    with pytest.raises(CannotPersist, match=f"a.network:3: only networkd can tell.*{key}="):
        found.units[0].match.require_no_condition(PUBLIC)


@pytest.mark.parametrize(
    ("match", "is_it"),
    [
        ("Name=eth0", True),
        ("Name=eth0\nType=ether", True),
        ("MACAddress=BC-76-4E-20-6C-5A", True),
        ("Name=e*\nMACAddress=bc:76:4e:20:6c:5a", True),
        ("Name=eth0 eth2", False),
        ("Name=eth0\nName=eth2", False),
        ("Name=eth?", False),
        ("Name=eth[0]", False),
        ("Name=!eth1", False),
        ("MACAddress=bc:76:4e:20:6c:5a bc:76:4e:20:6c:5c", False),
        ("Type=ether", False),
    ],
)
def test_a_file_is_for_one_link_or_for_several(match: str, *, is_it: bool) -> None:
    """Only a file for one link may be changed for it."""
    unit = configuration(a=f"[Match]\n{match}\n").units[0]
    assert is_it is unit.match.is_for_one_link
