"""`rcnetctl clean`: before the snapshot of an image, forget what is bound to this machine.

What is remembered, what happened since boot, what the platform said: never the settings, nor the
host's own network configuration, which `rcnetctl revert` puts back. Exit codes: 0 nothing is left;
1 something could not be removed, or has to be reverted first, or rcnetd runs.
"""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

from rcnetd.store.paths import Paths


def run(paths: Paths, root: Path, *, dry_run: bool) -> int:
    """Remove what is ours below *root*, and say what."""
    paths = paths.below(root)
    try:
        if _is_running(paths):
            return _fail("rcnetd runs, and would remember it all again; 'systemctl stop rcnetd'")
    except PermissionError:
        return _fail("only root may remove what is rcnetd's; run it as root")
    code = 0
    if (paths.undo / "undo/record.json").exists():
        text = "the host's own configuration has this server's route: 'rcnetctl revert' first"
        code = _fail(text)
    for path in paths.bound_to_this_machine:
        try:
            code = max(code, _remove(path, dry_run=dry_run))
        except OSError as error:
            code = _fail(f"Failed to remove '{path}': {error.strerror}")
    machine_id = root / "etc/machine-id"
    if _is_set(machine_id):
        print(f"rcnetctl: '{machine_id}' is not empty: servers of this image would share it; empty"
              " it", file=sys.stderr)  # fmt: skip
    return code


def _remove(path: Path, *, dry_run: bool) -> int:
    if not path.is_symlink() and not path.exists():
        return 0
    if path.is_dir() and not path.is_symlink():
        return _fail(f"'{path}' is a directory, not ours; leaving it")
    if not dry_run:
        path.unlink()  # a link goes itself, what it points to stays
    print(f"{'would remove' if dry_run else 'removed'} {path}")
    return 0


def _is_running(paths: Paths) -> bool:
    try:
        descriptor = os.open(paths.lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False  # it has not run since boot
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_set(path: Path) -> bool:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip() not in (
            "",
            "uninitialized",
        )
    except OSError:
        return False


def _fail(text: str) -> int:
    print(f"rcnetctl: {text}", file=sys.stderr)
    return 1
