"""The servers as an Ansible inventory, the JSON that a script inventory prints. Pure.

The collection's own inventory is empty for Rackspace's servers, whose addresses carry no
`OS-EXT-IPS:type`. Groups: `rackconnect_STATUS`, `region_NAME`, `cloud_NAME`, `meta_KEY_VALUE`.
Texts from the API are never templates: whoever may name a server must not run code here.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from rcnetd.fleet.servers import Server

# Ansible's mark for text that it must not evaluate; only where it could.
TEMPLATE = re.compile(r"\{[{%#]")
PATTERN = re.compile(r"[,:&!\[\]*?~\s]")  # what a host pattern would read otherwise


def inventory(servers: Iterable[Server]) -> str:
    """The answer to `--list`."""
    hosts = _hosts(servers)
    groups: dict[str, list[str]] = {}
    for host, server in hosts.items():
        for group in _groups(server):
            groups.setdefault(group, []).append(host)
    content: dict[str, Any] = {
        "_meta": {"hostvars": {host: _variables(server) for host, server in hosts.items()}},
        "all": {"hosts": list(hosts), "children": sorted(groups)},
        **{group: {"hosts": groups[group]} for group in sorted(groups)},
    }
    return json.dumps(content) + "\n"


def host(servers: Iterable[Server], name: str) -> str:
    """The answer to `--host NAME`: its variables; none for a host that is not there."""
    found = _hosts(servers).get(name)
    return json.dumps(_variables(found) if found else {}, indent=1) + "\n"


def _hosts(servers: Iterable[Server]) -> dict[str, Server]:
    """By name, or by id where a name is not unique, is empty, or would be read as a pattern."""
    listed = list(servers)
    number = Counter(server.name for server in listed)
    return {
        server.id
        if number[server.name] > 1 or not server.name or PATTERN.search(server.name)
        or TEMPLATE.search(server.name)
        else server.name: server
        for server in listed
    }  # fmt: skip


def _groups(server: Server) -> list[str]:
    found = [
        f"rackconnect_{server.automation.value.lower()}",
        f"region_{server.region}",
        f"cloud_{server.cloud}",
        *(f"meta_{key}_{value}" for key, value in server.metadata.items()),
    ]
    return list(dict.fromkeys(re.sub(r"\W", "_", name, flags=re.ASCII) for name in found))


def _variables(server: Server) -> dict[str, Any]:
    variables: dict[str, Any] = {
        "rackconnect": {
            "id": _safe(server.id),
            "name": _safe(server.name),
            "cloud": _safe(server.cloud),
            "region": _safe(server.region),
            "server_status": _safe(server.server_status),
            "automation_status": _safe(server.word) if server.word else None,
            "access_address": server.access_address,
            "servicenet_address": server.servicenet_address,
            "metadata": {key: _safe(value) for key, value in server.metadata.items()},
        }
    }
    if server.access_address:
        variables["ansible_host"] = server.access_address
    return variables


def _safe(text: str) -> str | dict[str, str]:
    return {"__ansible_unsafe": text} if TEMPLATE.search(text) else text
