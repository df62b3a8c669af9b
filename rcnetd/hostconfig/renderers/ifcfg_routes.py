"""The route files of the ifcfg format, which have two readers and two forms (sysconfig.txt).

NetworkManager's ifcfg-rh plugin and the `ifup-routes` script of the network-scripts (EL 7 and 8)
both read `route-X`. If a line in it is `ADDRESSn=…`, both read variables, up to the first number
that is missing; otherwise each line is what `ip route add` takes. They differ in this:

- The script reads only `ADDRESSn`, `NETMASKn` and `GATEWAYn`. Our route has no metric there, and a
  gateway outside of the subnet needs a route of its own before it instead of `OPTIONSn=onlink`.
- The plugin drops a line with a word that it does not know, such as `proto` or `table main`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network

from rcnetd.basic.dataclass import dataclass
from rcnetd.hostconfig.renderers.ifcfg_variables import Assignment, Variables
from rcnetd.hostconfig.renderers.marked_edits import Document
from rcnetd.hostconfig.renderers.route_arguments import ip_default

_NUMBERED_FORM = re.compile(r"[ \t\r\v\f]*ADDRESS[0-9]+=")
_KEYS = ("ADDRESS", "NETMASK", "GATEWAY", "METRIC", "OPTIONS")
_Numbered = Mapping[str, Assignment]  # by `ADDRESS`, `NETMASK` …


@dataclass(frozen=True)
class Route:
    """A route of ours. *table*: name table main, since the profile has another."""

    network: IPv4Network
    gateway: IPv4Address
    metric: int | None = None
    onlink: bool = False
    table: bool = False

    def line(self, link: str) -> str:
        """The arguments of `ip route add`."""
        metric = "" if self.metric is None else f" metric {self.metric}"
        table = " table 254" if self.table else ""
        onlink = " onlink" if self.onlink else ""
        return f"{self.network} via {self.gateway} dev {link}{metric}{table}{onlink}"

    def numbered(self) -> list[list[tuple[str, str]]]:
        """The variables without their numbers, of this route and of the one to its gateway."""
        options = [("OPTIONS", "'table 254'")] if self.table else []
        to_gateway = [("ADDRESS", str(self.gateway)), ("NETMASK", "255.255.255.255"), *options]
        own = [
            ("ADDRESS", str(self.network.network_address)),
            ("NETMASK", str(self.network.netmask)),
            ("GATEWAY", str(self.gateway)),
        ]
        own += [] if self.metric is None else [("METRIC", str(self.metric))]
        return [*([to_gateway] if self.onlink else []), [*own, *options]]


class Routes:
    """A route file in either form. *version* is 6 for `route6-X`, which has only lines."""

    def __init__(self, document: Document, *, version: int = 4) -> None:
        self.document, self._version = document, version
        self._variables: Variables | None = None
        self._kept: list[_Numbered] = []  # the numbered routes that stay, in order
        if version == 4 and any(map(_NUMBERED_FORM.match, document.lines)):
            self._variables = Variables(document)
            self._kept = list(_numbered(self._variables))

    def remove_defaults(self, keep: Route | None = None) -> list[IPv4Address]:
        """Comment the default routes of table main out, except *keep*; returns their gateways."""
        if self._variables is None:
            indexes = range(len(self.document.lines))
            return [gateway for index in indexes for gateway in self._remove_line(index, keep)]
        return self._remove_numbered(self._variables, keep)

    def _remove_line(self, index: int, keep: Route | None) -> Iterator[IPv4Address]:
        words = self.document.lines[index].partition("#")[0].split()
        default = ip_default(words, self._version)
        if default is None or default.version != self._version:
            return
        if keep and (default.gateway, default.metric) == (keep.gateway, keep.metric):
            return
        self.document.put_out([index])
        for gateway, _ in default.hops:
            if isinstance(gateway, IPv4Address):
                yield gateway

    def _remove_numbered(self, variables: Variables, keep: Route | None) -> list[IPv4Address]:
        """The routes after a removed one move up: what follows a missing number is not read."""
        removed = [
            number
            for number, route in enumerate(self._kept)
            if _is_default(variables, route) and not _is_kept(variables, route, keep)
        ]
        if not removed:
            return []
        gateways = [_address(variables, self._kept[number], "GATEWAY") for number in removed]
        before, first = self._kept, removed[0]
        self._kept = [route for number, route in enumerate(before) if number not in removed]
        variables.put_out([item.key for route in before[first:] for item in route.values()])
        moved = [
            f"{key}{number}={item.raw.rstrip()}"
            for number, route in enumerate(self._kept[first:], first)
            for key, item in route.items()
        ]
        if moved:
            self.document.append(moved)
        return [gateway for gateway in gateways if gateway]

    def has(self, route: Route) -> bool:
        """Whether the file has this default route, with or without our marks."""
        if self._variables is not None:
            return any(_is_kept(self._variables, kept, route) for kept in self._kept)
        found = (ip_default(line.partition("#")[0].split(), 4) for line in self.document.lines)
        wanted = (route.gateway, route.metric)
        return any(default and (default.gateway, default.metric) == wanted for default in found)

    def add(self, link: str, routes: Sequence[Route]) -> None:
        """Add routes, in the form of the file."""
        if self._variables is None:
            self.document.append([route.line(link) for route in routes])
            return
        added = [pairs for route in routes for pairs in route.numbered()]
        for number, pairs in enumerate(added, len(self._kept)):
            self.document.append([f"{key}{number}={value}" for key, value in pairs])


def _numbered(variables: Variables) -> Iterator[_Numbered]:
    last = {item.key: item for item in variables.assignments}
    number = 0
    while variables.get(f"ADDRESS{number}"):
        yield {key: last[f"{key}{number}"] for key in _KEYS if f"{key}{number}" in last}
        number += 1


def _is_default(variables: Variables, route: _Numbered) -> bool:
    """Whether the prefix length is 0 and the table is main. The plugin needs a netmask."""
    values = {key: variables.get(item.key) or "" for key, item in route.items()}
    words = ["default", *values.get("OPTIONS", "").split()]
    return values.get("NETMASK") == "0.0.0.0" and ip_default(words, 4) is not None


def _is_kept(variables: Variables, route: _Numbered, keep: Route | None) -> bool:
    if keep is None or not _is_default(variables, route):
        return False
    metric = variables.get(route["METRIC"].key) if "METRIC" in route else None
    return (_address(variables, route, "GATEWAY"), metric) == (keep.gateway, str(keep.metric))


def _address(variables: Variables, route: _Numbered, key: str) -> IPv4Address | None:
    return variables.address(route[key].key) if key in route else None
