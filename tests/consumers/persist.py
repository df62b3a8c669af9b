"""Persists into a tree of files, and reverts, as `rcnetctl` does it to a host's."""

from __future__ import annotations

from pathlib import Path

from rcnetd.core.settings import Backend
from rcnetd.hostconfig import host, policy
from rcnetd.hostconfig.renderers.model import File, Target, Tree
from rcnetd.hostconfig.renderers.registry import renderer as load


class HostFiles:
    """The files of a host below *place*, an empty directory."""

    def __init__(self, place: Path, renderer: str, tree: Tree) -> None:
        self._root = place / "root"
        self._renderer = load(Backend(renderer.replace("_", "-")))
        self._host = host.HostConfig(self._root, place / "state")
        for path, file in tree.items():
            target = self._root / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.data)
            target.chmod(file.mode)

    def persist(self, target: Target) -> Tree:
        """Write what *target* needs; returns all files."""
        found = self._host.read(self._renderer.patterns)
        original = self._host.record().without_ours(found)
        made = policy.changes(found, original, self._renderer, target)
        self._host.write(found, made, lambda: {"routes": [], "links": []}, original)
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
