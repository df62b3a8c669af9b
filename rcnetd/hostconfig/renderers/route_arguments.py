"""Default routes in the arguments of `ip route add` and of route(8), read as those programs do.

ip-route(8) takes its words in any order, accepts abbreviations of most of them, and derives the
family from the first address. route(8) takes options anywhere, also after its verb. The parsers
here accept a little more than the programs do, and never less: a line that the kernel refuses
does no harm. A value that only a shell can expand (`$GATEWAY`) counts as not given.

The ifcfg format's `route-X` files contain the same arguments without `ip route add`:

    >>> ip_default("via 192.0.2.1 dev eth0 metric 5 to default".split())
    DefaultArguments(version=4, gateway=IPv4Address('192.0.2.1'), link='eth0', metric=5, …)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address

from rcnetd.basic.dataclass import dataclass
from rcnetd.hostconfig.renderers.rendering import LOCAL_TYPES, address, number

# iproute2's keywords, in the order in which it compares them: the first match wins. Those with a
# `*` may be abbreviated. All but the last two take a value.
_KEYWORDS = (
    *("src", "as", "via", "from", "tos", "dsfield*", "expires", "metric*", "priority*"),
    *("preference", "scope", "mtu", "hoplimit", "advmss", "reordering*", "rtt", "rto_min"),
    *("window*", "cwnd*", "initcwnd*", "initrwnd*", "features*", "quickack*", "congctl*"),
    *("rttvar*", "ssthresh*", "realms*", "nhid", "protocol*", "table*", "vrf", "dev", "oif"),
    *("pref*", "encap", "ttl-propagate", "fastopen_no_cookie*", "weight", "onlink", "nexthop"),
)
_FLAGS = ("onlink", "nexthop")
_SYNONYMS = {"priority": "metric", "preference": "metric", "oif": "dev"}
_TYPES = (
    *("local", "nat", "broadcast", "brd", "anycast", "multicast", "prohibit", "unreachable"),
    *("blackhole", "xresolve", "unicast", "throw"),
)
_TABLES = {"unspec": 0, "main": 254, "local": 255}
# Tables that the kernel consults before or together with main; 0 means main.
_EFFECTIVE_TABLES = (0, 254, 255)
_FAMILIES = {"inet": 4, "inet6": 6}
_ROUTE_VALUES = ("metric", "netmask", "gw", "mss", "mtu", "window", "irtt", "dev")
_ROUTE_SYNONYMS = {"gateway": "gw", "device": "dev"}
_Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class DefaultArguments:
    """A default route of table main (or local, which wins over main).

    *gateway*, *link* and *metric* are None where they are not given. A multipath route has all its
    gateways and links in *hops*, and the first of them here.
    """

    version: int = 4
    gateway: IPv4Address | IPv6Address | None = None
    link: str | None = None
    metric: int | None = None
    kind: str = "unicast"
    onlink: bool = False
    hops: tuple[tuple[IPv4Address | IPv6Address | None, str | None], ...] = ()


def ip_default(words: Sequence[str], version: int | None = None) -> DefaultArguments | None:
    """Parse what follows `ip route add`; None if it is not a default route.

    *version* is the family that an option such as `ip -6` sets.
    """
    pairs = list(_ip_pairs(words))
    version = version or next(_versions(pairs), 4)
    if not any(key == "to" and _is_zero(value, version) for key, value in pairs):
        return None
    common, *nexthops = _split_hops(pairs)
    values = dict(common)
    kind = values.get("type", "unicast")
    table = "local" if kind in (*LOCAL_TYPES, "brd") else "main"
    if "vrf" in values or _table(values.get("table", table)) not in _EFFECTIVE_TABLES:
        return None
    hops = [_hop(dict(hop)) for hop in nexthops] or [_hop(values)]
    return DefaultArguments(
        version, *hops[0], number(values.get("metric")), kind, "onlink" in values, tuple(hops)
    )


def has_destination(words: Sequence[str]) -> bool:
    """Whether arguments of `ip route` name a destination."""
    return any(key == "to" for key, _ in _ip_pairs(words))


def _ip_pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each keyword with its value. A word that is not a keyword is a destination, `to`."""
    remaining = iter(words)
    for word in remaining:
        key = _keyword(word)
        if key in _FLAGS:
            yield key, ""
        elif key:
            value = next(remaining, "")
            if key == "via" and value in _FAMILIES:
                yield "family", value
                value = next(remaining, "")
            elif value == "lock":
                value = next(remaining, "")
            yield key, value
        elif _type(word):
            yield "type", _type(word)
        elif word != "to":
            yield "to", word


