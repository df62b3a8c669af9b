"""What is not as it should be, with its reason: nothing is left out silently.

The rule: a row that no longer holds fails the run.
"""

from __future__ import annotations

from typing import NamedTuple

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
REJECTED.update(
    (("ifupdown2", "", case), "ifupdown2 does not bring ServiceNet's link up from these files")
    for case in ("cloud-init", "commands", "inherits", "latin-1", "logical-name",
                 "no-ipv6-default", "two-stanzas")
)  # fmt: skip
REJECTED["netplan-networkd", "bullseye", "ways"] = "netplan 0.101 has no such routes"
# Trees that cannot be judged here: consumer, tree.
NOT_HERE = {
    ("networkd", "ways"): "networkd gives eth0 up at a route whose gateway is not reachable",
    (
        "ifupdown2",
        "hand-written",
    ): "eth0's commands use eth1: sometimes it is up before, sometimes not",
    ("netplan-networkd", "servicenet-vlan"): "a veth that stands for the VLAN has its NIC's MAC",
    ("netplan-network-manager", "damaged-neighbour"): "its start is not complete after 40 s: why?",
    ("netplan-network-manager", "bond-and-vlans"): "a kernel may have neither bonds nor VLANs",
    ("netplan-network-manager", "servicenet-vlan"): "a kernel may have no VLANs",
    ("netplan-network-manager", "public-bridge"): "nothing tells NetworkManager of the new bridge",
}
# What rcnetd refuses of trees that are another reader's: consumer, tree; what it says.
SEVERAL = "configures several links, eth1 among them; give eth1 a definition of its own"
REFUSED: dict[tuple[str, str], str] = {
    ("netplan-network-manager", case): SEVERAL
    for case in ("distribution-glob", "globs", "one-for-both", "shadowed-glob")
}
# What it refuses on a host of one release, after asking the program there: consumer, release, tree
# and policy; what it says. The tests of that check are in tests/unit/hostconfig/test_verify.py.
REFUSED_THERE: dict[tuple[str, str, str, str], str] = {
    **{
        ("networkd", "bullseye", "without-match", policy): "has no valid [Match], and this networkd"
        for policy in ("no-default", "down")
    },
    **{
        ("netplan-networkd", "bullseye", case, "down"): "unknown key 'activation-mode'"
        for case in ("globs", "shadowed-glob")
    },
}
# Trees after which a boot is wrong: consumer, release (all: ""), tree and policy.
WRONG: dict[tuple[str, str, str, str], str] = {
    # It knows by the permanent MAC that there is one already.
    ("netplan-network-manager", "", case, "down"): "veth links have no permanent MAC"
    for case in ("by-mac", "cloud-init-gateway4")
}


class Expected(NamedTuple):
    """What is expected of a boot: a word (`OK` ...), and why."""

    word: str
    why: str = ""


OK, REFUSES, REJECTS, FAILS, SKIPPED = "ok", "refused", "rejected", "wrong", "not here"


def expected(consumer: str, release: str, case: str, policy: str = "") -> Expected:
    """What is expected of a boot with a tree; without a policy: of the one after `revert`."""
    if (consumer, case) in NOT_HERE:
        return Expected(SKIPPED, NOT_HERE[consumer, case])
    if consumer.startswith("netplan-") and (why := _other_backend(consumer, case)):
        return Expected(SKIPPED, why)
    for of in (release, ""):
        if (consumer, of, case) in REJECTED:
            return Expected(REJECTS, REJECTED[consumer, of, case])
        if (consumer, of, case, policy) in WRONG:
            return Expected(FAILS, WRONG[consumer, of, case, policy])
    if policy and (consumer, case) in REFUSED:
        return Expected(REFUSES, REFUSED[consumer, case])
    if (consumer, release, case, policy) in REFUSED_THERE:
        return Expected(REFUSES, REFUSED_THERE[consumer, release, case, policy])
    return Expected(OK)


def marks(consumer: str, release: str, case: str, policy: str = "") -> list[pytest.MarkDecorator]:
    """What pytest has to know of a boot: one worker for a tree, and whether it fails, and why."""
    found = [pytest.mark.xdist_group(f"{consumer}-{release}-{case}")]
    word, why = expected(consumer, release, case, policy)
    if word in (REJECTS, FAILS) or (consumer, release, case, policy) in REFUSED_THERE:
        found.append(pytest.mark.xfail(reason=why, strict=True, raises=AssertionError))
    elif word == SKIPPED:
        found.append(pytest.mark.skip(reason=why))
    return found


def _other_backend(consumer: str, case: str) -> str:
    """A tree that names its backend gets no other."""
    text = b"".join(file.data for file in read_tree(HERE / "netplan" / case / "before").values())
    for word, backend in ((b"networkd", "networkd"), (b"NetworkManager", "network-manager")):
        if b"renderer: " + word in text and consumer != f"netplan-{backend}":
            return f"the tree says 'renderer: {word.decode()}'"
    return ""
