"""What is not as it should be, with its reason: nothing is left out silently.

The rule: a row that no longer holds fails the run.
"""

from __future__ import annotations

import pytest

from tests.support.trees import HERE, cases, read_tree

# Trees that a consumer rejects as they are, before and after: consumer, release (all: ""), tree.
REJECTED: dict[tuple[str, str, str], str] = {
    ("netplan-networkd", release, "damaged-neighbour"): "netplan before 1.0 minds the other file"
    for release in ("bullseye", "bookworm")
}
REJECTED.update(
    (("netplan-networkd", "bullseye", case), "netplan 0.101 has '0.0.0.0/0', no 'default'")
    for case in cases("netplan")
    if any(
        b"to: default" in file.data
        for file in read_tree(HERE / "netplan" / case / "before").values()
    )
)
REJECTED.update(
    (("ifupdown", "", case), "written for ifupdown-ng or ifupdown2")
    for case in ("ifupdown-ng", "no-family", "use-dhcp")
)
REJECTED.update(
    {
        ("netplan-network-manager", "", "unreachable"): "NetworkManager has only unicast routes",
    }
)
REJECTED["netplan-networkd", "bullseye", "ways"] = "netplan 0.101 has no such routes"
# Trees that cannot be judged here: consumer, tree.
NOT_HERE = {
    ("networkd", "ways"): "networkd gives eth0 up at a route whose gateway is not reachable",
    ("netplan-networkd", "servicenet-vlan"): "a veth that stands for the VLAN has its NIC's MAC",
    ("netplan-network-manager", "damaged-neighbour"): "its start is not complete after 40 s: why?",
    ("netplan-network-manager", "bond-and-vlans"): "a kernel may have neither bonds nor VLANs",
    ("netplan-network-manager", "servicenet-vlan"): "a kernel may have no VLANs",
    ("netplan-network-manager", "public-bridge"): "nothing tells NetworkManager of the new bridge",
}
# Trees after which a boot is wrong: consumer, release (all: ""), tree and policy.
WRONG: dict[tuple[str, str, str, str], str] = {
    **{
        (
            "networkd",
            "bullseye",
            "without-match",
            policy,
        ): "systemd 247 applies it to every link"
        for policy in ("no-default", "down")
    },
    **{
        ("netplan-networkd", "bullseye", case, "down"): "netplan 0.101 has no activation-mode"
        for case in ("globs", "shadowed-glob")
    },
    ("network-manager", "", "match", "down"): "NetworkManager makes up a profile for eth0",
    ("network-manager", "", "one-for-all", "down"): "NetworkManager makes up a profile for eth0",
    # It knows by the permanent MAC that there is one already.
    **{
        ("netplan-network-manager", "", case, "down"): "veth links have no permanent MAC"
        for case in ("by-mac", "cloud-init-gateway4")
    },
}


def marks(consumer: str, release: str, case: str, policy: str = "") -> list[pytest.MarkDecorator]:
    """What pytest has to know of a boot: one worker for a tree, and whether it fails, and why."""
    found = [pytest.mark.xdist_group(f"{consumer}-{release}-{case}")]
    why = ""
    for of in (release, ""):
        why = why or REJECTED.get((consumer, of, case), "")
        why = why or WRONG.get((consumer, of, case, policy), "")
    if why:
        found.append(pytest.mark.xfail(reason=why, strict=True, raises=AssertionError))
    why = NOT_HERE.get((consumer, case), "")
    why = why or (_other_backend(consumer, case) if consumer.startswith("netplan-") else "")
    if why:
        found.append(pytest.mark.skip(reason=why))
    return found


def _other_backend(consumer: str, case: str) -> str:
    """A tree that names its backend gets no other."""
    text = b"".join(file.data for file in read_tree(HERE / "netplan" / case / "before").values())
    for word, backend in ((b"networkd", "networkd"), (b"NetworkManager", "network-manager")):
        if b"renderer: " + word in text and consumer != f"netplan-{backend}":
            return f"the tree says 'renderer: {word.decode()}'"
    return ""
