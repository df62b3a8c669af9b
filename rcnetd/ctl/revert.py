"""`rcnetctl revert`: the host's files and routes as they were before rcnetd."""

from __future__ import annotations

import argparse
from pathlib import Path

from rcnetd.ctl.command import add_root, host_paths
from rcnetd.ctl.persist import revert


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `rcnetctl revert`."""
    parser.description = (
        "Restore the host's files and routes from before rcnetd. rcnetd must not be running:"
        " 'systemctl mask --now rcnetd' first."
    )
    parser.epilog = "Exit codes: 0 restored, or nothing to restore; 1 refused or failed."
    add_root(parser)


def run(args: argparse.Namespace) -> int:
    """Restore the files, and the routes too unless it is an image's tree."""
    is_image = args.root != Path("/")
    return revert(host_paths().below(args.root), args.root, image=is_image)
