"""One profile of NetworkManager's, read as libnm's nm-keyfile.c reads it (nm-settings-keyfile(5)).

NetworkManager 1.42 to 1.58. The tests compare this reader with `nmcli --offline`.

- A destination with prefix length 0 is a default route, whatever its address.
- Routes of every type count, `blackhole` too. `method` does not limit them: they are added with
  `disabled` and `link-local`, and with `never-default`, which only concerns gateways.
- A switch is `true`, `1`, `false` or `0`; any other word is ignored.
- Addresses and routes have several forms (keyfile_fields.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from posixpath import basename
from uuid import UUID, uuid3

from rcnetd.hostconfig.renderers.ini_edits import Entry, Section, sections
from rcnetd.hostconfig.renderers.keyfile_fields import (
    ADDRESS_KEY,
    ROUTE_KEY,
    Address,
    Fields,
    parse_address,
    parse_fields,
    parse_gateway,
)
from rcnetd.hostconfig.renderers.marked_edits import Document
from rcnetd.hostconfig.renderers.model import HostLink

ETC = "/etc/NetworkManager/system-connections"
MAX_PRIORITY = 999  # of autoconnect-priority
DEVICE_METRIC = 100  # of an Ethernet device; no kind of device has less than 50

_ETHERNET = ("ethernet", "802-3-ethernet")
_VIRTUAL = ("vlan", "bond", "bridge", "team", "macvlan", "dummy", "veth", "ip-tunnel", "vxlan")
_NEVER_AT_BOOT = ("vpn", "wifi", "802-11-wireless", "bluetooth", "gsm", "cdma", "pppoe", "adsl")
_TYPES = frozenset((*_ETHERNET, *_VIRTUAL, *_NEVER_AT_BOOT))
_METHODS = ("auto", "manual", "shared", "link-local", "disabled")
_METHODS_IPV6 = (*_METHODS, "dhcp", "ignore")
_MAIN_TABLES = (0, 254)
_UUID_NAMESPACE = UUID("b425e9fb-7598-44b4-9e3b-5a2e3aaa4905")  # libnm's nm_uuid_ns_1

_OPTION = re.compile(
    "(table|src|from|type|cwnd|initcwnd|initrwnd|lock-[a-z]+|advmss|mtu|onlink|quickack|rto_min"
    r"|scope|tos|weight|window)=[^\s=]*"
)


class Profile:
    """A keyfile."""

    def __init__(self, document: Document, default_metric: int = DEVICE_METRIC) -> None:
        """Raise `Malformed` if a line is not a section, a key or a comment."""
        self.document, self._default_metric = document, default_metric
        self.sections: list[Section] = sections(document, continues=False)

    @property
    def path(self) -> str:
        """The path of the file."""
        return self.document.path

    # Keys

    def entries(self, *names: str) -> Iterator[Entry]:
        """All entries of the sections with these names."""
        for section in self.sections:
            if section.name in names:
                yield from section.entries

    def get(self, section: str, key: str) -> str | None:
        """The value of a key; None if the key is missing. The last one counts."""
        names = _ETHERNET if section == "ethernet" else (section,)
        values = [entry.value for entry in self.entries(*names) if entry.key == key]
        return values[-1] if values else None

    def has(self, name: str) -> bool:
        """Whether there is a section of this name."""
        return any(section.name == name for section in self.sections)

    def is_true(self, section: str, key: str) -> bool:
        """Whether a switch is on."""
        return (self.get(section, key) or "").strip() in ("true", "1")

    def number(self, section: str, key: str, default: int) -> int:
        """The value of an integer key, or *default* if there is no valid one."""
        try:
            return int((self.get(section, key) or "").strip(), 0)
        except ValueError:
            return default

    # What it is

    @property
    def type(self) -> str | None:
        """The type. Without `type=` the section of a type decides, if there is only one."""
        kinds = {section.name for section in self.sections if section.name in _TYPES}
        return self.get("connection", "type") or (kinds.pop() if len(kinds) == 1 else None)

    @property
    def is_virtual(self) -> bool:
        """Whether NetworkManager itself makes the link."""
        return self.type in _VIRTUAL

    @property
    def uuid(self) -> str:
        """The UUID. A file without one gets it from its name."""
        given = self.get("connection", "uuid")
        if given:
            return given.strip().lower()
        return str(uuid3(_UUID_NAMESPACE, f"keyfile\0{ETC}/{basename(self.path)}\0"))

    @property
    def objection(self) -> str | None:
        """Why NetworkManager rejects the profile; None if it does not."""
        if self.type is None:
            return "[connection] has no type"
        if self.get("connection", "master"):  # a port has no addresses; what is said is dropped
            return None
        for section, methods in (("ipv4", _METHODS), ("ipv6", _METHODS_IPV6)):
            if self.has(section) and self.get(section, "method") not in methods:
                return f"[{section}] has no valid method"
        return self._objection_to_addresses()

    def _objection_to_addresses(self) -> str | None:
        method, addresses = self.get("ipv4", "method"), list(self.addresses("ipv4"))
        if method == "manual" and not addresses:
            return "[ipv4] has no valid address"
        if method in ("disabled", "link-local") and addresses:
            return f"[ipv4] has an address, which 'method={method}' forbids"
        gateway = (self.get("ipv4", "gateway") or "").strip()
        if gateway and not (addresses and parse_address(gateway, "ipv4")):
            return "[ipv4] has an invalid gateway, or a gateway without an address"
        return None

    # When and for which link

    @property
    def connects(self) -> bool:
        """Whether NetworkManager activates the profile at boot, and gives it addresses."""
        if self.type in _NEVER_AT_BOOT or self.get("connection", "permissions"):
            return False
        if self.get("connection", "master"):
            return False
        return (self.get("connection", "autoconnect") or "").strip() not in ("false", "0")

    @property
    def priority(self) -> int:
        """`autoconnect-priority`; the highest one wins."""
        value = self.number("connection", "autoconnect-priority", 0)
        return value if abs(value) <= MAX_PRIORITY else 0

    @property
    def mac(self) -> str | None:
        """The MAC address that the link must have, as the kernel writes it."""
        text = (self.get("ethernet", "mac-address") or "").strip()
        words = [word for word in re.split("[:;-]", text) if word]
        try:
            values = [int(word, 10 if ";" in text else 16) for word in words]
        except ValueError:
            return None
        return ":".join(f"{value:02x}" for value in values) or None

    @property
    def interface_name(self) -> str | None:
        """The name that the link must have. It used to be a key of the type's own section."""
        given = self.get("connection", "interface-name")
        return given or self.get(self.get("connection", "type") or "", "interface-name")

    @property
    def names_its_link(self) -> bool:
        """Whether the profile is for one link only."""
        return bool(self.interface_name or self.mac)

    @property
    def links(self) -> list[str]:
        """How the profile names its links: a name, patterns, or a MAC address; else its file."""
        if self.interface_name:
            return [self.interface_name]
        words = [word.lstrip("|&") for word in self.patterns if "!" not in word[:2]]
        return [word for word in words if self._accepts_name(word)] or [
            self.mac or basename(self.path)
        ]

    def fits(self, link: HostLink, *, is_virtual: bool) -> bool:
        """Whether NetworkManager may use the profile for this link."""
        if not self._accepts_name(link.name):
            return False
        if self.is_virtual:
            return self.interface_name is not None
        if is_virtual or self.type not in _ETHERNET:
            return False
        keys = ("mac-address-blacklist", "mac-address-denylist")
        denied = [word for key in keys for word in (self.get("ethernet", key) or "").split(";")]
        if link.mac and link.mac in map(str.lower, denied):
            return False
        return self.mac in (None, link.mac)

    @property
    def patterns(self) -> list[str]:
        """The patterns of `[match] interface-name=`."""
        return [word for word in (self.get("match", "interface-name") or "").split(";") if word]

    def _accepts_name(self, name: str) -> bool:
        """Whether the name fits; `&` marks a mandatory pattern, `!` an excluded one."""
        if self.interface_name is not None and self.interface_name != name:
            return False
        optional = []
        for word in self.patterns:
            negated = "!" in word[:2]
            fits = fnmatchcase(name, word.lstrip("|&!")) is not negated
            if word.startswith("&") or (negated and not word.startswith("|")):
                if not fits:
                    return False
            else:
                optional.append(fits)
        return any(optional) or not optional

    # Addresses and routes

    @property
    def metric(self) -> int:
        """The metric of IPv4 routes that have none of their own."""
        value = self.number("ipv4", "route-metric", -1)
        return self._default_metric if value < 0 else value

    @property
    def is_in_main_table(self) -> bool:
        """Whether IPv4 routes that name no table are in table main."""
        return self.number("ipv4", "route-table", 0) in _MAIN_TABLES

    def addresses(self, section: str) -> Iterator[tuple[Entry, Fields]]:
        """The addresses, each with its entry."""
        for entry in self._numbered(section, ADDRESS_KEY):
            fields = parse_fields(entry.value, section)
            if fields and fields.metric is None:
                yield entry, fields

    def gateways(self, section: str) -> Iterator[tuple[Entry, Address]]:
        """The gateways: `gateway=` before those behind addresses. The first one counts."""
        last = [entry for entry in self.entries(section) if entry.key == "gateway"][-1:]
        found = [(entry, parse_gateway(entry.value.strip(), section)) for entry in last]
        found += [(entry, fields.gateway) for entry, fields in self.addresses(section)]
        for entry, gateway in found:
            if gateway:
                yield entry, gateway

    def default_routes(self, section: str) -> Iterator[tuple[Entry, Fields]]:
        """The default routes of table main among the routes, each with its entry."""
        for entry in self._numbered(section, ROUTE_KEY):
            fields = parse_fields(entry.value, section)
            if fields and fields.prefix == 0 and self._table(section, entry) in _MAIN_TABLES:
                yield entry, fields

    def _table(self, section: str, route: Entry) -> int:
        """The table of a route. NetworkManager drops options of which it does not know one."""
        options = (self.get(section, f"{route.key}_options") or "").split(",")
        if all(_OPTION.fullmatch(option) for option in options):
            for option in options:
                if re.fullmatch("table=[0-9]{1,10}", option):
                    return int(option[6:])
        return self.number(section, "route-table", 0)

    def _numbered(self, section: str, pattern: re.Pattern[str]) -> list[Entry]:
        """The entries of a list (`route`, `route0`, `route1` …), in NetworkManager's order."""
        last = {entry.key: entry for entry in self.entries(section)}
        found = [(match, last[key]) for key in last if (match := pattern.fullmatch(key))]
        found.sort(key=lambda item: (int(item[0][1] or -1), item[1].key))
        return [entry for _, entry in found]
