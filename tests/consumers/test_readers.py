"""Our readers against the programs whose rules they follow: what counts, and what does not."""

from __future__ import annotations

from pathlib import Path
from posixpath import basename

import pytest

from rcnetd.core.settings import PublicInterface
from rcnetd.hostconfig.renderers.keyfile_loader import is_read, load
from rcnetd.hostconfig.renderers.keyfile_profile import ETC
from rcnetd.hostconfig.renderers.marked_edits import documents
from rcnetd.hostconfig.renderers.model import File, Tree
from tests.boot.trees import RELEASES
from tests.consumers.conftest import Lab
from tests.consumers.images import image
from tests.consumers.programs import CONSUMERS, NETWORK_MANAGER, SETTLE
from tests.consumers.server import booted, world
from tests.support.trees import target_of

IPV4, IPV6 = "[ipv4]\nmethod=manual\naddress1=192.0.2.10/24\n", "[ipv6]\nmethod=ignore\n"
SECTIONS = {
    "complete": IPV4 + IPV6,
    "without": "",
    "without-ipv6": IPV4,
    "empty-ipv6": f"{IPV4}[ipv6]\n",
    "ipv6-without-method": f"{IPV4}[ipv6]\naddr-gen-mode=0\n",
    "empty-ipv4": f"[ipv4]\n{IPV6}",
    "ipv4-without-method": f"[ipv4]\nroute1=198.51.100.0/24,192.0.2.1\n{IPV6}",
    "empty-method": f"[ipv4]\nmethod=\n{IPV6}",
    "unknown-method": f"[ipv4]\nmethod=dhcp\n{IPV6}",
    "no-address": f"[ipv4]\nmethod=manual\n{IPV6}",
    "address-and-disabled": f"[ipv4]\nmethod=disabled\naddress1=192.0.2.10/24\n{IPV6}",
    "gateway-alone": f"[ipv4]\nmethod=auto\ngateway=192.0.2.1\n{IPV6}",
    "damaged": f"{IPV4}{IPV6}nonsense\n",
}


def profile(name: str, rest: str = IPV4 + IPV6) -> bytes:
    """A profile for a link that is not there."""
    return f"[connection]\nid={name}\ntype=ethernet\ninterface-name=none\n{rest}".encode()


def keyfiles() -> Tree:
    """Keyfiles of every kind, each with an ID that is its name."""
    found = {
        f"{name}.nmconnection": File(profile(name, SECTIONS[name]), 0o600) for name in SECTIONS
    }
    for name in ("plain", "a.bak", "a.orig", "a~", ".b", "a.pem", "a.der", "a.DER", "a.abcdef"):
        found[name] = File(profile(name), 0o600)
    found["nul.der"] = File(b"\0", 0o600)
    found["nul.nmconnection"] = File(b"\0", 0o600)
    for name, mode in (("readable", 0o644), ("group", 0o640), ("executable", 0o700)):
        found[f"{name}.nmconnection"] = File(profile(name), mode)
    found["another-owner.nmconnection"] = File(profile("another-owner"), 0o600, uid=1)
    return {f"{ETC}/{name}": file for name, file in found.items()}


@pytest.mark.parametrize("release", RELEASES)
def test_networkmanager_loads_the_profiles_that_we_do(lab: Lab, release: str) -> None:
    """By name, mode, owner, and what is in them."""
    del lab  # needed is what it needs
    files = keyfiles()
    consumer = next(one for one in CONSUMERS if one.name == "network-manager")
    script = NETWORK_MANAGER.replace(
        "NetworkManager\n", f"chown 1 {ETC}/another-owner.nmconnection\nNetworkManager\n", 1
    )
    list_them = "echo; nmcli --terse --fields FILENAME connection | sed 's/^/loaded:/'\n"
    target = target_of("network_manager", "nmcli", PublicInterface.NO_DEFAULT)
    with (
        world(target, files) as made,
        booted(
            image(consumer.name, release), consumer.disk(files),
            f"set -e\n{script}{list_them}{SETTLE}", made.server,
        ) as said,
    ):  # fmt: skip
        found = {
            Path(line.partition(":")[2]).name
            for line in said.splitlines()
            if line.startswith(f"loaded:{ETC}/")
        }
    counted = {
        path: file for path, file in files.items() if is_read(path) and b"\0" not in file.data
    }
    ours = {basename(one.path) for one in load(counted, documents(counted)).profiles}
    assert ours == found
