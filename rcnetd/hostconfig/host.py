"""Reads, checks and writes the host's own network configuration, and puts it back.

The rule: what is decided is decided in `policy.py` and the renderers; how several files change
together is in `transaction.py`; here is the order in which it is done. The record of what was there
is on disk before the first file changes, and goes only after the last one is back.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rcnetd.basic.dataclass import replace
from rcnetd.basic.files import read_bounded, sync_directory, write_atomic
from rcnetd.core.settings import Backend
from rcnetd.hostconfig import transaction, undo
from rcnetd.hostconfig.policy import Renderer
from rcnetd.hostconfig.renderers.model import CannotPersist, Changes, File, Tree
from rcnetd.hostconfig.transaction import Write
from rcnetd.hostconfig.undo import RevertRecord

MAX_FILES = 500  # configuration files of one kind
MAX_RECORD_SIZE = 16 * 1024 * 1024  # bytes
MAX_REMOVED_SIZE = 256 * 1024  # bytes
NEW_DIRECTORY = 0o755


class HostConfig:
    """The configuration files below *root*, and the record in *state* (mode 0700)."""

    def __init__(self, root: Path, state: Path) -> None:
        self._root, self._state = root, state
        self._record = state / "undo" / "record.json"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one who writes. Raises `OSError`."""
        self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._state / "lock", flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def read(self, patterns: Sequence[str]) -> Tree:
        """The files that match. Raises `CannotPersist` for what is not a file; `OSError`."""
        paths = sorted(
            f"/{path.relative_to(self._root)}"
            for pattern in patterns
            for path in self._root.glob(pattern.lstrip("/"))
            if not path.name.startswith(".")  # no backend reads these
        )
        if len(paths) > MAX_FILES:
            raise CannotPersist(
                f"more than {MAX_FILES} files match {patterns[0]}; nothing is written"
            )
        tree: dict[str, File] = {}
        for path in dict.fromkeys(paths):
            real = self._root / path.lstrip("/")
            if real.is_dir():
                continue
            if real.is_symlink() and real.readlink() == Path("/dev/null"):
                tree[path] = File(b"")
                continue
            kept = self._kept(path)
            if kept is not None:
                tree[path] = kept
        return tree

    def record(self) -> RevertRecord:
        """What `revert` would put back, empty if nothing was. Raises `CannotPersist`."""
        try:
            return undo.parse(read_bounded(self._record, MAX_RECORD_SIZE))
        except FileNotFoundError:
            return RevertRecord()
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise CannotPersist(
                f"'{self._record}' is damaged; what it has of the files is to be put back by hand"
            ) from None

    def write(
        self, found: Tree, made: Changes, removed: Callable[[], dict[str, Any]]
    ) -> RevertRecord:
        """Make the changes. Raises `OSError`, `CannotPersist`; then nothing has changed.

        *removed* is asked for the routes and links that are to be put back, the first time.
        """
        record, present = self.record(), self._present(found, made)
        missing = {path: self._kept(path) for path in record.files if path not in present}
        present.update(missing)
        without_rewritten = record.without_rewritten(present)
        if not made:
            if without_rewritten != record:
                self._save(without_rewritten)
            return without_rewritten
        writes = self._writes(made, present)
        directories = self._directories(writes, record)
        before_write = replace(
            without_rewritten.before_write(present, made), directories=directories
        )
        if not record.files:
            before_write = replace(before_write, **_put_back_later(removed()))
        self._save(before_write)
        try:
            self._apply(writes)
        except BaseException:
            with contextlib.suppress(OSError):
                self._save(record)
            raise
        after_write = before_write.after_write(made)
        with contextlib.suppress(OSError):  # the one from before it says more, and nothing wrong
            self._save(after_write)
        return after_write

    def reverting(
        self,
    ) -> tuple[RevertRecord, dict[str, tuple[File | None, File | None]]]:
        """The record, and of each file that is to be put back: what is there, and what was."""
        record = self.record()
        present = {path: self._kept(path) for path in record.files}
        return record, {
            path: (present[path], entry.before)
            for path, entry in record.files.items()
            if present[path] != entry.before
        }

    def edited(self, record: RevertRecord) -> list[tuple[str, bytes | None, bytes | None]]:
        """The files that somebody has edited since: path, what we wrote, what is there."""
        present = {path: self._kept(path) for path in record.files}
        return [
            (path, record.files[path].ours[-1], kept.data if kept else None)
            for path in record.edited(present)
            for kept in [present[path]]
        ]

    def revert(self) -> list[str]:
        """Put all files back; returns which. On `CannotPersist`, `OSError` nothing has changed."""
        record, files = self.reverting()
        writes = [
            Write(self._real(path), before, present) for path, (present, before) in files.items()
        ]
        self._clean_up(record)
        self._apply(writes)
        for directory in reversed(record.directories):
            with contextlib.suppress(OSError):  # it has other files by now, or is gone
                (self._root / directory.lstrip("/")).rmdir()
        self._forget()
        return sorted(files)

    # Inside

    def _kept(self, path: str) -> File | None:
        try:
            return transaction.read(self._root / path.lstrip("/"))
        except ValueError as error:
            raise CannotPersist(f"{error}; nothing is written") from None

    def _present(self, found: Tree, made: Changes) -> dict[str, File | None]:
        present: dict[str, File | None] = dict(found)
        for path in made:
            if path not in present:
                present[path] = self._kept(path)
        return present

    def _real(self, path: str) -> Path:
        """Where a file really is: a link stays a link. Refused outside of /etc."""
        top, place = (self._root / "etc").resolve(), self._root / path.lstrip("/")
        real = place.resolve()
        if top not in real.parents:
            raise CannotPersist(
                f"'{path}' is a link to '{real}', outside of /etc; nothing is written"
            )
        return real

    def _writes(self, made: Changes, present: dict[str, File | None]) -> list[Write]:
        writes = []
        for path, change in made.items():
            old = present[path]
            new = None
            if change.data is not None:
                kept = old or File(b"", uid=os.geteuid(), gid=os.getegid())
                mode = kept.mode if change.mode is None else change.mode
                new = replace(kept, data=change.data, mode=mode)
            writes.append(Write(self._real(path), new, old))
        return writes

    def _directories(self, writes: Sequence[Write], record: RevertRecord) -> tuple[str, ...]:
        """Those that have to be made, and those that we have made already; upper ones first."""
        root = self._root.resolve()
        missing = {
            f"/{parent.relative_to(root)}"
            for write in writes
            if write.new is not None
            for parent in write.path.parents
            if root in parent.parents and not parent.exists()
        }
        return tuple(sorted(missing | set(record.directories)))

    def _apply(self, writes: Sequence[Write]) -> None:
        made: list[Path] = []
        try:
            for write in writes:
                missing = [parent for parent in write.path.parents if not parent.exists()]
                for parent in reversed(missing if write.new is not None else []):
                    parent.mkdir()
                    made.append(parent)
                    parent.chmod(NEW_DIRECTORY)  # whatever the umask
                    sync_directory(parent.parent)
            transaction.apply(writes)
        except BaseException:
            for parent in reversed(made):
                with contextlib.suppress(OSError):
                    parent.rmdir()
            raise

    def _clean_up(self, record: RevertRecord) -> None:
        for path in record.files:
            with contextlib.suppress(OSError):
                transaction.clean_up([self._real(path)])

    def _save(self, record: RevertRecord) -> None:
        if not record.files:
            self._forget()
            return
        self._record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(self._record, record.text(), mode=0o600)

    def _forget(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._record.unlink()
            sync_directory(self._record.parent)


def read_removed(path: Path) -> dict[str, Any]:
    """The daemon's `removed.json`: what it took away since boot. Damaged or none: nothing."""
    try:
        content = json.loads(read_bounded(path, MAX_REMOVED_SIZE))
        routes = [dict(entry) for entry in content["routes"]]
        links = [dict(entry) for entry in content["links"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {"routes": [], "links": []}
    return {"routes": routes, "links": links}


def _put_back_later(removed: dict[str, Any]) -> dict[str, Any]:
    return {
        "routes": tuple(removed["routes"]),
        "links": tuple(removed["links"]),
        "boot_id": str(removed.get("boot_id", "")),
    }


def renderer(persist: Backend) -> Renderer:
    """The renderer of a kind; loaded only now."""
    from importlib import import_module

    name = persist.value.replace("-", "_")
    module = import_module(f"rcnetd.hostconfig.renderers.{name}")
    return Renderer(persist, module.PATTERNS, module.render, module.read_defaults)
