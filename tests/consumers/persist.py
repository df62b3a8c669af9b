"""Persists into a tree of files, and reverts, as `rcnetctl` does it to a host's."""

from __future__ import annotations

from pathlib import Path

from rcnetd.core.settings import Backend
from rcnetd.hostconfig import policy
from rcnetd.hostconfig.host import HostConfig, Plan
from rcnetd.hostconfig.renderers.model import File, Target, Tree
from rcnetd.hostconfig.renderers.registry import renderer as renderer_of


class HostFiles:
    """The files of a host below *place*, an empty directory."""

    def __init__(self, place: Path, renderer: str, tree: Tree) -> None:
        self._root = place / "root"
        self._renderer = renderer_of(Backend(renderer.replace("_", "-")))
        self._host = HostConfig(self._root, place / "state")
        (self._root / "etc").mkdir(parents=True)
        self.write(tree)

    def write(self, tree: Tree) -> None:
        """Write these files, as another program does."""
        for path, file in tree.items():
            target = self._root / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.data)
            target.chmod(file.mode)

    def persist(self, target: Target) -> Tree:
        """Write what *target* needs; returns all files."""
        tree = self._host.read(self._renderer.patterns, self._renderer.is_read)
        original = self._host.record().without_ours(tree)
        made = policy.changes(tree, original, self._renderer, target)
        plan = Plan(self._renderer.persist, target, tree, original, made)
        self._host.persist(plan, lambda: {"routes": [], "links": []})
        return self._tree()

    def revert(self) -> Tree:
        """Put back what was there; returns all files."""
        self._host.revert()
        return self._tree()

    def _tree(self) -> Tree:
        return {
            f"/{path.relative_to(self._root)}": File(path.read_bytes(), path.stat().st_mode & 0o777)
            for path in self._root.rglob("*")
            if path.is_file()
        }
