"""The JSON files that the daemon writes for others. Their forms are versioned; all are version 1.

`status.json`: see `daemon/status.py`. `ready.json`: pid, the daemon that reported READY, and the
state that it was in. `route.json` (what to persist): interface, mac, gateway, and the settings that
say how, so that their change is one of the file. `removed.json` (what `rcnetctl revert` puts back):
`routes`, each with `text` for people, `raw`, the kernel's own description in hex, and, if it has a
lifetime, `expires`, the seconds that were left of it at the point `at` (CLOCK_MONOTONIC); `links`,
each with name, mac and its addresses. `public.json`: ifindex, name, mac and why of the public
interface, as decided before any change.
"""

from __future__ import annotations

import json
import time
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from rcnetd.basic.files import read_bounded, write_atomic
from rcnetd.core.model import Address, Link, Network, Route
from rcnetd.core.public import PublicLink
from rcnetd.core.routes import describe
from rcnetd.core.settings import Settings
from rcnetd.store.paths import Paths

MAX_ENTRIES = 64
MAX_SIZE = 256 * 1024  # bytes


class RuntimeFiles:
    """Writes the daemon's files under /run, each whole or not at all. Errors are `OSError`."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._removed: dict[str, Any] | None = None

    def status(self, content: dict[str, Any]) -> None:
        """Write `status.json`, readable by all."""
        self._write(self._paths.status, content, compare=False)

    def metrics(self, text: str) -> None:
        """Write `rcnetd.prom`, readable by all; its temporary file does not end in `.prom`."""
        write_atomic(self._paths.metrics, text, mode=0o644, durable=False, compare=False)

    def read_persisted(self) -> dict[str, Any] | None:
        """How the last `rcnetctl persist` went; None if there was none, or if it is damaged."""
        try:
            content = json.loads(read_bounded(self._paths.persisted, MAX_SIZE))
            return {"ok": bool(content["ok"])}
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def ready(self, pid: int, state: str) -> None:
        """Write `ready.json`; a path unit starts the gate that failed before."""
        self._write(self._paths.ready, {"version": 1, "pid": pid, "state": state})

    def was_ready(self) -> bool:
        """Whether a daemon of this boot has reported READY."""
        return self._paths.ready.exists()

    def ready_state(self) -> str:
        """The state in which a daemon of this boot has reported READY; "" where that is unknown."""
        try:
            return str(json.loads(read_bounded(self._paths.ready, MAX_SIZE))["state"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return ""

    def public(self, public: PublicLink) -> None:
        """Write `public.json`: which link is the public interface."""
        content = {
            "version": 1,
            "ifindex": public.ifindex,
            "name": public.name,
            "mac": public.mac,
            "why": public.why,
        }
        self._write(self._paths.public, content)

    def read_public(self) -> PublicLink | None:
        """What an earlier daemon of this boot recorded; None where it did not, or is damaged."""
        try:
            content = json.loads(read_bounded(self._paths.public, MAX_SIZE, follow=False))
            name, mac, why = (str(content[key]) for key in ("name", "mac", "why"))
            return PublicLink(int(content["ifindex"]), name, mac, why)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

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
        """Add *routes* to `removed.json` before they are removed.

        What cannot be written now is written with the next ones, or by the same call again.
        """
        if not routes:
            return
        content = self._read_removed()
        known = {entry["raw"] for entry in content["routes"]}
        for route in routes:
            if route.raw.hex() not in known and len(content["routes"]) < MAX_ENTRIES:
                entry: dict[str, Any] = {"text": describe(route, network), "raw": route.raw.hex()}
                if route.expires:
                    entry.update(expires=route.expires, at=round(time.monotonic()))
                content["routes"].append(entry)
        self._write(self._paths.removed, content)

    def taken_down(self, link: Link, addresses: tuple[Address, ...]) -> None:
        """Add *link* with its addresses to `removed.json` before it is set down."""
        content = self._read_removed()
        entry: dict[str, Any] = {
            "name": link.name,
            "mac": link.mac,
            "addresses": [str(address.interface) for address in addresses],
        }
        if entry not in content["links"] and len(content["links"]) < MAX_ENTRIES:
            content["links"].append(entry)
        self._write(self._paths.removed, content)

    def _read_removed(self) -> dict[str, Any]:
        """What was removed since boot, also by an earlier daemon; the same object each time."""
        if self._removed is None:
            self._removed = self._load_removed()
        return self._removed

    def _load_removed(self) -> dict[str, Any]:
        empty: dict[str, Any] = {"version": 1, "routes": [], "links": []}
        try:
            content = json.loads(read_bounded(self._paths.removed, MAX_SIZE, follow=False))
            routes = [entry for entry in content["routes"] if isinstance(entry["raw"], str)]
            return {**empty, "routes": routes, "links": list(content["links"])}
        except FileNotFoundError:
            return empty
        except (ValueError, KeyError, TypeError):
            return empty  # not ours, or damaged: what is recorded now is worth more

    def _write(self, path: Path, content: dict[str, Any], *, compare: bool = True) -> None:
        # A line for each member: indented throughout, json takes eight times as long.
        lines = (f" {json.dumps(name)}: {json.dumps(value)}" for name, value in content.items())
        text = "{\n" + ",\n".join(lines) + "\n}\n"
        write_atomic(path, text, mode=0o644, durable=False, compare=compare)


def read_removed(paths: Paths) -> dict[str, Any]:
    """Read what the daemon has removed since boot; nothing if the file is damaged or missing."""
    try:
        content = json.loads(read_bounded(paths.removed, MAX_SIZE, follow=False))
        routes = [dict(entry) for entry in content["routes"]]
        links = [dict(entry) for entry in content["links"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {"routes": [], "links": []}
    return {"routes": routes, "links": links}
