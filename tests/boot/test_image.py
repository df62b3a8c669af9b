"""A golden image: checked before its snapshot, cleaned, and two servers made of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rcnetd.ctl.main import main
from tests.boot.conftest import Image, MakeGuest, disk
from tests.boot.guest import chroot, configure, write
from tests.boot.test_boot import DEPLOYED, NEWEST, check_ready
from tests.boot.test_persistence import until_persisted
from tests.boot.trees import RELEASES, tree
from tests.project.test_snippets import SNIPPETS


@pytest.mark.parametrize("release", RELEASES)
def test_a_baked_image_is_fit(images: Image, deb: Path, workplace: Path, release: str) -> None:
    """By its own Python and libraries: nothing FAILs; with wrong settings something does."""
    with disk(workplace, images(release, deb)) as overlay:
        configure(overlay.root, "netplan")
        said = chroot(overlay.root, "rcnetctl", "preflight")
        assert "FAIL" not in said
        for line in ("PASS: rcnetd.service is enabled", "PASS: region dfw", "PASS: pyroute2",
                     "PASS: systemd-networkd configures the network"):  # fmt: skip
            assert line in said

        write(overlay.root, "/etc/rcnetd/conf.d/lab.yaml", "regoin: dfw\n")
        with pytest.raises(AssertionError, match=r"FAIL: .*did you mean 'region'"):
            chroot(overlay.root, "rcnetctl", "preflight")


def test_servers_of_an_image_share_nothing(make_guest: MakeGuest) -> None:
    """The image has been booted before; cleaned, each of its servers begins as on a first boot."""
    guest = make_guest(NEWEST, "ifupdown")
    interfaces = (guest.root / "etc/network/interfaces").read_bytes()
    machines, memory = set(), guest.root / "var/lib/rcnetd/gateway.json"
    for _ in range(3):
        guest.emulate(DEPLOYED)
        with guest.boot():
            check_ready(guest)
            machines.add(guest.run("cat", "/etc/machine-id"))
            until_persisted(guest)
            assert "remembered" not in guest.run("journalctl", "-b", "-u", "rcnetd")
        guest.silence()
        assert memory.exists()
        write(guest.root, "/etc/machine-id", "")
        with pytest.raises(AssertionError, match="'rcnetctl revert' first"):
            chroot(guest.root, "rcnetctl", "clean", "--dry-run")
        assert 0 == main(["revert", "--root", str(guest.root)])
        assert interfaces == (guest.root / "etc/network/interfaces").read_bytes()
        said = chroot(guest.root, "rcnetctl", "clean")
        assert "removed /var/lib/rcnetd/gateway.json" in said
        assert not memory.exists()

    assert 3 == len(machines)


@pytest.mark.parametrize("release", RELEASES)
def test_the_readmes_way_to_bake(workplace: Path, images: Image, deb: Path, release: str) -> None:
    """Its lines in a bare tree of the release: installed, enabled, and fit."""
    with disk(workplace, [tree(release)]) as overlay:
        shutil.copy(deb, overlay.root / "tmp/rcnetd_0.1.0_all.deb")
        said = chroot(overlay.root, "sh", "-ec", f"cd /tmp\n{SNIPPETS['bake']}")
        assert "PASS: rcnetd.service is enabled" in said
        assert "PASS: region dfw" in said
        assert "FAIL: " not in said


def test_the_readmes_user_data(workplace: Path, images: Image, deb: Path) -> None:
    """cloud-init's own judgement of it."""
    with disk(workplace, images(NEWEST, deb)) as overlay:
        write(overlay.root, "/tmp/user-data", SNIPPETS["cloud-init"])
        said = chroot(overlay.root, "cloud-init", "schema", "--config-file", "/tmp/user-data")
        assert "Valid schema" in said