def _keyword(word: str) -> str:
    for keyword in _KEYWORDS:
        name = keyword.rstrip("*")
        if word == name or (word and name != keyword and name.startswith(word)):
            return _SYNONYMS.get(name, name)
    return ""


def _type(word: str) -> str:
    return next((kind for kind in _TYPES if word and kind.startswith(word)), "")


def _versions(pairs: _Pairs) -> Iterator[int]:
    """Yield the family of each address, in order: iproute2 goes by the first."""
    for key, value in pairs:
        if key == "family":
            yield _FAMILIES[value]
        elif key in ("src", "via", "from", "to") and ":" in value:
            yield 6
        elif key in ("src", "via", "from", "to") and value[:1].isdigit():
            yield 4


def _split_hops(pairs: _Pairs) -> list[list[tuple[str, str]]]:
    groups: list[list[tuple[str, str]]] = [[]]
    for pair in pairs:
        if pair[0] == "nexthop":
            groups.append([])
        else:
            groups[-1].append(pair)
    return groups


def _hop(values: dict[str, str]) -> tuple[IPv4Address | IPv6Address | None, str | None]:
    return address(values.get("via")), values.get("dev")


def _is_zero(text: str, version: int) -> bool:
    """Whether a destination has prefix length 0, whatever its address."""
    if text in ("default", "all", "any"):
        return True
    network, _, length = text.partition("/")
    if (":" in network) != (version == 6):
        return False
    return number(length) == 0 or length == "0.0.0.0"


def _dotted(text: str) -> str:
    """Complete an IPv4 address that iproute2 accepts: `10` is 10.0.0.0."""
    parts = text.split(".")
    return ".".join(str(number(part)) for part in (*parts, "0", "0", "0")[:4])


def _table(text: str) -> int | None:
    return _TABLES.get(text, number(text))


def route_default(words: Sequence[str]) -> DefaultArguments | None:
    """Parse what follows `route`, verb and options included; None if it is not a default route."""
    version, rest = _route_options(words)
    rest = rest[1:]  # the verb
    flag = rest.pop(0) if rest[:1] in (["-net"], ["-host"]) else ""
    target = rest.pop(0) if rest else ""
    values = dict(_route_pairs(rest))
    if flag == "-host" or not _is_route_default(target, values, version, is_net=bool(flag)):
        return None
    gateway, link = address(values.get("gw")), values.get("dev")
    kind = "unreachable" if "reject" in values else "unicast"
    return DefaultArguments(
        version, gateway, link, number(values.get("metric")), kind, hops=((gateway, link),)
    )


def _route_options(words: Sequence[str]) -> tuple[int, list[str]]:
    """Take the options out, wherever they are; return the family and the other words."""
    version, rest = 4, []
    remaining = iter(words)
    for word in remaining:
        if not word.startswith("-") or word in ("-net", "-host"):
            rest.append(word)
            continue
        family = next(remaining, "") if word == "-A" else word
        if word.startswith("-A") or word in ("--inet", "--inet6"):
            version = 6 if family.endswith("inet6") else 4
        elif not word.startswith("--"):
            version = 6 if "6" in word else 4 if "4" in word else version
    return version, rest


def _route_pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    remaining = iter(words)
    for word in remaining:
        key = _ROUTE_SYNONYMS.get(word, word)
        if key in _ROUTE_VALUES:
            yield key, next(remaining, "")
        elif key in ("mod", "dyn", "reinstate", "reject"):
            yield key, ""
        else:
            yield "dev", word  # the last word may be a link without `dev`


def _is_route_default(target: str, values: dict[str, str], version: int, *, is_net: bool) -> bool:
    if target == "default":
        return values.get("netmask", "0.0.0.0") == "0.0.0.0"
    if version == 6 or "/" in target:
        return (version == 6 or is_net) and _is_zero(target, version)
    if "netmask" in values:
        return is_net and values["netmask"] == "0.0.0.0"
    return is_net and _dotted(target) == "0.0.0.0"
