"""What is not as it should be, with its reason: nothing is left out silently.

The rule: a row that no longer holds fails the run.
"""

from __future__ import annotations

import pytest

from tests.support.trees import HERE, read_tree

# Trees that a consumer rejects as they are, before and after: consumer, release (all: ""), tree.
REJECTED: dict[tuple[str, str, str], str] = {
    ("netplan-networkd", "bullseye", case): "netplan 0.101 has '0.0.0.0/0', no 'default'"
    for case in ("cloud-init", "no-ipv6-default", "several-files")
}
REJECTED[("netplan-networkd", "bullseye", "ways")] = "netplan 0.101 wants 'via' in every route"
REJECTED.update(
    (
        ("netplan-networkd", release, "damaged-neighbour"),
        "netplan before 1.2 rejects all files then",
    )
    for release in ("bullseye", "bookworm", "trixie")
)
# Trees whose links a consumer gives up on at some point, not always the same: consumer, tree.
UNSTABLE = {
    ("netplan-networkd", "servicenet-vlan"): "this kernel may lack VLANs",
    ("networkd", "ways"): "networkd gives eth0 up at a route whose gateway is not reachable",
}
# Trees after which a boot is wrong: consumer, release (all: ""), tree and policy.
WRONG: dict[tuple[str, str, str, str], str] = {
    **{
        (
            "netplan-networkd",
            "bullseye",
            case,
            "down",
        ): "netplan 0.101 has no 'activation-mode'; the check before writing refuses it"
        for case in ("globs", "shadowed-glob")
    },
    **{
        (
            "networkd",
            "bullseye",
            "without-match",
            policy,
        ): "systemd 247 applies it to every link"
        for policy in ("no-default", "down")
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
    why = UNSTABLE.get((consumer, case), "")
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
