"""One cloud server as the Cloud Servers API lists it, which ones are selected, and their numbers.

Pure. The API page: "rackconnect_automation_status" in the server's metadata is DEPLOYING, DEPLOYED,
FAILED or UNPROCESSABLE. The key is missing at first, and for ever on servers that are not
RackConnected.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from rcnetd.basic.dataclass import dataclass, field
from rcnetd.basic.text import plain

STATUS_KEY = "rackconnect_automation_status"
FEATURE_PREFIX = "rackconnect_automation_feature_"
MAX_NAME = 255  # characters; Nova's own bound
MAX_WORD = 80
SERVICENET = (IPv4Network("10.176.0.0/12"), IPv4Network("10.208.0.0/12"))


class Automation(enum.Enum):
    """RackConnect's word about one server, in the order in which tables show them."""

    FAILED = "FAILED"
    UNPROCESSABLE = "UNPROCESSABLE"
    DEPLOYING = "DEPLOYING"
    UNKNOWN = "UNKNOWN"  # a word that is not documented; never taken for DEPLOYED
    NOT_RACKCONNECTED = "NOT_RACKCONNECTED"  # no word: not yet, or never
    DEPLOYED = "DEPLOYED"


@dataclass(frozen=True)
class Server:
    """A server. Texts are on one line; *word* is the status as the API spells it."""

    id: str
    name: str
    cloud: str
    region: str
    server_status: str
    automation: Automation
    word: str
    access_address: str | None
    servicenet_address: str | None
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def features(self) -> dict[str, str]:
        """RackConnect's features, ENABLED or DISABLED, by their names."""
        return {
            key[len(FEATURE_PREFIX) :]: value
            for key, value in self.metadata.items()
            if key.startswith(FEATURE_PREFIX)
        }


def parse(raw: Any, cloud: str, region: str) -> Server | None:
    """A server of `/servers/detail`; None if it is deleted, being deleted, or is not a server.

    While it is being deleted, a server still is ACTIVE; its task state says so.
    """
    if not isinstance(raw, dict) or not isinstance(raw.get("id"), str) or not raw["id"]:
        return None
    state = _text(raw.get("status"))
    if state in ("DELETED", "SOFT_DELETED") or raw.get("OS-EXT-STS:task_state") == "deleting":
        return None
    given = raw.get("metadata")
    metadata = {
        _line(key, MAX_NAME): _text(value, MAX_NAME)
        for key, value in (given.items() if isinstance(given, dict) else ())
    }
    word = metadata.get(STATUS_KEY, "")[:MAX_WORD]
    return Server(
        id=plain(raw["id"], MAX_WORD),
        name=_text(raw.get("name"), MAX_NAME),
        cloud=cloud,
        region=region,
        server_status=state,
        automation=automation_of(word),
        word=word,
        access_address=_address(raw.get("accessIPv4")),
        servicenet_address=_servicenet(raw.get("addresses")),
        metadata=metadata,
    )


def automation_of(word: str) -> Automation:
    """What *word* means: in any case, surrounding blanks ignored."""
    spelt = word.strip().upper()
    if not spelt:
        return Automation.NOT_RACKCONNECTED
    if spelt in ("DEPLOYING", "DEPLOYED", "FAILED", "UNPROCESSABLE"):
        return Automation[spelt]
    return Automation.UNKNOWN


@lru_cache(maxsize=4096)
def _line(text: str, limit: int) -> str:
    """*text* on one line. Most of 10,000 servers' texts are the same: each is kept once."""
    return plain(text, limit)


def _text(value: Any, limit: int = MAX_WORD) -> str:
    return _line(value, limit) if isinstance(value, str) else ""


def _address(value: Any) -> str | None:
    try:
        return str(IPv4Address(value)) if isinstance(value, str) else None
    except ValueError:
        return None


def _servicenet(networks: Any) -> str | None:
    """Rackspace calls ServiceNet `private`; other clouds are searched by its two networks."""
    if not isinstance(networks, dict):
        return None
    listed = {name: entry if isinstance(entry, list) else [] for name, entry in networks.items()}
    for name in sorted(listed, key=lambda name: name != "private"):
        for entry in listed[name]:
            found = _address(entry.get("addr")) if isinstance(entry, dict) else None
            if found and any(IPv4Address(found) in network for network in SERVICENET):
                return found
    return None


@dataclass(frozen=True)
class Selection:
    """Which servers count: compared here, as the API ignores most filters silently."""

    names: tuple[str, ...] = ()  # globs, as in a shell; one of them matches
    metadata: tuple[tuple[str, str], ...] = ()  # all of them hold
    ids: frozenset[str] = frozenset()  # empty: any

    def matches(self, server: Server) -> bool:
        """Whether *server* is selected."""
        if self.ids and server.id not in self.ids:
            return False
        if self.names and not any(fnmatchcase(server.name, glob) for glob in self.names):
            return False
        return all(server.metadata.get(key) == value for key, value in self.metadata)

    def __str__(self) -> str:
        parts = [f"--name '{glob}'" for glob in self.names]
        parts += [f"--metadata '{key}={value}'" for key, value in self.metadata]
        parts += ["--id"] if self.ids else []
        return plain(" ".join(parts), 200)


@dataclass(frozen=True)
class Counts:
    """How many servers are in which status."""

    of: Mapping[Automation, int]

    def __getitem__(self, automation: Automation) -> int:
        return self.of.get(automation, 0)

    @property
    def total(self) -> int:
        """All servers."""
        return sum(self.of.values())

    def __str__(self) -> str:
        words = [f"{self[one]} {WORDS[one]}" for one in ORDER if self[one]]
        return f"{self.total} server{'s' * (self.total != 1)}: {', '.join(words) or 'none'}"


WORDS = {
    **{one: one.value for one in Automation},
    Automation.NOT_RACKCONNECTED: "not RackConnected",
    Automation.UNKNOWN: "in an unknown status",
}
ORDER = (Automation.DEPLOYED, *(one for one in Automation if one is not Automation.DEPLOYED))


def count(servers: Iterable[Server]) -> Counts:
    """The number of servers in each status."""
    numbers: dict[Automation, int] = {}
    for server in servers:
        numbers[server.automation] = numbers.get(server.automation, 0) + 1
    return Counts(numbers)
