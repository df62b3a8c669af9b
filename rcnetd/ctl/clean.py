"""`rcnetctl clean`: remove what is bound to this machine, before an image's snapshot.

That is the remembered gateway, the timeline and the platform's metadata; never the settings, nor
the host's network configuration, which `rcnetctl revert` restores.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from pathlib import Path

from rcnetd.ctl.command import CommandError, add_root, host_paths
from rcnetd.store.paths import Paths


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `rcnetctl clean`."""
    parser.description = (
        "Remove what is bound to this machine, so that servers of the image start afresh: the"
        " remembered gateway, the timeline, the platform's metadata. The settings stay."
    )
    parser.epilog = (
        "Exit codes: 0 nothing is left; 1 something could not be removed, rcnetd is running, or"
        " 'rcnetctl revert' has to come first."
    )
    parser.add_argument("--dry-run", action="store_true", help="only show what would be removed")
    add_root(parser)


def run(args: argparse.Namespace) -> int:
    """Remove rcnetd's own files below the root, and show which."""
    paths = host_paths().below(args.root)
    try:
        if _is_running(paths):
            text = "rcnetd is running and would recreate these files; 'systemctl stop rcnetd' first"
            raise CommandError(text)
    except PermissionError:
        raise CommandError("only root may remove rcnetd's files; run it as root") from None
    failures = []
    if (paths.undo / "undo/record.json").exists():
        failures.append(
            "the host's network configuration contains this server's route; run 'rcnetctl revert'"
            " first"
        )
    for path in paths.bound_to_this_machine:
        failures += _remove(path, dry_run=args.dry_run)
    for line in failures + _warnings(args.root / "etc/machine-id"):
        print(f"rcnetctl: {line}", file=sys.stderr)
    return 1 if failures else 0


def _remove(path: Path, *, dry_run: bool) -> list[str]:
    """Remove a file, or a link itself; return why not, if it cannot be removed."""
    if not path.is_symlink() and not path.exists():
        return []
    if path.is_dir() and not path.is_symlink():
        return [f"'{path}' is a directory, which rcnetd does not create; leaving it"]
    try:
        if not dry_run:
            path.unlink()
    except OSError as error:
        return [f"Failed to remove '{path}': {error.strerror}"]
    print(f"{'would remove' if dry_run else 'removed'} {path}")
    return []


def _warnings(machine_id: Path) -> list[str]:
    if not _is_set(machine_id):
        return []
    return [f"'{machine_id}' is not empty: servers of this image would share it; empty it"]


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
