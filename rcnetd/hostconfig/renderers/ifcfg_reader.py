"""Reads which default routes ifcfg files make, apart from the renderer.

Enterprise Linux has no tool that reads a copy of the files, so the renderer's result is read again
here, by other code. A line is read as shvar.c's svUnescape reads it, a profile as make_ip4_setting
in nms-ifcfg-rh-reader.c does.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address

from rcnetd.hostconfig.renderers.model import CannotPersist, DefaultRoute, Tree
from rcnetd.hostconfig.renderers.route_arguments import ip_default

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
    """Whether it is a backup, or an alias, which belongs to another profile."""
    base = path.rpartition(":")[0]
    return path.lower().endswith(_BACKUPS) or bool(base and base in tree)


def _connection(
    tree: Tree, path: str, values: _Values, everywhere: _Values
) -> Iterator[DefaultRoute]:
    link = _link(path, values)
    never = not _flag(values, "DEFROUTE", default=True)
    if everywhere.get("GATEWAYDEV") and values.get("DEVICE"):
        never = everywhere["GATEWAYDEV"] != values["DEVICE"]
    if values.get("IPV4_ROUTE_TABLE", "0") not in ("0", "254"):
        return
    method = values.get("BOOTPROTO", "").lower()
    if method in ("dhcp", "bootp") and not never and _flag(values, "PEERROUTES", default=True):
        yield DefaultRoute(link, None, _metric(values), path)
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
        yield DefaultRoute(link, _address(gateway, source), _metric(values), source)


def _routes(tree: Tree, name: str, values: _Values) -> Iterator[DefaultRoute]:
    """The default routes of the route file, which the plugin does not read beside a rule file."""
    path = f"{_SCRIPTS}route-{name}"
    if path not in tree or any(f"{_SCRIPTS}{kind}-{name}" in tree for kind in ("rule", "rule6")):
        return
    variables = _values(tree, path, must=False)
    if any(key.startswith("ADDRESS") and key[7:].isdigit() for key in variables):
        lines = list(_numbered_lines(variables))
    else:
        lines = [line.partition("#")[0] for line in _text(tree, path).split("\n")]
    for line in lines:
        default = ip_default(line.split(), 4)
        if default and default.version == 4:
            gateway = default.gateway if isinstance(default.gateway, IPv4Address) else None
            metric = _metric(values) if default.metric is None else default.metric
            yield DefaultRoute(_link(name, values), gateway, metric, path)


def _numbered_lines(variables: _Values) -> Iterator[str]:
    """Numbered routes as the arguments of `ip route add`, up to the first missing number."""
    for number in range(len(variables)):
        address = variables.get(f"ADDRESS{number}")
        if not address:
            return
        netmask = variables.get(f"NETMASK{number}") or "255.255.255.255"
        words = [f"{address}/{netmask}", variables.get(f"OPTIONS{number}", "")]
        for key, word in (("GATEWAY", "via"), ("METRIC", "metric")):
            value = variables.get(f"{key}{number}")
            words += [word, value] if value else []
        yield " ".join(words)


def _link(path: str, values: _Values) -> str:
    return values.get("DEVICE") or values.get("HWADDR") or path.rpartition("ifcfg-")[2]


def _flag(values: _Values, key: str, *, default: bool) -> bool:
    word = values.get(key, "").lower()
    return word in _TRUE or (default and word not in _FALSE)


def _address(text: str, path: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except AddressValueError:
        raise CannotPersist(f"{path}: GATEWAY={text} is not an IPv4 address; fix it") from None


def _metric(values: _Values) -> int:
    text = values.get("IPV4_ROUTE_METRIC", "")
    return int(text) if re.fullmatch("[0-9]{1,10}", text) else _METRIC


def _text(tree: Tree, path: str) -> str:
    return tree[path].data.decode("latin-1")


def _values(tree: Tree, path: str, *, must: bool = True) -> _Values:
    """The variables of a file. A value that is not one word counts as empty.

    *must*: raise `CannotPersist` if a quote is not closed.
    """
    values: _Values = {}
    for number, line in enumerate(_text(tree, path).split("\n") if path in tree else [], 1):
        key, equals, rest = line.strip().removeprefix("export ").strip().partition("=")
        if not equals or not key.isidentifier():
            continue
        try:
            words = shlex.split(rest.split(" #")[0].rstrip("; \t\r"))
        except ValueError:
            if must:
                raise CannotPersist(
                    f"{path}:{number}: {key}= does not end on its line; write it on one line"
                ) from None
            words = []
        values[key] = words[0] if len(words) == 1 and not rest.startswith(" ") else ""
    return values
