"""What `rcnetctl revert` puts back: the record of edited files, as a value. Pure.

The record is written before the first file is, and says of each file what it was and what we make
of it. So after a crash between any two steps each file is one of the two, and can be put back. A
file that is neither has been edited by somebody since: that is for people to decide.

Its form (version 1, `/var/lib/rcnetd-persist/undo/record.json`):

    files        by path: before (null: there was none) with data, mode, uid, gid; ours, a list of
                 what we have made of it, null where we removed it
    directories  that we made, the uppermost first
    routes       that were removed when the files were first written (`removed.json`)
    links        that were set down then
    boot_id      of the boot in which that was

Bytes that are not UTF-8 are lone surrogates, as Python's `surrogateescape` has them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Optional

from rcnetd.basic.dataclass import dataclass, field, replace
from rcnetd.hostconfig.renderers.marked_edits import unedited
from rcnetd.hostconfig.renderers.model import CannotPersist, Changes, File

VERSION = 1


@dataclass(frozen=True)
class FileRecord:
    """What a file was (None: not there), and what of it is ours (None: not there)."""

    before: File | None
    ours: tuple[bytes | None, ...]


Present = Mapping[str, Optional[File]]  # what is there now, by path


@dataclass(frozen=True)
class RevertRecord:
    """The record."""

    files: Mapping[str, FileRecord] = field(default_factory=dict)
    directories: tuple[str, ...] = ()
    routes: tuple[Mapping[str, Any], ...] = ()
    links: tuple[Mapping[str, Any], ...] = ()
    boot_id: str = ""

    def without_rewritten(self, present: Present) -> RevertRecord:
        """Without the files that somebody has written anew: there is nothing of ours in them."""
        return replace(
            self,
            files={
                path: entry
                for path, entry in self.files.items()
                if _data(present[path]) in (*entry.ours, _data(entry.before))
                or _is_edited(path, present[path])
            },
        )

    def before_write(self, present: Present, made: Changes) -> RevertRecord:
        """The record before the changes are made."""
        files = dict(self.files)
        for path, change in made.items():
            now, old = present[path], files.get(path)
            data = _data(now)
            if old is not None and data in old.ours:
                files[path] = replace(old, ours=(data, change.data))
            else:  # the first time, or another program has written it anew
                before = _without_edits(path, now)
                files[path] = FileRecord(before, (data, change.data))
        return replace(self, files=files)

    def after_write(self, made: Changes) -> RevertRecord:
        """The record after they were made: what has become as it was needs no undoing."""
        files = dict(self.files)
        for path, change in made.items():
            if change.data == _data(files[path].before):
                del files[path]
            else:
                files[path] = replace(files[path], ours=(change.data,))
        return replace(self, files=files)

    def edited(self, present: Present) -> list[str]:
        """The files that are neither as they were nor as we made them."""
        return [
            path
            for path, entry in self.files.items()
            if _data(present[path]) not in (*entry.ours, _data(entry.before))
        ]

    def text(self) -> str:
        """As JSON."""
        content = {
            "version": VERSION,
            "files": {
                path: {
                    "before": _kept_to_json(entry.before),
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


def parse(text: bytes) -> RevertRecord:
    """The record from JSON. Raises `ValueError`, `KeyError` or `TypeError` if it is damaged."""
    content = json.loads(text)
    if content["version"] != VERSION:
        raise ValueError("of another version")
    return RevertRecord(
        {
            str(path): FileRecord(
                _kept_from_json(entry["before"]),
                tuple(None if data is None else _bytes(data) for data in entry["ours"]),
            )
            for path, entry in content["files"].items()
        },
        tuple(map(str, content["directories"])),
        tuple(content["routes"]),
        tuple(content["links"]),
        str(content["boot_id"]),
    )


def _data(kept: File | None) -> bytes | None:
    return None if kept is None else kept.data


def _is_edited(path: str, kept: File | None) -> bool:
    return _without_edits(path, kept) != kept


def _without_edits(path: str, kept: File | None) -> File | None:
    if kept is None:
        return None
    try:
        data = unedited(path, kept.data)
    except CannotPersist:  # half a mark of ours: nothing that we could take out
        return kept
    return None if data is None else replace(kept, data=data)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _kept_to_json(kept: File | None) -> dict[str, Any] | None:
    if kept is None:
        return None
    return {"data": _text(kept.data), "mode": kept.mode, "uid": kept.uid, "gid": kept.gid}


def _kept_from_json(content: dict[str, Any] | None) -> File | None:
    if content is None:
        return None
    mode, uid, gid = (int(content[key]) for key in ("mode", "uid", "gid"))
    return File(_bytes(content["data"]), mode, uid, gid)
