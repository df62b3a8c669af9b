"""One guest outside pytest: the newest release with the package built from this tree."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path

from rcnetd.emulator.certificates import Authority
from rcnetd.lab.topology import Topology
from tests.boot.conftest import build, disk, install, locked
from tests.boot.guest import Guest, Overlay, bake, configure
from tests.boot.trees import RELEASES, alone, cache, tree


def built_guest(stack: contextlib.ExitStack, manager: str) -> tuple[Guest, Path]:
    """The guest, not yet booted, and its package; both go when *stack* is closed."""
    release = RELEASES[-1]
    with alone():  # a run that makes its own cleans up what nobody holds
        place = Path(tempfile.mkdtemp(prefix="run-", dir=cache()))
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        stack.enter_context(locked(place))
    package = build("packaging/build-deb", "rcnetd_*.deb", place)
    authority = Authority()
    overlay = Overlay(place / release, [tree(release)])
    try:
        install(overlay.root, package)
        bake(overlay.root, authority)
    finally:
        overlay.close()
    root = stack.enter_context(disk(place, [overlay.changes, tree(release)])).root
    configure(root, manager, 0)
    guest = Guest(root, manager, stack.enter_context(Topology()), authority)
    stack.callback(guest.close)
    return guest, package
