"""Trees of files kept in the repository: what a server has, and what is to become of it.

`<case>/before/etc/…` is rendered for each policy and compared, byte by byte, with
`<case>/after-<policy>/etc/…`. A `<case>/target.yaml` says in what the wish is not the usual one.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

import yaml

from rcnetd.core.settings import PublicInterface, PublicIPv6
from rcnetd.hostconfig.renderers.model import File, HostLink, Target, Tree

HERE = Path(__file__).parents[1] / "golden"
GATEWAY = IPv4Address("10.180.31.254")
SERVICENET = HostLink("eth1", "bc:76:4e:20:6c:5b", (IPv4Interface("10.180.1.2/19"),))
PUBLIC = HostLink("eth0", "bc:76:4e:20:6c:5a", (IPv4Interface("203.0.113.10/24"),))


def cases(renderer: str) -> list[str]:
    """The names of a renderer's cases."""
    return sorted(path.parent.name for path in (HERE / renderer).glob("*/before"))


def read_tree(path: Path) -> Tree:
    """The files below *path*, by the absolute path that they stand for."""
    return {
        f"/{file.relative_to(path)}": File(file.read_bytes())
        for file in path.rglob("*")
        if file.is_file()
    }


def contents(files: Tree) -> dict[str, bytes]:
    """Without the modes, which a repository does not keep."""
    return {path: file.data for path, file in files.items()}


def target_of(renderer: str, case: str, policy: PublicInterface) -> Target:
    """The wish of a case."""
    path = HERE / renderer / case / "target.yaml"
    said: dict[str, Any] = yaml.safe_load(path.read_bytes()) if path.exists() else {}
    return Target(
        servicenet=SERVICENET,
        gateway=IPv4Address(said.get("gateway", str(GATEWAY))),
        public=() if "public" in said else (PUBLIC,),
        policy=policy,
        public_ipv6=PublicIPv6(said.get("public_ipv6", "keep")),
        public_routes=tuple(map(IPv4Network, said.get("public_routes", ()))),
        onlink=said.get("onlink", False),
    )
