"""What the platform says of this server: real payloads, their odd relatives, and anything else."""

from __future__ import annotations

import json
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnetd.core.model import Address, Link, Network
from rcnetd.core.servicenet import choose, hints
from rcnetd.core.settings import Metadata, ServiceNetSettings
from rcnetd.metadata.file import read
from rcnetd.metadata.parse import (
    from_cloud_init,
    from_config_drive,
    from_xenstore,
    is_enough,
    merge,
)
from tests.support.fuzzing import fuzz
from tests.support.platforms import (
    CLOUD_INIT,
    CLOUD_NETWORK,
    DRIVE_FACTS,
    NETWORK_INFO,
    ONMETAL,
    PRIVATE,
    PUBLIC,
    VENDOR_DATA,
    XEN,
    XEN_FACTS,
)

VENDOR = json.dumps(VENDOR_DATA)


def metadata(tmp_path: Path, *sources: tuple[str, dict[str, Any]]) -> Metadata:
    """What the daemon reads of what these sources say."""
    path = tmp_path / "metadata.json"
    path.write_text(json.dumps(merge(sources)))
    found, warnings = read(path)
    assert [] == warnings
    return found


def test_a_xen_server() -> None:
    """As captured: upper-case MACs, JSON strings with their quotes, line ends."""
    assert XEN_FACTS == from_xenstore(XEN)


def test_a_config_drive() -> None:
    """As captured: the region "{}" is none; the networks are in the vendor data, or beside it."""
    assert DRIVE_FACTS == from_config_drive(VENDOR)
    bare = {**VENDOR_DATA, "network_info": None}
    assert DRIVE_FACTS == from_config_drive(json.dumps(bare), json.dumps(NETWORK_INFO))


def test_onmetal() -> None:
    """The VLAN's own MAC, not that of the bond below it."""
    found = from_config_drive(VENDOR, json.dumps(ONMETAL))

    assert ("fa:16:3e:66:ab:a6", "fa:16:3e:b3:72:30") == (
        found["servicenet_mac"],
        found["public_mac"],
    )


def test_cloud_init() -> None:
    """Its own region, and what it kept of the drive."""
    found = from_cloud_init(json.dumps(CLOUD_INIT))

    assert "ord" == found["region"]
    assert DRIVE_FACTS["servicenet_mac"] == found["servicenet_mac"]
    beside = from_cloud_init(json.dumps({"ds": {"network_json": ONMETAL}}))
    assert "fa:16:3e:66:ab:a6" == beside["servicenet_mac"]


@pytest.mark.parametrize(
    ("text", "region"),
    [("dfw\n", "dfw"), ("DFW\n", "dfw"), ('"ord"\n', "ord"), ("{}", None), ("fra", None),
     ("", None), ("dfw iad", None)],
)  # fmt: skip
def test_a_region_is_one_of_six(text: str, region: str | None) -> None:
    """In any case, with or without quotes; nothing else counts."""
    assert region == from_xenstore({"provider_data/region": text})["region"]


def test_labels_do_not_count() -> None:
    """The addresses tell, whatever the networks are called, in whatever order."""
    renamed = {
        "networking/C": json.dumps({**CLOUD_NETWORK, "label": "private"}),
        "networking/B": json.dumps({**PRIVATE, "label": "public"}),
        "networking/A": json.dumps({**PUBLIC, "label": "private"}),
    }
    found = from_xenstore(renamed)

    assert (XEN_FACTS["servicenet_mac"], XEN_FACTS["public_mac"]) == (
        found["servicenet_mac"],
        found["public_mac"],
    )


def test_a_disabled_address_does_not_count() -> None:
    """`enabled: "0"`."""
    entry = {**PRIVATE, "ips": [{**PRIVATE["ips"][0], "enabled": "0"}]}

    assert from_xenstore({"networking/B": json.dumps(entry)})["servicenet_mac"] is None


def test_the_first_source_with_a_fact_is_believed(tmp_path: Path) -> None:
    """Fact by fact; which one it was is told."""
    partly = {"provider_data/roles": XEN["provider_data/roles"]}
    found = metadata(
        tmp_path,
        ("xenstore", from_xenstore(partly)),
        ("config drive", from_config_drive(VENDOR)),
        ("cloud-init", from_cloud_init(json.dumps(CLOUD_INIT))),
    )

    assert ("ord", "cloud-init") == (found.region, found.region_source)
    assert "rax_managed" in found.roles
    assert {
        "roles": "xenstore",
        "servicenet_mac": "config drive",
        "region": "cloud-init",
    }.items() <= (dict(found.sources).items())


