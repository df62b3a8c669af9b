"""A second reading of ifcfg files, apart from the renderer's: which default routes they make.

There is no Enterprise Linux to ask; two readings of NetworkManager's source that agree are what
there is. By line: shvar.c's svUnescape; by profile: nms-ifcfg-rh-reader.c's make_ip4_setting.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from ipaddress import IPv4Address

from rcnetd.hostconfig.renderers.model import CannotPersist, DefaultRoute, Tree

_ROOT = "/etc/sysconfig/"
_SCRIPTS = _ROOT + "network-scripts/"
_BACKUPS = (".bak", "~", ".orig", ".rej", ".rpmnew", ".augnew", ".augtmp")
_TRUE = {"yes", "true", "t", "y", "1"}
_FALSE = {"no", "false", "f", "n", "0"}
_METRIC = 100  # NetworkManager's of an Ethernet link
_Values = dict[str, str]


def read_defaults(tree: Tree) -> list[DefaultRoute]:
    """The IPv4 default routes of the connections that come up at boot."""
    everywhere = _values(tree, _ROOT + "network")
    found: list[DefaultRoute] = []
    for path in sorted(tree):
        name = path[len(_SCRIPTS) + 6 :]
        if not path.startswith(_SCRIPTS + "ifcfg-") or name == "lo" or _is_left_out(tree, path):
            continue
        values = _values(tree, path)
        if _flag(values, "ONBOOT", default=True):
            found += _connection(tree, path, values, everywhere)
            found += _routes(tree, name, values)
    return found


def _is_left_out(tree: Tree, path: str) -> bool:
    """Backups, and aliases: their base reads those."""
    base = path.rpartition(":")[0]
    return path.lower().endswith(_BACKUPS) or bool(base and base in tree)


def _connection(
    tree: Tree, path: str, values: _Values, everywhere: _Values
) -> Iterator[DefaultRoute]:
    link = _link(path, values)
    never = not _flag(values, "DEFROUTE", default=True)
    if everywhere.get("GATEWAYDEV") and values.get("DEVICE"):
        never = everywhere["GATEWAYDEV"] != values["DEVICE"]
    method = values.get("BOOTPROTO", "").lower()
    if method in ("dhcp", "bootp"):
        if not never and _flag(values, "PEERROUTES", default=True):
            yield DefaultRoute(link, None, _metric(values), path)
        return
    if not any(key.startswith("IPADDR") for key in values):
        return
    gateways = [values.get(f"GATEWAY{n}") for n in ("", *range(256))]
    source, gateway = path, next((text for text in gateways if text), None)
    if gateway is None and "DEFROUTE" not in values:
        for alias in sorted(tree):
            if alias.startswith(path + ":") and "GATEWAY" in _values(tree, alias):
                source, gateway = alias, _values(tree, alias)["GATEWAY"]
    if gateway is None and everywhere.get("GATEWAY"):
        source, gateway = _ROOT + "network", everywhere["GATEWAY"]
    if gateway and not never:
        yield DefaultRoute(link, IPv4Address(gateway), _metric(values), source)


def _routes(tree: Tree, name: str, values: _Values) -> Iterator[DefaultRoute]:
    """Those of the route file, which a rule file beside it makes another's business."""
    path = f"{_SCRIPTS}route-{name}"
    if path not in tree or any(f"{_SCRIPTS}{kind}-{name}" in tree for kind in ("rule", "rule6")):
        return
    link, metric = _link(name, values), _metric(values)
    routes = _values(tree, path, must=False)
    number = 0
    while routes.get(f"ADDRESS{number}"):
        gateway = IPv4Address(routes.get(f"GATEWAY{number}") or "0.0.0.0")
        target = routes[f"ADDRESS{number}"], routes.get(f"NETMASK{number}")
        if target == ("0.0.0.0", "0.0.0.0") and "table" not in routes.get(f"OPTIONS{number}", ""):
            yield DefaultRoute(link, gateway, int(routes.get(f"METRIC{number}", metric)), path)
        number += 1
    if any(key.startswith("ADDRESS") and key[7:].isdigit() for key in routes):
        return
    for line in _text(tree, path).split("\n"):
        words = line.replace("\t", " ").split(" ")
        words = [word for word in words if word not in ("", "to")]
        if words[:1] in (["default"], ["0.0.0.0/0"], ["0/0"]) and "table" not in words:
            given = dict(zip(words[1::2], words[2::2]))
            try:
                gateway = IPv4Address(given.get("via", "0.0.0.0"))
                yield DefaultRoute(link, gateway, int(given.get("metric", metric)), path)
            except ValueError:  # the plugin leaves such a line out
                continue


def _link(path: str, values: _Values) -> str:
    return values.get("DEVICE") or values.get("HWADDR") or path.rpartition("ifcfg-")[2]


def _flag(values: _Values, key: str, *, default: bool) -> bool:
    word = values.get(key, "").lower()
    return word in _TRUE or (default and word not in _FALSE)


def _metric(values: _Values) -> int:
    text = values.get("IPV4_ROUTE_METRIC", "")
    return int(text) if text.isdigit() else _METRIC


def _text(tree: Tree, path: str) -> str:
    return tree[path].data.decode("latin-1")


def _values(tree: Tree, path: str, *, must: bool = True) -> _Values:
    """The variables of a file. A value that is no single word counts as none; *must* refuses it."""
    values: _Values = {}
    for number, line in enumerate(_text(tree, path).split("\n") if path in tree else [], 1):
        key, equals, rest = line.strip().removeprefix("export ").strip().partition("=")
        if not equals or not key.isidentifier():
            continue
        try:
            words = shlex.split(rest.split(" #")[0].rstrip("; \t\r"))
        except ValueError:
            if must:
                raise CannotPersist(f"{path}:{number}: {key}= is not closed") from None
            words = []
        values[key] = words[0] if len(words) == 1 and not rest.startswith(" ") else ""
    return values
