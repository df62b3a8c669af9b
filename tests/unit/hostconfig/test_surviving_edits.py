"""Somebody rewrites some of the files that we edited: every subset of our edits, file by file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from rcnetd.core.model import METRIC
from rcnetd.core.settings import Backend, PublicInterface
from rcnetd.hostconfig import policy
from rcnetd.hostconfig.host import HostConfig
from rcnetd.hostconfig.renderers.marked_edits import applied
from rcnetd.hostconfig.renderers.model import Changes, File, Target, Tree
from rcnetd.hostconfig.renderers.registry import Renderer, renderer
from tests.support.trees import HERE, contents, read_tree, target_of
from tests.unit.hostconfig.test_write_order import TREES, has_default

pytestmark = pytest.mark.long  # every subset of every golden tree


def surviving(made: Changes) -> Iterator[Changes]:
    """Every subset of the changes, all and none among them, in the order of writing."""
    for count in range(len(made) + 1):
        for some in combinations(made.items(), count):
            yield dict(some)


@pytest.mark.parametrize("public_interface", PublicInterface)
@pytest.mark.parametrize(("backend", "case"), TREES)
def test_our_route_is_enough(
    backend: Backend, case: str, public_interface: PublicInterface
) -> None:
    """Where the edits that make our route survive, the server has a default route."""
    chosen, target, before = _case(backend, case, public_interface)
    made = policy.changes(before, before, chosen, target)
    ours = _ours(chosen, before, made, target)
    for some in surviving(made):
        if ours <= some.keys():
            assert has_default(chosen, applied(before, some), target), sorted(some)


@pytest.mark.parametrize("public_interface", PublicInterface)
@pytest.mark.parametrize(("backend", "case"), TREES)
def test_persist_repairs_what_is_left(
    tmp_path: Path, backend: Backend, case: str, public_interface: PublicInterface
) -> None:
    """Whatever survives: the next persist writes what is lost, and `revert` gives the original."""
    chosen, target, before = _case(backend, case, public_interface)
    made = policy.changes(before, before, chosen, target)
    for number, some in enumerate(surviving(made)):
        root = tmp_path / str(number) / "root"
        (root / "etc").mkdir(parents=True)
        host = HostConfig(root, root.with_name("state"))
        _write(root, before)
        original_files = host.read(chosen.patterns, chosen.is_read)
        host.write(host.read(tuple(before)), made, _nothing)
        persisted = host.read(chosen.patterns, chosen.is_read)
        _rewrite(root, before, {path for path in made if path not in some})
        tree = host.read(chosen.patterns, chosen.is_read)
        original = host.record().without_ours(tree)
        host.write(tree, policy.changes(tree, original, chosen, target), _nothing, original)
        repaired = host.read(chosen.patterns, chosen.is_read)
        assert contents(persisted) == contents(repaired), sorted(some)
        host.revert()
        reverted = host.read(chosen.patterns, chosen.is_read)
        assert contents(original_files) == contents(reverted), sorted(some)


def _case(
    backend: Backend, case: str, public_interface: PublicInterface
) -> tuple[Renderer, Target, Tree]:
    name = backend.value.replace("-", "_")
    tree = read_tree(HERE / name / case / "before")
    before = {path: File(file.data, 0o600) for path, file in tree.items()}
    return renderer(backend), target_of(name, case, public_interface), before


def _ours(chosen: Renderer, before: Tree, made: Changes, target: Target) -> set[str]:
    """The fewest files whose edits make our route; those of all if it has been there before."""
    for some in surviving(made):
        for default in chosen.read_defaults(applied(before, some)):
            if (default.gateway, default.metric) == (target.gateway, METRIC):
                return set(some)
    return set(made)


def _nothing() -> dict[str, Any]:
    return {"routes": [], "links": []}


def _write(root: Path, tree: Tree) -> None:
    for path, file in tree.items():
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.data)
        place.chmod(file.mode)


def _rewrite(root: Path, before: Tree, paths: set[str]) -> None:
    """As a tool does that knows nothing of us: the files are as they were, or gone."""
    _write(root, {path: before[path] for path in paths if path in before})
    for path in paths - before.keys():
        (root / path.lstrip("/")).unlink(missing_ok=True)