def test_the_daemon_reads_what_a_xen_server_says(tmp_path: Path) -> None:
    """Nothing gets lost on the way, nothing is warned of."""
    found = metadata(tmp_path, ("xenstore", from_xenstore(XEN)))

    assert ("dfw", True, "DEPLOYED") == (
        found.region, found.configure_network_stack, found.automation_status
    )  # fmt: skip
    assert "10.208.224.1" == str(found.servicenet_router)
    assert {"xenstore"} == set(dict(found.sources).values())


@pytest.mark.parametrize("roles", [["rackconnect:v3-network"], ["x", "rackconnect:v3"]])
def test_rackconnect_v3(tmp_path: Path, roles: list[str]) -> None:
    """Not ours, whichever source says so."""
    vendor = json.dumps({**VENDOR_DATA, "roles": roles})

    assert metadata(tmp_path, ("config drive", from_config_drive(vendor))).is_rackconnect_v3


def test_nothing_found(tmp_path: Path) -> None:
    """First-generation servers have no roles; other clouds nothing at all."""
    assert Metadata() == metadata(tmp_path, ("xenstore", from_xenstore({})))
    assert Metadata() == metadata(tmp_path)


def test_enough_is_a_region_the_roles_and_servicenet() -> None:
    """Then the slower sources are not asked."""
    assert is_enough(from_xenstore(XEN))
    assert not is_enough(from_config_drive(VENDOR))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from([*PRIVATE, *VENDOR_DATA, *NETWORK_INFO, "ds", "v1"]), inner),
    max_leaves=20,
)


@fuzz(200)
@given(JSON, JSON, st.text(max_size=50))
def test_anything_may_stand_there(one: Any, other: Any, text: str) -> None:
    """JSON of any shape, and text that is none: facts of their own type, or none."""
    for first, second in ((json.dumps(one), json.dumps(other)), (text, text)):
        merged = merge(
            [
                ("xenstore", from_xenstore({"networking/A": first, "provider_data/roles": second})),
                ("config drive", from_config_drive(first, second)),
                ("cloud-init", from_cloud_init(first)),
            ]
        )
        assert all(isinstance(role, str) for role in merged.get("roles", []))
        assert json.loads(json.dumps(merged)) == merged


def links(*given: tuple[str, str, str, str | None]) -> Network:
    """A kernel with these links, each with name, MAC, address and kind."""
    return Network(
        links=tuple(
            Link(index, name, mac, kind=kind) for index, (name, mac, _, kind) in enumerate(given, 2)
        ),
        addresses=tuple(
            Address(index, IPv4Interface(address))
            for index, (_, _, address, _) in enumerate(given, 2)
        ),
    )


BOND = "a0:36:9f:2c:e8:84"
SERVERS: dict[str, tuple[dict[str, Any], Network, str]] = {
    "Xen": (
        from_xenstore(XEN),
        links(
            ("eth0", "bc:76:4e:20:6c:5a", "203.0.113.10/24", None),
            ("eth1", "bc:76:4e:20:6c:5b", "10.208.227.239/19", None),
            ("eth2", "bc:76:4e:20:6c:5c", "192.168.3.4/24", None),
        ),
        "eth1",
    ),
    "OnMetal": (
        from_config_drive(VENDOR, json.dumps(ONMETAL)),
        links(
            ("bond0", BOND, "192.168.0.1/24", "bond"),
            ("bond0.101", "fa:16:3e:b3:72:30", "203.0.113.10/24", "vlan"),
            ("bond0.401", "fa:16:3e:66:ab:a6", "10.210.32.174/19", "vlan"),
        ),
        "bond0.401",
    ),
    "one MAC for all": (
        {"servicenet_mac": BOND},
        links(
            ("bond0", BOND, "192.168.0.1/24", "bond"),
            ("bond0.101", BOND, "203.0.113.10/24", "vlan"),
            ("bond0.401", BOND, "10.210.32.174/19", "vlan"),
        ),
        "bond0.401",
    ),
    "nothing is told": (
        from_config_drive('{"region": "{}"}'),
        links(
            ("docker0", "02:42:00:00:00:01", "10.208.0.1/16", "bridge"),
            ("ens3", "bc:76:4e:20:6c:5a", "203.0.113.10/24", None),
            ("ens4", "bc:76:4e:20:6c:5b", "10.180.1.2/19", None),
        ),
        "ens4",
    ),
}


@pytest.mark.parametrize("name", SERVERS)
def test_servicenet_is_chosen(tmp_path: Path, name: str) -> None:
    """By what the platform says and the kernel has, whatever the links are called."""
    said, network, expected = SERVERS[name]
    known = hints(metadata(tmp_path, ("xenstore", said)), known=None)
    chosen = choose(network, ServiceNetSettings(), known)

    assert chosen is not None
    assert expected == chosen.link.name
