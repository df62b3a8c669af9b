"""The addresses and routes of NetworkManager's keyfiles, as libnm's nm-keyfile.c reads them.

`,` `;` and `/` all separate fields; NetworkManager itself writes `ADDRESS/PREFIX,GATEWAY,METRIC`. A
missing prefix length is 24, of IPv6 64. White space, also at the end of a line, belongs to the
value and makes it invalid.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Union

from rcnetd.basic.dataclass import dataclass

Address = Union[IPv4Address, IPv6Address]

ROUTE_KEY = re.compile("routes?(0|[1-9][0-9]{0,9})?")
ADDRESS_KEY = re.compile("address(?:es)?(0|[1-9][0-9]{0,9})?")
_FIELDS = re.compile(
    "(?P<address>[0-9a-fA-F:.%]+)(?:[/;,](?P<prefix>[0-9]{0,20})(?![^/;,]))?"
    "(?:[/;,](?P<gateway>[0-9a-fA-F:.%]*))?(?:[/;,](?P<metric>[0-9]{0,20}))?[/;,]?"
)


@dataclass(frozen=True)
class Fields:
    """The fields of an address or of a route."""

    address: Address
    prefix: int
    gateway: Address | None = None
    metric: int | None = None


def canonical(key: str, value: str) -> tuple[str, str]:
    """The key without its number and the value as NetworkManager itself writes them."""
    for pattern, name in ((ROUTE_KEY, "route"), (ADDRESS_KEY, "address")):
        if pattern.fullmatch(key.removesuffix("_options")):
            if key.endswith("_options"):
                return f"{name}_options", ",".join(sorted(value.split(",")))
            fields = parse_fields(value, "ipv6" if ":" in value else "ipv4")
            return name, _text(fields) if fields else value
    return key, value


def _text(fields: Fields) -> str:
    """Write the fields; a metric needs a gateway before it, and 0.0.0.0 stands for none."""
    gateway = fields.gateway
    if fields.metric is not None and gateway is None:
        gateway = ip_address(bytes(fields.address.max_prefixlen // 8))
    words = [f"{fields.address}/{fields.prefix}", gateway, fields.metric]
    return ",".join(str(word) for word in words if word is not None)


def parse_fields(value: str, section: str) -> Fields | None:
    """Split an address or a route; None for one that NetworkManager ignores."""
    match = _FIELDS.fullmatch(value)
    address = parse_address(match["address"], section) if match else None
    if not match or not address:
        return None
    prefix = int(match["prefix"] or address.max_prefixlen + 1)
    if prefix > address.max_prefixlen:
        prefix = 24 if address.version == 4 else 64
    text, metric = match["gateway"], match["metric"]
    if text and not parse_address(text, section):
        if address.version == 4 or metric or not re.fullmatch("[0-9]{1,20}", text):
            return None
        metric = text  # `::/0,5`, as an old writer had it
    return Fields(address, prefix, parse_gateway(text, section), int(metric) if metric else None)


def parse_gateway(text: str | None, section: str) -> Address | None:
    """A gateway; `0.0.0.0` and `::` stand for none."""
    address = parse_address(text or "", section)
    return None if address is None or address.is_unspecified else address


def parse_address(text: str, section: str) -> Address | None:
    """Parse an address of the section's family; None for other text."""
    try:
        return IPv4Address(text) if section == "ipv4" else IPv6Address(text)
    except ValueError:
        return None
