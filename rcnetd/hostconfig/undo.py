"""The record that `rcnetctl revert` works from, as a value. Pure.

It is written before the first file is, and says for each file what was there and what we make of
it. After a crash at any moment each file is one of the two. A file that is neither was changed by
somebody else since: our edits are taken out of it by their marks and, where a program has dropped
the marks, by their values (`values.py`). An entry stays until its file has nothing of ours in it.

The form, version 1, of `/var/lib/rcnetd-persist/undo/record.json`:

    files        by path: `before` (null if there was no file) with data, mode, uid and gid; `ours`,
                 the contents that we have given it, null where we removed it
    directories  that we made, the uppermost first
    routes       that had been removed when the first file was written (as in `removed.json`)
    links        that had been set down then
    boot_id      of the boot in which that was

Bytes that are not UTF-8 are lone surrogates, as in Python's `surrogateescape`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Interface
from posixpath import dirname
from typing import Any, Optional

from rcnetd.basic.dataclass import dataclass, field, replace
from rcnetd.core.model import PROTOCOL, Network, Route
from rcnetd.hostconfig import values
from rcnetd.hostconfig.renderers.marked_edits import unedited
from rcnetd.hostconfig.renderers.model import Changes, File, Tree

VERSION = 1
MAX_FILES = 1000


class Implausible(ValueError):
    """A record says what rcnetd would never write; the text says what."""


@dataclass(frozen=True)
class FileRecord:
    """What a file was (None: not there), and the contents that are ours (None: not there)."""

    before: File | None
    ours: tuple[bytes | None, ...]


Present = Mapping[str, Optional[File]]  # what is there now, by path


@dataclass(frozen=True)
class RevertRecord:
    """What was there before rcnetd, and what rcnetd has made of it."""

    files: Mapping[str, FileRecord] = field(default_factory=dict)
    directories: tuple[str, ...] = ()
    routes: tuple[Mapping[str, Any], ...] = ()
    links: tuple[Mapping[str, Any], ...] = ()
    boot_id: str = ""

    @property
    def last_first(self) -> tuple[str, ...]:
        """The files in the order to put them back: the old default route before ours goes."""
        return tuple(reversed([*self.files]))

    def originals(self, present: Present) -> dict[str, File | None]:
        """The files without anything of ours. Raises `CannotPersist` for half a mark."""
        return {path: self._original(path, present) for path in {**self.files, **present}}

    def _original(self, path: str, present: Present) -> File | None:
        now, entry = present.get(path), self.files.get(path)
        if entry is not None and _data(now) in entry.ours:
            return entry.before
        if now is None and entry is not None and entry.before and values.is_merged(path):
            now = replace(entry.before, data=b"")  # what was in it may be elsewhere by now
        if now is None or (entry is not None and now.data == _data(entry.before)):
            return now
        data = unedited(path, now.data)
        if data is not None and entry is not None:
            elsewhere = self._elsewhere(path, present) if values.is_merged(path) else ()
            data = values.restore(path, data, _data(entry.before), entry.ours[-1], elsewhere)
        gone = data is None or (not data and present.get(path) is None)
        return None if data is None or gone else replace(now, data=data)

    def _elsewhere(
        self, path: str, present: Present
    ) -> tuple[tuple[bytes | None, bytes | None], ...]:
        """The other files that netplan merges with it: as we made them, and as they are now."""
        others = [
            other
            for other in {**self.files, **present}
            if other != path and dirname(other) == dirname(path)
        ]
        return tuple(
            (self.files[other].ours[-1] if other in self.files else now, now)
            for other in others
            if values.is_merged(other)
            for now in (_data(present.get(other)),)
        )

    def without_ours(self, tree: Tree) -> Tree:
        """The files as they would be without rcnetd."""
        return {path: file for path, file in self.originals(tree).items() if file is not None}

    def current(self, present: Present) -> RevertRecord:
        """Without the files in which nothing of ours is left."""
        originals = self.originals(present)
        kept = {
            path: entry for path, entry in self.files.items() if originals[path] != present[path]
        }
        return replace(self, files=kept)

    def before_write(self, present: Present, original: Tree, made: Changes) -> RevertRecord:
        """The record to keep while the changes are made."""
        files = dict(self.files)
        for path, change in made.items():
            files[path] = FileRecord(original.get(path), (_data(present[path]), change.data))
        return replace(self, files=files)

    def after_write(self, made: Changes) -> RevertRecord:
        """The record once they are made: a file that is as it was needs no entry."""
        files = dict(self.files)
        for path, change in made.items():
            if change.data == _data(files[path].before):
                del files[path]
            else:
                files[path] = replace(files[path], ours=(change.data,))
        return replace(self, files=files)

    def text(self) -> str:
        """As JSON."""
        content = {
            "version": VERSION,
            "files": {
                path: {
                    "before": _file_to_json(entry.before),
                    "ours": [None if data is None else _text(data) for data in entry.ours],
                }
                for path, entry in self.files.items()
            },
            "directories": list(self.directories),
            "routes": list(self.routes),
            "links": list(self.links),
            "boot_id": self.boot_id,
        }
        return json.dumps(content, indent=1) + "\n"


@dataclass(frozen=True)
class RouteRestore:
    """What `revert` does in the kernel: set links up, put routes back, remove ours.

    *ours* is removed last, and only if another default route exists by then.
    """

    links: tuple[tuple[int, tuple[IPv4Interface, ...]], ...] = ()
    routes: tuple[Route, ...] = ()
    ours: tuple[Route, ...] = ()


def plan_restore(
    recorded_routes: Iterable[Route],
    recorded_links: Iterable[tuple[str, tuple[IPv4Interface, ...]]],
    network: Network,
) -> RouteRestore:
    """Plan how to put back what was recorded since boot.

    Links are known by their MACs. A route of a link that no longer exists is left out.
    """
    by_mac = {link.mac: link.ifindex for link in network.links if link.mac}
    present = {link.ifindex for link in network.links}
    links = tuple((by_mac[mac], own) for mac, own in recorded_links if mac in by_mac)
    routes = tuple(
        route
        for route in recorded_routes
        if route.protocol != PROTOCOL
        and (route.ifindex is None or route.ifindex in present)
        and route.raw not in [other.raw for other in network.defaults]
    )
    others = [route for route in network.defaults if route.protocol != PROTOCOL]
    ours = tuple(route for route in network.defaults if route.protocol == PROTOCOL)
    return RouteRestore(links, routes, ours if routes or others else ())


def parse(text: bytes) -> RevertRecord:
    """Parse a record. Raises `ValueError`, `KeyError`, `TypeError` if it is damaged."""
    content = json.loads(text)
    if content["version"] != VERSION:
        raise Implausible("it is of another version")
    if len(content["files"]) > MAX_FILES:
        raise Implausible(f"it has more than {MAX_FILES} files")
    return RevertRecord(
        {
            _path(path): FileRecord(
                _file_from_json(path, entry["before"]),
                tuple(None if data is None else _bytes(data) for data in entry["ours"]),
            )
            for path, entry in content["files"].items()
        },
        tuple(_path(path) for path in content["directories"]),
        tuple(content["routes"]),
        tuple(content["links"]),
        str(content["boot_id"]),
    )


def _path(path: str) -> str:
    if not path.startswith("/etc/") or ".." in path.split("/") or "\0" in path:
        raise Implausible(f"{path!r} is not a path below /etc")
    return path


def _data(file: File | None) -> bytes | None:
    return None if file is None else file.data


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _file_to_json(file: File | None) -> dict[str, Any] | None:
    if file is None:
        return None
    return {"data": _text(file.data), "mode": file.mode, "uid": file.uid, "gid": file.gid}


def _file_from_json(path: str, content: dict[str, Any] | None) -> File | None:
    if content is None:
        return None
    mode, uid, gid = (int(content[key]) for key in ("mode", "uid", "gid"))
    if mode & ~0o777 or min(uid, gid) < 0:
        raise Implausible(f"{path!r} has mode {mode:o}, owner {uid}:{gid}")
    return File(_bytes(content["data"]), mode, uid, gid)
