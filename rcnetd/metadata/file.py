"""Reads what the platform says of this server: `/run/rcnetd-metadata/metadata.json`.

The file is written by `rcnetd-metadata.service` (form version 1); every key may be absent or null:

    region                   one of the six codes, in any case
    region_source            where it is from: "xenstore", "config drive", "cloud-init"
    roles                    a list of words; "rackconnect:v3" among them: not ours
    servicenet_mac           the MAC of ServiceNet's link, in any case
    servicenet_address       this server's first IPv4 address there
    public_mac               the MAC of the public interface
    public_address           this server's first IPv4 address there
    servicenet_router        the router of the two static ServiceNet routes
    configure_network_stack  "ENABLED" or "DISABLED" (in any case)
    automation_status        RackConnect's word when the file was written
    sources                  for each key: where it is from
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path
from typing import Any, TypeVar

from rcnetd.basic.dataclass import fields
from rcnetd.basic.files import read_bounded
from rcnetd.basic.text import printable
from rcnetd.core.settings import REGIONS, Metadata

MAX_SIZE = 64 * 1024  # bytes
MAX_TEXT_LENGTH = 80  # characters of a text that is only shown
MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")
T = TypeVar("T")


def read(path: Path) -> tuple[Metadata, list[str]]:
    """Read the metadata: what is usable of it, and a warning for what is not.

    No file is no metadata: the settings decide.
    """
    import json

    try:
        content = json.loads(read_bounded(path, MAX_SIZE))
    except FileNotFoundError:
        return Metadata(), []
    except OSError as error:
        return Metadata(), [f"Failed to read '{path}': {error.strerror}, ignoring"]
    except (ValueError, RecursionError) as error:
        return Metadata(), [f"Failed to read '{path}': {error}, ignoring"]
    if not isinstance(content, dict):
        return Metadata(), [f"Failed to read '{path}': it is not a JSON object, ignoring"]
    return _metadata(content, path)


def _metadata(content: dict[str, Any], path: Path) -> tuple[Metadata, list[str]]:
    warnings: list[str] = []

    def take(key: str, parse: Callable[[str], T | None]) -> T | None:
        value = content.get(key)
        parsed = parse(value) if isinstance(value, str) else None
        if value is not None and parsed is None:
            what = f"'{_line(value)}'" if isinstance(value, str) else f"a {type(value).__name__}"
            warnings.append(f"'{path}': {key} is {what}, which is not usable, ignoring")
        return parsed

    given = content.get("roles")
    roles = given if isinstance(given, list) else []
    usable = tuple(role for role in roles if isinstance(role, str))
    if (given is not None and given is not roles) or len(usable) != len(roles):
        warnings.append(f"'{path}': roles is not a list of words, ignoring what is none")
    metadata = Metadata(
        region=take("region", region),
        region_source=take("region_source", _line),
        roles=usable,
        servicenet_mac=take("servicenet_mac", _mac),
        servicenet_address=take("servicenet_address", _address),
        public_mac=take("public_mac", _mac),
        public_address=take("public_address", _address),
        servicenet_router=take("servicenet_router", _address),
        configure_network_stack=take("configure_network_stack", _feature),
        automation_status=take("automation_status", _line),
        sources=_sources(content.get("sources")),
    )
    return metadata, warnings


def _sources(value: object) -> tuple[tuple[str, str], ...]:
    entries = value.items() if isinstance(value, dict) else ()
    known = {entry.name for entry in fields(Metadata)}
    return tuple(
        (key, _line(source)) for key, source in entries if key in known and isinstance(source, str)
    )


def _line(text: str) -> str:
    return printable(text[:MAX_TEXT_LENGTH])


def region(text: str) -> str | None:
    """*text* as a region's code, None if it is none."""
    # Real values: "dfw", "DFW", and a captured config drive's junk "{}".
    return text.lower() if text.lower() in REGIONS else None


def _mac(text: str) -> str | None:
    return text.lower() if MAC.fullmatch(text) else None


def _address(text: str) -> IPv4Address | None:
    try:
        address = IPv4Address(text)
    except AddressValueError:
        return None
    # What cannot be a router: 0/8, 127/8, 224/4, 240/4.
    return address if 0 < int(address) >> 24 < 224 and not address.is_loopback else None


def _feature(text: str) -> bool | None:
    # xenstore has the value as a JSON string, with its quotes: '"ENABLED"\n'.
    return {"enabled": True, "disabled": False}.get(text.strip('" \n').lower())
