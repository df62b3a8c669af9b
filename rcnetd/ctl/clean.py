"""`rcnetctl clean`: remove what is bound to this machine, before an image's snapshot.

That is the remembered gateway, the timeline and the platform's metadata; never the settings, nor
the host's network configuration, which `rcnetctl revert` restores.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import os
import stat
import sys

from rcnetd.basic.chroot_files import Chroot
from rcnetd.ctl.command import CommandError, add_root, host_paths
from rcnetd.ctl.terminal import say
from rcnetd.store.paths import Paths

MACHINE_ID = "/etc/machine-id"
MAX_SIZE = 1024  # bytes of it


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
    paths, tree = host_paths(), Chroot(args.root)
    try:
        if _is_running(tree, paths):
            text = "rcnetd is running and would recreate these files; 'systemctl stop rcnetd' first"
            raise CommandError(text)
        failures = _unreverted(tree, paths)
    except PermissionError:
        raise CommandError("only root may remove rcnetd's files; run it as root") from None
    except OSError as error:
        raise CommandError(f"Failed to read '{error.filename}': {error.strerror}") from None
    for path in paths.bound_to_this_machine:
        failures += _remove(tree, str(path), dry_run=args.dry_run)
    for line in failures + _warnings(tree):
        say(f"rcnetctl: {line}", file=sys.stderr)
    return 1 if failures else 0


def _unreverted(tree: Chroot, paths: Paths) -> list[str]:
    if not tree.exists(str(paths.undo / "undo/record.json")):
        return []
    text = "the host's network configuration contains this server's route"
    return [f"{text}; run 'rcnetctl revert' first"]


def _remove(tree: Chroot, path: str, *, dry_run: bool) -> list[str]:
    """Remove a file, or a link itself; return why not, if it cannot be removed."""
    shown = tree.shown(path)
    try:
        with tree.locate(path, follow=False) as place:
            if stat.S_ISDIR(place.stat().st_mode):
                return [f"'{shown}' is a directory, which rcnetd does not create; leaving it"]
            if not dry_run:
                place.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        if _is_build_s_own(error, path):
            return []
        return [f"Failed to remove '{shown}': {error.strerror}"]
    say(f"{'would remove' if dry_run else 'removed'} {shown}")
    return []


def _is_build_s_own(error: OSError, path: str) -> bool:
    """Whether it is in a /run that a build has mounted: nothing there gets into the image."""
    return error.errno == errno.EXDEV and path.startswith("/run/")


def _warnings(tree: Chroot) -> list[str]:
    try:
        data, _ = tree.read(MACHINE_ID, MAX_SIZE)
    except (OSError, ValueError):
        return []
    if data.strip() in (b"", b"uninitialized"):
        return []
    shown = tree.shown(MACHINE_ID)
    return [f"'{shown}' is not empty: servers of this image would share it; empty it"]


def _is_running(tree: Chroot, paths: Paths) -> bool:
    try:
        with tree.locate(str(paths.lock)) as place:
            descriptor = tree.open_file(place, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False  # it has not run since boot
    except ValueError:
        return False  # not a lock of ours
    except OSError as error:
        if _is_build_s_own(error, str(paths.lock)):
            return False
        raise
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
