"""Several files are replaced one by one: after a crash between any two there is a default route."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rcnetd.core.settings import Backend, PublicInterface
from rcnetd.hostconfig import policy
from rcnetd.hostconfig.host import HostConfig
from rcnetd.hostconfig.renderers.marked_edits import applied
from rcnetd.hostconfig.renderers.model import Change, Changes, File, Target, Tree
from rcnetd.hostconfig.renderers.registry import Renderer, renderer
from tests.support.trees import HERE, cases, read_tree, target_of

pytestmark = pytest.mark.long  # every golden tree

TREES = [
    (backend, case)
    for backend in Backend
    if backend not in (Backend.AUTO, Backend.NONE)
    for case in cases(backend.value.replace("-", "_"))
]


def states(before: Tree, made: Changes) -> Iterator[Tree]:
    """The files after the first change, the second ..."""
    for count in range(1, len(made) + 1):
        yield applied(before, dict(list(made.items())[:count]))


def has_default(chosen: Renderer, tree: Tree, target: Target) -> bool:
    """Whether the next boot has a default route on one of its links."""
    return bool(chosen.defaults(tree, (target.servicenet, *target.public)))


@pytest.mark.parametrize("public_interface", PublicInterface)
@pytest.mark.parametrize(("backend", "case"), TREES)
def test_a_crash_leaves_a_default_route(
    tmp_path: Path, backend: Backend, case: str, public_interface: PublicInterface
) -> None:
    """While the files are written, and while `revert` puts them back."""
    name, chosen = backend.value.replace("-", "_"), renderer(backend)
    target = target_of(name, case, public_interface)
    tree = read_tree(HERE / name / case / "before")
    before = {path: File(file.data, 0o600) for path, file in tree.items()}
    made = policy.changes(before, before, chosen, target)
    assert all(has_default(chosen, state, target) for state in states(before, made))
    if not has_default(chosen, before, target):
        return
    for state in states(applied(before, made), _reverting(tmp_path, before, made)):
        assert has_default(chosen, state, target)


def _reverting(place: Path, before: Tree, made: Changes) -> Changes:
    """The changes that `revert` makes, in its order."""
    (place / "root/etc").mkdir(parents=True)
    for path, file in before.items():
        target = place / "root" / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.data)
        target.chmod(file.mode)
    host = HostConfig(place / "root", place / "state")
    host.write(host.read(tuple(before)), made, dict[str, Any](routes=[], links=[]).copy)
    record = host.record()
    originals = {path: record.files[path].before for path in record.last_first}
    return {path: Change(file.data if file else None) for path, file in originals.items()}
