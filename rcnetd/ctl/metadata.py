"""`rcnetctl metadata`: what the platform says about this server, and where it says so.

`rcnetd-metadata.service` runs it with --write at boot, for rcnetd.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from rcnetd.basic.files import read_bounded, write_atomic
from rcnetd.ctl.command import NOT_RUNNING, CommandError, add_format, host_paths
from rcnetd.ctl.terminal import say
from rcnetd.metadata.file import MAX_SIZE, read
from rcnetd.store.paths import Paths

NAMES = {
    "region": "Region",
    "roles": "Roles",
    "servicenet_mac": "ServiceNet",
    "servicenet_router": "Router",
    "public_mac": "Public",
    "configure_network_stack": "Network Stack",
    "automation_status": "Automation",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `rcnetctl metadata`."""
    parser.description = (
        "Show what the platform said about this server at boot: region, roles, MAC addresses."
    )
    parser.epilog = (
        "Exit codes: 0 success; 1 the metadata cannot be read or written; 3 none has been collected"
        " since boot."
    )
    add_format(parser)
    parser.add_argument(
        "--write", action="store_true",
        help="query the platform now and store its answer for rcnetd (root)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Show the stored metadata, after collecting it with --write."""
    paths = host_paths()
    if args.write:
        _collect(paths)
    try:
        content = json.loads(read_bounded(paths.metadata, MAX_SIZE))
    except FileNotFoundError:
        text = "no metadata has been collected since boot; 'systemctl start rcnetd-metadata'"
        raise CommandError(text, NOT_RUNNING) from None
    except (OSError, ValueError, RecursionError) as error:
        raise CommandError(f"Failed to read '{paths.metadata}': {error}") from None
    if not isinstance(content, dict):
        raise CommandError(f"'{paths.metadata}' is damaged; 'systemctl start rcnetd-metadata'")
    if args.format == "json":
        print(json.dumps(content, indent=1))
    else:
        _show(content)
    for warning in read(paths.metadata)[1]:
        say(f"rcnetctl: {warning}", file=sys.stderr)
    return 0


def _collect(paths: Paths) -> None:
    from rcnetd.metadata.parse import merge
    from rcnetd.metadata.sources import Platform

    platform = Platform()
    content = merge(platform.read())
    for note in platform.notes:
        say(f"rcnetctl: {note}", file=sys.stderr)
    try:
        paths.metadata.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_atomic(paths.metadata, json.dumps(content, indent=1) + "\n", durable=False)
    except OSError as error:
        text = f"Failed to write '{paths.metadata}': {error.strerror}"
        raise CommandError(text) from None


def _show(content: dict[str, Any]) -> None:
    sources = content.get("sources")
    sources = sources if isinstance(sources, dict) else {}
    known = [key for key in NAMES if content.get(key)]
    if not known:
        say("the platform says nothing about this server")
    for key in known:
        value = content[key]
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        say(f"{NAMES[key]:<14}{text} ({sources.get(key, 'unknown source')})")
