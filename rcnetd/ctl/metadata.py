"""`rcnetctl metadata`: what the platform says of this server, and where it says so.

With --write the platform is asked now, and the answer kept for rcnetd (`rcnetd-metadata.service`
does so at boot); else what was kept is shown. Exit codes: 0; 1 it cannot be written; 3 nothing was
kept (yet).
"""

from __future__ import annotations

import json
import sys
from typing import Any

from rcnetd.basic.files import read_bounded, write_atomic
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


def run(paths: Paths, *, write: bool, as_json: bool) -> int:
    """Show what is kept, after asking the platform with *write*."""
    if write and not _write(paths):
        return 1
    try:
        content = json.loads(read_bounded(paths.metadata, MAX_SIZE))
    except FileNotFoundError:
        return _fail("nothing is kept; 'systemctl start rcnetd-metadata' asks the platform", 3)
    except (OSError, ValueError, RecursionError) as error:
        return _fail(f"Failed to read '{paths.metadata}': {error}", 1)
    if not isinstance(content, dict):
        return _fail(f"'{paths.metadata}' is damaged", 1)
    if as_json:
        print(json.dumps(content, indent=1))
    else:
        _show(content)
    for warning in read(paths.metadata)[1]:
        print(f"rcnetctl: {warning}", file=sys.stderr)
    return 0


def _write(paths: Paths) -> bool:
    from rcnetd.metadata.parse import merge
    from rcnetd.metadata.sources import Platform

    platform = Platform()
    content = merge(platform.read())
    for note in platform.notes:
        print(f"rcnetctl: {note}", file=sys.stderr)
    try:
        paths.metadata.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_atomic(paths.metadata, json.dumps(content, indent=1) + "\n", durable=False)
    except OSError as error:
        _fail(f"Failed to write '{paths.metadata}': {error.strerror}", 1)
        return False
    return True


def _show(content: dict[str, Any]) -> None:
    sources = content.get("sources")
    sources = sources if isinstance(sources, dict) else {}
    known = [key for key in NAMES if content.get(key)]
    if not known:
        print("the platform says nothing of this server")
    for key in known:
        value = content[key]
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        print(f"{NAMES[key]:<14}{text} ({sources.get(key, 'unknown source')})")


def _fail(text: str, code: int) -> int:
    print(f"rcnetctl: {text}", file=sys.stderr)
    return code
