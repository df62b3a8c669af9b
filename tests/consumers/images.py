"""The root trees of the consumers: those of the boots, and smaller ones of their own."""

from __future__ import annotations

from pathlib import Path

from tests.boot.trees import alone, cached_tree, tree

# route(8) and a DHCP client, as ifupdown recommends them.
TOOLS = "iproute2 net-tools isc-dhcp-client"
PACKAGES = {
    "ifupdown": f"ifupdown {TOOLS}",
    "ifupdown2": f"ifupdown2 {TOOLS}",
}


def image(consumer: str, release: str) -> Path:
    """The root tree in which a consumer of a release runs."""
    if consumer in PACKAGES:
        with alone():
            return cached_tree(f"{consumer}-{release}", release, PACKAGES[consumer])
    return tree(release)
