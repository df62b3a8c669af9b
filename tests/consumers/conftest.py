"""The lab: boots of trees, and what they came to."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from rcnetd.core.settings import PublicInterface
from rcnetd.hostconfig.renderers.model import Target, Tree
from tests.conftest import missing
from tests.consumers import kernel, matrix
from tests.consumers.images import image
from tests.consumers.kernel import KernelState
from tests.consumers.persist import HostFiles
from tests.consumers.programs import Consumer
from tests.consumers.server import BOOT, booted, world
from tests.support.trees import HERE, read_tree, target_of

TOOLS = ("mmdebstrap", "unshare", "setpriv", "mount", "ip")


class Lab:
    """Boots trees by their consumers; each tree as it was before is booted once."""

    def __init__(self) -> None:
        self._controls: dict[tuple[str, str, str], KernelState] = {}

    def host(self, consumer: Consumer, case: str, place: Path) -> HostFiles:
        """A host with a case's files."""
        return HostFiles(place, consumer.renderer, self._before(consumer, case))

    def control(self, consumer: Consumer, release: str, case: str) -> KernelState:
        """The kernel's state after a boot with the tree before."""
        key = consumer.name, release, case
        if key not in self._controls:
            target = target_of(consumer.renderer, case, PublicInterface.NO_DEFAULT)
            before = self._before(consumer, case)
            self._controls[key] = self.boot(consumer, release, before, target)
        return self._controls[key]

    def boot(self, consumer: Consumer, release: str, files: Tree, target: Target) -> KernelState:
        """The kernel's state after a boot with these files, on the links of a target."""
        disk = consumer.disk(files)
        return self.run(consumer.name, release, disk, consumer.boot_script(), target)

    def run(self, name: str, release: str, disk: Tree, script: str, target: Target) -> KernelState:
        """The kernel's state once *script* has settled, in the image of the consumer *name*."""
        with (
            world(target, disk) as made,
            kernel.changes(made.server) as changes,
            booted(image(name, release), disk, script, made.server),
        ):
            changes.until_quiet(BOOT)
            return kernel.read(made.server)

    def _before(self, consumer: Consumer, case: str) -> Tree:
        return consumer.tree(read_tree(HERE / consumer.renderer / case / "before"))


@pytest.fixture(scope="session")
def lab() -> Lab:
    """The lab, or the test is skipped (in CI: fails)."""
    lacking = [name for name in TOOLS if shutil.which(name) is None]
    if lacking:
        missing("consumers", f"not installed: {', '.join(lacking)}")
    if os.geteuid() != 0:
        missing("consumers", "servers with disks of their own need root")
    return Lab()


RESULTS: dict[matrix.Boot, bool] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note what became of a boot; a skipped one was not to be judged."""
    boot = matrix.IDS.get(report.nodeid.partition("[")[2].rstrip("]"))
    if boot is not None and (report.when == "call" or report.skipped):
        RESULTS[boot] = not report.failed


def pytest_sessionfinish(session: pytest.Session) -> None:
    """After a complete run, write the table; not in a worker, which has only a part."""
    if not hasattr(session.config, "workerinput"):
        matrix.write(RESULTS)
