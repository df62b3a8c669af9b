"""Machines. A disk is built once for a package; each test has an overlay of it, and a cloud."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from rcnetd.lab.topology import Topology
from tests.boot.conftest import deb, workplace  # noqa: F401, its fixtures
from tests.conftest import missing
from tests.vm.disks import disk, kept_authority
from tests.vm.drive import PLAIN, make
from tests.vm.machine import Machine
from tests.vm.table import Shown, write

TOOLS = ("qemu-system-x86_64", "qemu-img", "genisoimage", "mke2fs", "mmdebstrap", "setpriv")
MakeMachine = Callable[..., Machine]


@pytest.fixture(scope="session")
def _lab() -> None:
    """This machine can run virtual ones, or the test is skipped (in CI: fails)."""
    lacking = [name for name in TOOLS if shutil.which(name) is None]
    if lacking:
        missing("vm", f"not installed: {', '.join(lacking)}")
    if os.geteuid() != 0 or not os.access("/dev/net/tun", os.W_OK):
        missing("vm", "virtual machines need root, and taps")


@pytest.fixture
def make_machine(
    deb: Path,  # noqa: F811
    workplace: Path,  # noqa: F811
    record_property: Callable[[str, object], None],
) -> Iterator[MakeMachine]:
    """Make a machine of a release and a network manager; it goes at the end of the test."""
    with contextlib.ExitStack() as stack:

        def make_one(
            release: str, manager: str, network: dict[str, Any] = PLAIN, user_data: str = ""
        ) -> Machine:
            authority = kept_authority()
            built = disk(release, manager, deb, authority, workplace)
            place = Path(tempfile.mkdtemp(prefix="vm-", dir=workplace))
            stack.callback(shutil.rmtree, place)
            topology = stack.enter_context(Topology())
            machine = Machine(built, make(place, network, user_data), place, topology, authority)
            machine.shown = lambda scenario: record_property(
                "machine", [scenario, release, manager, package_id(deb)]
            )
            stack.callback(machine.silence)
            return machine

        yield make_one


def package_id(package: Path) -> str:
    """What tells a package from another."""
    return hashlib.sha256(package.read_bytes()).hexdigest()[:12]


SHOWN: dict[str, set[Shown]] = {}  # by package
STARTED = time.monotonic()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note what was shown to work, for the table in tests/vm/README.md."""
    if report.when == "call" and report.passed:
        for key, value in report.user_properties:
            if key == "machine":
                # A list, where it comes from another process.
                scenario, release, manager, package = cast("list[str]", value)
                SHOWN.setdefault(package, set()).add((scenario, release, manager))


def pytest_sessionfinish() -> None:
    """Write the table, if nothing is missing."""
    for package, shown in SHOWN.items():
        write(shown, (time.monotonic() - STARTED) / 60, package)
