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
from typing import Optional, cast

import pytest

from rcnetd.emulator.certificates import Authority
from rcnetd.lab.topology import Topology
from tests.boot.guest import Guest, Overlay, bake, chroot, configure, remove
from tests.boot.trees import TOOLS, alone, cache, tree
from tests.conftest import missing

TREE = Path(__file__).parent.parent.parent
MakeGuest = Callable[..., Guest]
Image = Callable[[str, Optional[Path]], list[Path]]


@pytest.fixture(scope="session")
def _lab() -> None:
    """This machine can boot guests, or the test is skipped (in CI: fails)."""
    lacking = [name for name in TOOLS if shutil.which(name) is None]
    if lacking:
        missing("boot", f"not installed: {', '.join(lacking)}")
    if os.geteuid() != 0:
        missing("boot", "whole guests need root")


@pytest.fixture(scope="session")
def deb(workplace: Path) -> Path:
    """The DEB package, built from this tree."""
    return build("packaging/build-deb", "rcnetd_*.deb", workplace)


@pytest.fixture(scope="session")
def rpm(workplace: Path) -> Path:
    """The RPM package, built from this tree."""
    return build("packaging/build-rpm", "rcnetd-[0-9]*.rpm", workplace)


def build(command: str, name: str, place: Path) -> Path:
    """Build packages into an empty `dist/`; returns a copy of the one of that name in *place*.

    `RCNETD_PACKAGES` names a directory that has them already.
    """
    made = os.environ.get("RCNETD_PACKAGES")
    if made:
        (package,) = Path(made).glob(name)
        return Path(shutil.copy2(package, place))
    with alone():
        for old in (TREE / "dist").glob(name):
            old.unlink()
        subprocess.run([TREE / command], check=True, stdout=subprocess.DEVNULL)
        (package,) = (TREE / "dist").glob(name)
        return Path(shutil.copy2(package, place))


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Who signs the API's certificates; every image trusts it."""
    return Authority()


@pytest.fixture(scope="session")
def workplace(_lab: None) -> Iterator[Path]:
    """Where the overlays are: beside the trees, on the same disk; what killed runs left goes."""
    with contextlib.ExitStack() as stack:
        with alone():
            for path in cache().glob("run-*"):
                with contextlib.suppress(BlockingIOError), locked(path):
                    remove(path)
            path = Path(tempfile.mkdtemp(prefix="run-", dir=cache()))
            stack.enter_context(locked(path))
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
def images(workplace: Path, authority: Authority) -> Image:
    """The layers of a release's baked image with a package, the uppermost first."""
    made: dict[tuple[str, Path | None], Path] = {}

    def image(release: str, package: Path | None) -> list[Path]:
        key = release, package
        if key not in made:
            name = f"{release}{package.suffix if package else ''}"
            overlay = Overlay(workplace / name, [tree(release)])
            try:
                if package is not None:
                    install(overlay.root, package)
                bake(overlay.root, authority)
            finally:
                overlay.close()
            made[key] = overlay.changes
        return [made[key], tree(release)]

    return image


# The trees have the dependencies; rpm's database of a Debian tree does not know them.
INSTALL = {".deb": ("dpkg", "--install"), ".rpm": ("rpm", "--install", "--nodeps")}


def install(root: Path, package: Path) -> None:
    """Install a package into a tree."""
    shutil.copy(package, root / "tmp")
    chroot(root, *INSTALL[package.suffix], f"/tmp/{package.name}")


@contextlib.contextmanager
def disk(workplace: Path, lower: list[Path]) -> Iterator[Overlay]:
    """A disk of one's own with these layers."""
    path = Path(tempfile.mkdtemp(prefix="guest-", dir=workplace))
    overlay = Overlay(path, lower)
    try:
        yield overlay
    finally:
        overlay.close()
        remove(path)


@pytest.fixture
def make_guest(
    images: Image, deb: Path, authority: Authority, workplace: Path
) -> Iterator[MakeGuest]:
    """Make a guest of a release and a network manager; both its disk and network go at the end."""
    with contextlib.ExitStack() as stack:

        def make(release: str, manager: str, metric: int = 0, package: Path | None = deb) -> Guest:
            overlay = stack.enter_context(disk(workplace, images(release, package)))
            configure(overlay.root, manager, metric)
            topology = stack.enter_context(Topology())
            guest = Guest(overlay.root, manager, topology, authority)
            stack.callback(guest.close)
            return guest

        yield make


RESULTS: dict[tuple[str, str, str], bool] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note how the boots of the table in tests/boot/README.md went."""
    if report.when == "call":
        for key, value in report.user_properties:
            if key == "boot":
                # A list, where it comes from another process.
                name, release, manager = cast("list[str]", value)
                RESULTS[name, release, manager] = report.passed


def pytest_sessionfinish() -> None:
    """After a whole run, write the table."""
    if RESULTS:
        from tests.boot import matrix

        matrix.write(RESULTS)
