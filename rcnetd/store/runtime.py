"""The JSON files that the daemon writes for others. Their forms are versioned; all are version 1.

`status.json`: see `daemon/status.py`. `ready.json`: pid, the daemon that reported READY.
`route.json` (what to persist): interface, mac, gateway, and the settings that say how, so that
their change is one of the file. `removed.json` (what `rcnetctl revert` puts back):
`routes`, each with `text` for people and `raw`, the kernel's own description in hex; `links`, each
with name, mac and its addresses.
"""

from __future__ import annotations

import json
from ipaddress import IPv4Address
from typing import Any

from rcnetd.basic.files import read_bounded, write_atomic
from rcnetd.core.model import Address, Link, Network, Route
from rcnetd.core.routes import describe
from rcnetd.core.settings import Settings
from rcnetd.store.paths import Paths

MAX_ENTRIES = 64
MAX_SIZE = 256 * 1024  # bytes


class RuntimeFiles:
    """Writes the daemon's files under /run, each whole or not at all. Errors are `OSError`."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def status(self, content: dict[str, Any]) -> None:
        """Write `status.json`, readable by all."""
        self._write(self._paths.status, content)

    def ready(self, pid: int) -> None:
        """Write `ready.json`; a path unit starts the gate that failed before."""
        self._write(self._paths.ready, {"version": 1, "pid": pid})

    def in_effect(self, link: Link | None, gateway: IPv4Address, settings: Settings) -> None:
        """Write `route.json`: the default route in effect; a path unit starts the persister."""
        content = {
            "version": 1,
            "interface": link.name if link else None,
            "mac": link.mac if link else None,
            "gateway": str(gateway),
            "persist": settings.persist.value,
            "public_interface": settings.public_interface.value,
            "public_ipv6": settings.public_ipv6.value,
            "public_routes": [str(network) for network in settings.public_routes],
        }
        self._write(self._paths.route, content)

    def removed(self, routes: tuple[Route, ...], network: Network) -> None:
        """Add *routes* to `removed.json` before they are removed."""
        if not routes:
            return
        content = self._read_removed()
        known = {entry["raw"] for entry in content["routes"]}
        for route in routes:
            if route.raw.hex() not in known and len(content["routes"]) < MAX_ENTRIES:
                content["routes"].append({"text": describe(route, network), "raw": route.raw.hex()})
        self._write(self._paths.removed, content)

    def taken_down(self, link: Link, addresses: tuple[Address, ...]) -> None:
        """Add *link* with its addresses to `removed.json` before it is set down."""
        content = self._read_removed()
        entry = {
            "name": link.name,
            "mac": link.mac,
            "addresses": [str(address.interface) for address in addresses],
        }
        if entry not in content["links"] and len(content["links"]) < MAX_ENTRIES:
            content["links"].append(entry)
        self._write(self._paths.removed, content)

    def _read_removed(self) -> dict[str, Any]:
        empty: dict[str, Any] = {"version": 1, "routes": [], "links": []}
        try:
            content = json.loads(read_bounded(self._paths.removed, MAX_SIZE))
            routes = [entry for entry in content["routes"] if isinstance(entry["raw"], str)]
            return {**empty, "routes": routes, "links": list(content["links"])}
        except FileNotFoundError:
            return empty
        except (ValueError, KeyError, TypeError):
            return empty  # not ours, or damaged: what is recorded now is worth more

    def _write(self, path: Any, content: dict[str, Any]) -> None:
        write_atomic(path, json.dumps(content, indent=1) + "\n", mode=0o644, durable=False)
