"""Reads, plans and writes the host's network configuration, and puts it back.

What to write is decided in `policy.py` and the renderers, what to put back in `undo.py`, and
`transaction.py` changes several files together. Here is the order of these steps. The record of
what was there is on disk before the first file changes, and goes after the last one is back.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from rcnetd.basic.chroot_files import Chroot, Location
from rcnetd.basic.dataclass import dataclass, replace
from rcnetd.core.model import Network
from rcnetd.core.servicenet import ServiceNet
from rcnetd.core.settings import Backend, Metadata, Settings
from rcnetd.hostconfig import policy, transaction
from rcnetd.hostconfig.record import RecordFile
from rcnetd.hostconfig.renderers.marked_edits import applied
from rcnetd.hostconfig.renderers.model import CannotPersist, Changes, File, Target, Tree
from rcnetd.hostconfig.renderers.registry import renderer
from rcnetd.hostconfig.transaction import Write
from rcnetd.hostconfig.undo import Present, RevertRecord

MAX_FILES = 500  # configuration files of one kind
DIRECTORY_MODE = 0o755


@dataclass(frozen=True)
class Plan:
    """What would be written: the files as they are, without our edits, and their changes."""

    backend: Backend
    target: Target
    tree: Tree
    original: Tree
    changes: Changes

    def verify(self) -> Sequence[str]:
        """Let the backend's own tool read the result; returns its warnings.

        Raises `CannotPersist`, `OSError`.
        """
        from rcnetd.hostconfig.verify import check

        if not self.changes:
            return ()
        return check(self.backend, applied(self.tree, self.changes), self.target)


@dataclass(frozen=True)
class Reverted:
    """The files that were put back, and the record by which they were."""

    files: tuple[str, ...]
    record: RevertRecord


class HostConfig:
    """The configuration files below *root*, and the revert record in *state* (mode 0700)."""

    def __init__(self, root: Path, state: Path) -> None:
        self._files = Chroot(root)
        self._record = RecordFile(root, state)
        self._is_foreign = root != Path("/")

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Wait to be the only writer. Raises `OSError`, `CannotPersist`."""
        return self._record.locked()

    def plan(
        self,
        settings: Settings,
        metadata: Metadata,
        network: Network,
        servicenet: ServiceNet,
        gateway: IPv4Address,
    ) -> Plan:
        """Decide what to write; changes nothing. Raises `CannotPersist`, `OSError`."""
        backend = settings.persist
        if backend is Backend.AUTO:
            from rcnetd.hostconfig.detect import detect

            backend = detect(servicenet.link)
        chosen = renderer(backend)
        tree = self.read(chosen.patterns, chosen.is_read)
        original = self.record().without_ours(tree)
        target = policy.target(original, chosen, gateway, servicenet, network, settings, metadata)
        made = policy.changes(tree, original, chosen, target)
        return Plan(backend, target, tree, original, made)

    def persist(self, plan: Plan, removed: Callable[[], dict[str, Any]]) -> RevertRecord:
        """Write a plan that has been verified. Raises `CannotPersist`, `Changed`, `OSError`; then
        nothing has changed. *removed* is called for what to put back, the first time."""
        return self.write(plan.tree, plan.changes, removed, plan.original)

    def read(self, patterns: Sequence[str], is_read: Callable[[str], bool] | None = None) -> Tree:
        """The files that match and whose paths *is_read* accepts: nothing else is looked into.

        Raises `CannotPersist` for one that is not a file or too large, `OSError`.
        """
        try:
            found = [
                path
                for pattern in patterns
                for path in self._files.glob(pattern)
                if not path.rpartition("/")[2].startswith(".")  # no backend reads these
                and (is_read is None or is_read(path))
            ]
        except ValueError as error:
            raise CannotPersist(f"{error}; nothing is written") from None
        if len(found) > MAX_FILES:
            raise CannotPersist(
                f"more than {MAX_FILES} files match {patterns[0]}; nothing is written"
            )
        tree = {path: self._read_for_renderer(path) for path in sorted(set(found))}
        return {path: file for path, file in tree.items() if file is not None}

    def record(self) -> RevertRecord:
        """What `revert` would put back; empty if there is nothing. Raises `CannotPersist`."""
        return self._record.load()

    def write(
        self,
        tree: Tree,
        made: Changes,
        removed: Callable[[], dict[str, Any]],
        original: Tree | None = None,
    ) -> RevertRecord:
        """Make changes of *tree*, whose files without our edits are *original*. Raises as
        `persist` does."""
        record = self.record()
        present: dict[str, File | None] = dict(tree)
        for path in (*made, *record.files):
            if path not in present:
                present[path] = self._read(path)
        current = record.current(present)
        if not made:
            if current != record:
                self._record.save(current)
            return current
        self._check_in_etc(made)
        without = record.without_ours(tree) if original is None else original
        before = current.before_write(present, without, made)
        before = replace(before, directories=self._directories(made, record))
        if not record.files:
            before = replace(before, **_put_back_later(removed()))
        self._record.save(before)
        try:
            self._apply(_contents(made, present), present)
        except BaseException:
            with contextlib.suppress(OSError):
                self._record.save(record)
            raise
        after = before.after_write(made)
        with contextlib.suppress(OSError):  # the record from before says more, and nothing wrong
            self._record.save(after)
        return after

    def revert(self) -> Reverted:
        """Put all files back. Raises `CannotPersist`, `Changed`, `OSError`; then nothing has
        changed."""
        record = self.record()
        self._check_in_etc(record.files)
        present = {path: self._read(path) for path in record.files}
        originals = record.originals(present)
        contents = {
            path: originals[path] for path in record.last_first if originals[path] != present[path]
        }
        self._check_owners(contents, present)
        self._clean_up(record)
        self._apply(contents, present)
        for directory in reversed(record.directories):
            with contextlib.suppress(OSError):  # other files are in it by now, or it is gone
                self._files.remove_directory(directory)
        self._record.forget()
        return Reverted(tuple(sorted(contents)), record)

    # Inside

    def _read(self, path: str) -> File | None:
        try:
            return transaction.read(self._files, path)
        except ValueError as error:
            raise CannotPersist(f"{error}; nothing is written") from None

    def _read_for_renderer(self, path: str) -> File | None:
        with self._files.locate(path, follow=False) as place:
            if place.readlink() == os.devnull:
                return File(b"")
        return None if self._files.is_directory(path) else self._read(path)

    def _check_in_etc(self, paths: Iterable[str]) -> None:
        for path in paths:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError), self._locate(path):
                pass

    @contextlib.contextmanager
    def _locate(self, path: str) -> Iterator[Location]:
        """Find a file to write: through a link, but never out of /etc."""
        with self._files.locate(path) as place:
            if not f"{place.path}/".startswith("/etc/"):
                raise CannotPersist(
                    f"'{self._files.shown(path)}' is a link to '{place.path}', outside of /etc;"
                    " nothing is written"
                )
            yield place

    def _check_owners(self, contents: Present, present: Present) -> None:
        """The record of a foreign tree is not trusted to give its files to somebody."""
        for path, file in contents.items():
            old = present[path]
            owners = {(0, 0), (os.geteuid(), os.getegid())} | (
                {(old.uid, old.gid)} if old else set()
            )
            if self._is_foreign and file is not None and (file.uid, file.gid) not in owners:
                raise CannotPersist(
                    f"the revert record gives '{self._files.shown(path)}' to {file.uid}:{file.gid},"
                    " who does not own it; nothing is put back"
                )

    def _directories(self, made: Changes, record: RevertRecord) -> tuple[str, ...]:
        """Those that have to be made, and those that we made earlier; upper ones first."""
        missing = [
            directory
            for path, change in made.items()
            if change.data is not None
            for directory in self._files.missing_directories(path)
        ]
        return tuple(sorted({*missing, *record.directories}))

    def _apply(self, contents: Present, present: Present) -> None:
        made: list[str] = []
        try:
            for path, new in contents.items():
                for directory in self._files.missing_directories(path) if new else ():
                    self._check_in_etc([directory])
                    self._files.make_directory(directory, DIRECTORY_MODE)
                    made.append(directory)
            with contextlib.ExitStack() as located:
                writes = [
                    Write(located.enter_context(self._locate(path)), new, present[path])
                    for path, new in contents.items()
                ]
                transaction.apply(self._files, _once(writes))
        except BaseException:
            for directory in reversed(made):
                with contextlib.suppress(OSError):
                    self._files.remove_directory(directory)
            raise

    def _clean_up(self, record: RevertRecord) -> None:
        for path in record.files:
            with contextlib.suppress(OSError), self._files.locate(path) as place:
                transaction.clean_up([place])


def _contents(made: Changes, present: Present) -> dict[str, File | None]:
    """What the files become."""
    contents: dict[str, File | None] = {}
    for path, change in made.items():
        old = present[path] or File(b"", uid=os.geteuid(), gid=os.getegid())
        mode = old.mode if change.mode is None else change.mode
        contents[path] = None if change.data is None else replace(old, data=change.data, mode=mode)
    return contents


def _put_back_later(removed: dict[str, Any]) -> dict[str, Any]:
    return {
        "routes": tuple(removed["routes"]),
        "links": tuple(removed["links"]),
        "boot_id": str(removed.get("boot_id", "")),
    }


def _once(writes: Sequence[Write]) -> list[Write]:
    """Return each file's change once: a file may have several names, by links."""
    by_path: dict[str, Write] = {}
    for write in writes:
        other = by_path.setdefault(write.place.path, write)
        if other.new != write.new:
            raise CannotPersist(
                f"'{write.place.path}' has two names, whose edits differ; remove one of the links;"
                " nothing is written"
            )
    return list(by_path.values())
