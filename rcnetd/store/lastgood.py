"""Reads and writes `/var/lib/rcnetd/gateway.json`: what outlives a reboot, for this server only.

Form version 1: machine_id, endpoint, mac, address (with prefix length), configured_by ("rcnetd" or
"rackconnect"), gateway (null where RackConnect sets it), deployed, api_address (null or absent:
none is proven). Only the daemon reads it (mode 0600): a machine-id is not for everybody
(machine-id(5)).
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from rcnetd.basic.files import read_bounded, write_atomic
from rcnetd.core.lastgood import Identity, LastGood
from rcnetd.core.model import ConfiguredBy

VERSION = 1
MAX_SIZE = 4096  # bytes
MACHINE_ID = Path("/etc/machine-id")


def machine_id(path: Path = MACHINE_ID) -> str:
    """This machine's id; "" where it has none (yet): a golden image, or a file of another form."""
    try:
        text = read_bounded(path, 64).decode("ascii", "replace").strip()
    except (OSError, ValueError):
        return ""
    return text if re.fullmatch(r"[0-9a-f]{32}", text) else ""


def load(path: Path) -> tuple[LastGood | None, list[str]]:
    """What is remembered, and a warning where it is unusable: then the boot is as a first one."""
    import json

    try:
        return _memory(json.loads(read_bounded(path, MAX_SIZE))), []
    except FileNotFoundError:
        return None, []
    except OSError as error:
        return None, [f"Failed to read '{path}': {error.strerror}, going on as on a first boot"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None, [f"'{path}' is damaged, going on as on a first boot"]


def save(path: Path, memory: LastGood) -> None:
    """Write it whole, to outlive a loss of power. Raises `OSError`."""
    import json

    content = {
        "version": VERSION,
        "machine_id": memory.identity.machine_id,
        "endpoint": memory.identity.endpoint,
        "mac": memory.mac,
        "address": str(memory.address),
        "configured_by": memory.configured_by.value,
        "gateway": str(memory.gateway) if memory.gateway else None,
        "deployed": memory.deployed,
        "api_address": str(memory.api_address) if memory.api_address else None,
    }
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(path, json.dumps(content, indent=1) + "\n", mode=0o600)


def _memory(content: dict[str, object]) -> LastGood:
    """Raises `ValueError`, `KeyError` or `TypeError` for what `save` did not write."""
    words = [content[key] for key in ("machine_id", "endpoint", "mac")]
    gateway, deployed = content["gateway"], content["deployed"]
    if content["version"] != VERSION or not isinstance(deployed, bool):
        raise ValueError("of another version or type")
    if not all(isinstance(word, str) for word in (*words, content["address"])):
        raise TypeError("of another type")
    api = content.get("api_address")
    if not all(word is None or isinstance(word, str) for word in (gateway, api)):
        raise TypeError("of another type")
    configured_by = ConfiguredBy(content["configured_by"])
    if (gateway is None) is not (configured_by is ConfiguredBy.RACKCONNECT):
        raise ValueError("a gateway is remembered if rcnetd set it, and only then")
    machine, endpoint, mac = map(str, words)
    return LastGood(
        Identity(machine, endpoint),
        mac,
        IPv4Interface(str(content["address"])),
        configured_by,
        IPv4Address(gateway) if gateway is not None else None,
        deployed,
        IPv4Address(api) if api is not None else None,
    )
