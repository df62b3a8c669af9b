"""Images and guests. A release's image is made once per run, from packages built now."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rcnetd.emulator.certificates import Authority
from rcnetd.topology import Topology
from tests.boot.guest import Guest, Overlay, bake, chroot, configure, remove
from tests.boot.trees import TOOLS, cache, tree
from tests.conftest import missing

TREE = Path(__file__).parent.parent.parent
MakeGuest = Callable[..., Guest]


@pytest.fixture(scope="session")
def _lab() -> None:
    """This machine can boot guests, or the test is skipped (in CI: fails)."""
    lacking = [name for name in TOOLS if shutil.which(name) is None]
    if lacking:
        missing("boot", f"not installed: {', '.join(lacking)}")
    if os.geteuid() != 0:
        missing("boot", "whole guests need root")


@pytest.fixture(scope="session")
def packages(_lab: None) -> list[Path]:
    """The DEB packages, built from this tree."""
    subprocess.run([TREE / "packaging/build-deb"], check=True, stdout=subprocess.DEVNULL)
    return sorted((TREE / "dist").glob("rcnetd_*.deb"))


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Who signs the API's certificates; every image trusts it."""
    return Authority()


@pytest.fixture(scope="session")
def workplace(_lab: None) -> Iterator[Path]:
    """Where the overlays are: beside the trees, on the same disk; what killed runs left goes."""
    for path in cache().glob("run-*"):
        with contextlib.suppress(BlockingIOError), locked(path):
            remove(path)
    path = Path(tempfile.mkdtemp(prefix="run-", dir=cache()))
    with locked(path):
        yield path
        remove(path)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a directory while it is in use; BlockingIOError: another run does."""
    lock = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(lock)


@pytest.fixture(scope="session")
def images(
    workplace: Path, packages: list[Path], authority: Authority
) -> Callable[[str], list[Path]]:
    """The layers of a release's baked image, the uppermost first."""
    made: dict[str, Path] = {}

    def image(release: str) -> list[Path]:
        if release not in made:
            overlay = Overlay(workplace / release, [tree(release)])
            try:
                install(overlay.root, packages)
                bake(overlay.root, authority)
            finally:
                overlay.close()
            made[release] = overlay.changes
        return [made[release], tree(release)]

    return image


def install(root: Path, packages: list[Path]) -> None:
    """Install packages into a tree, as `apt install ./x.deb` does, without the network."""
    for package in packages:
        shutil.copy(package, root / "tmp")
    chroot(root, "dpkg", "-i", *(f"/tmp/{package.name}" for package in packages))


@pytest.fixture
def make_guest(
    images: Callable[[str], list[Path]], authority: Authority, workplace: Path
) -> Iterator[MakeGuest]:
    """Make a guest of a release and a network manager; both its disk and network go at the end."""
    with contextlib.ExitStack() as stack:

        def make(release: str, manager: str, metric: int = 0) -> Guest:
            path = Path(tempfile.mkdtemp(prefix="guest-", dir=workplace))
            stack.callback(remove, path)
            overlay = Overlay(path, images(release))
            stack.callback(overlay.close)
            configure(overlay.root, manager, metric)
            topology = stack.enter_context(Topology())
            guest = Guest(overlay.root, manager, topology, authority)
            stack.callback(guest.close)
            return guest

        yield make
