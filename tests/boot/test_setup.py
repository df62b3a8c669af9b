"""A checkout on a minimal Debian: what setting it up installs, and what it leaves as it is."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.boot.conftest import TREE, disk
from tests.boot.guest import chroot
from tests.boot.trees import RELEASES, alone, cached_tree

pytestmark = pytest.mark.shipping

BEHIND = ("libsystemd0", "libc6", "libc-bin")  # what a compiler and libsystemd's headers upgrade
DEMO = "/checkout/packaging/demo"


def packages(root: Path) -> dict[str, str]:
    """The versions of the packages that a tree has."""
    lines = chroot(root, "dpkg-query", "-W").splitlines()
    return {name: version for name, version in (line.split("\t") for line in lines)}


def put_checkout(root: Path) -> None:
    """What is needed of one, and the way to Debian's packages."""
    for part in ("packaging", "rcnetd"):
        shutil.copytree(
            TREE / part, root / "checkout" / part, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    # Some weeks behind: newer versions of these are to be had.
    status = root / "var/lib/dpkg/status"
    text = status.read_text(encoding="utf-8")
    for name in BEHIND:
        text, count = re.subn(
            rf"(?m)(^Package: {name}\n(?:.+\n)*?Version: .*)", r"\1~", text, count=1
        )
        assert count == 1
    status.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("release", RELEASES)
def test_the_demo_changes_nothing(workplace: Path, release: str) -> None:
    """It says what it lacks, installs that, upgrades and removes nothing, and has no compiler."""
    with alone():
        minimal = cached_tree(f"minimal-{release}", release, "apt")
    with disk(workplace, [minimal]) as overlay:
        root = overlay.root
        put_checkout(root)
        before = packages(root)
        with pytest.raises(AssertionError, match=r"missing \(.*\):.* python3-pyroute2"):
            chroot(root, DEMO, "--no-install")
        assert before == packages(root)

        said = chroot(root, DEMO)

        assert "done: READY=1 was sent, the kernel uses the route" in said
        assert "upgrading: nothing" in said
        after = packages(root)
        assert before.items() <= after.items()
        assert not {"gcc", "libc6-dev", "python3-dev", "python3-venv"} & after.keys()
        assert [] == [*(root / "tmp").iterdir(), *(root / "root").glob(".cache*")]
        assert "installing" not in chroot(root, DEMO), "it asked for packages twice"


def test_an_upgrade_is_refused(workplace: Path) -> None:
    """Of what is installed already: the line names it, and nothing happens."""
    release = RELEASES[1]
    with alone():
        minimal = cached_tree(f"minimal-{release}", release, "apt")
    with disk(workplace, [minimal]) as overlay:
        put_checkout(overlay.root)
        before = packages(overlay.root)
        with pytest.raises(AssertionError, match=r"would upgrade or remove .*libsystemd0"):
            chroot(overlay.root, "/checkout/packaging/apt-install", "libsystemd-dev")
        assert before == packages(overlay.root)
