"""Trees of files kept in the repository: what a server has, and what it has after rendering.

`<case>/before/etc/...` is rendered for each policy and compared, byte by byte, with
`<case>/after-<policy>/etc/...`. `<case>/target.yaml` says how the target differs from the usual.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

import yaml

from rcnetd.basic.dataclass import replace
from rcnetd.core.settings import PublicInterface, PublicIPv6
from rcnetd.hostconfig.renderers.marked_edits import applied
from rcnetd.hostconfig.renderers.model import Changes, File, HostLink, Target, Tree

HERE = Path(__file__).parents[1] / "golden"
GATEWAY = IPv4Address("10.180.31.254")
SERVICENET = HostLink("eth1", "bc:76:4e:20:6c:5b", (IPv4Interface("10.180.1.2/19"),))
PUBLIC = HostLink("eth0", "bc:76:4e:20:6c:5a", (IPv4Interface("203.0.113.10/24"),))


def cases(renderer: str) -> list[str]:
    """Return the names of a renderer's cases."""
    return sorted(path.parent.name for path in (HERE / renderer).glob("*/before"))


def read_tree(path: Path) -> Tree:
    """Read the files below *path*, by the absolute path that each stands for."""
    return {
        f"/{file.relative_to(path)}": File(file.read_bytes())
        for file in path.rglob("*")
        if file.is_file()
    }


def contents(files: Tree) -> dict[str, bytes]:
    """Return the files without their modes, which a repository does not keep."""
    return {path: file.data for path, file in files.items()}


def check_golden(
    renderer: str, case: str, policy: PublicInterface, render: Callable[[Tree, Target], Changes]
) -> None:
    """Check that a case is rendered byte by byte as expected, and only once.

    Rendered again, nothing changes; nor does it matter which policy was rendered before.
    """
    before = read_tree(HERE / renderer / case / "before")
    target = target_of(renderer, case, policy)
    after = applied(before, render(before, target))
    expected = read_tree(HERE / renderer / case / f"after-{policy.value}")
    assert contents(expected) == contents(after)
    assert render(after, target) == {}
    for other in PublicInterface:
        there = applied(after, render(after, replace(target, policy=other)))
        assert contents(applied(there, render(there, target))) == contents(after)


def target_of(renderer: str, case: str, policy: PublicInterface) -> Target:
    """Return the target of a case."""
    path = HERE / renderer / case / "target.yaml"
    said: dict[str, Any] = yaml.safe_load(path.read_bytes()) if path.exists() else {}
    links = [_link(one) for one in said.get("public_links", [{}])]
    servicenet = said.get("servicenet", {})
    return Target(
        servicenet=HostLink(
            servicenet.get("name", SERVICENET.name),
            SERVICENET.mac,
            SERVICENET.addresses,
            servicenet.get("kind"),
        ),
        gateway=IPv4Address(said.get("gateway", str(GATEWAY))),
        public=() if "public" in said else tuple(links),
        policy=policy,
        public_ipv6=PublicIPv6(said.get("public_ipv6", "keep")),
        public_routes=tuple(map(IPv4Network, said.get("public_routes", ()))),
        onlink=said.get("onlink", False),
    )


def _link(said: dict[str, str]) -> HostLink:
    if not said:
        return PUBLIC
    return HostLink(said["name"], said["mac"], PUBLIC.addresses, said.get("kind"))
