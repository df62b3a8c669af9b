"""Programs that rewrite our files: persist, rewrite, persist for another gateway, revert.

The programs themselves are the judges: in the end each file is what they would have made of the
original, had rcnetd never been there.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import yaml

from rcnetd.basic.dataclass import replace
from rcnetd.core.settings import Backend, PublicInterface
from rcnetd.hostconfig import policy
from rcnetd.hostconfig.host import HostConfig
from rcnetd.hostconfig.renderers.model import Target
from rcnetd.hostconfig.renderers.registry import renderer
from tests.conftest import missing
from tests.support.trees import HERE, target_of

OTHER_GATEWAY = IPv4Address("10.180.31.253")
POLICIES = tuple(PublicInterface)


CASES = {
    Backend.NETPLAN: ("by-mac", "cloud-init", "nova-agent", "public-routes", "several-files"),
    Backend.NETWORK_MANAGER: (
        "cloud-init",
        "dhcp",
        "gateways",
        "hand-written",
        "legacy",
        "nmcli",
        "no-ipv4-section",
        "priorities",
        "public-routes",
        "vendor",
    ),
    Backend.NETWORKD: ("cloud-init", "hand-written", "public-routes"),
    Backend.IFCFG: ("cloud-init", "global-gateway", "nova-agent"),
    Backend.IFUPDOWN: ("cloud-init", "commands", "nova-agent"),
}


def nothing() -> dict[str, Any]:
    """No route was removed."""
    return {"routes": [], "links": []}


class Host:
    """A host with the files of a golden tree."""

    def __init__(self, place: Path, backend: Backend, case: str) -> None:
        self.root, self._backend = place / "root", backend
        shutil.copytree(HERE / backend.value.replace("-", "_") / case / "before", self.root)
        for path in self.root.rglob("NetworkManager/system-connections/*"):
            path.chmod(0o600)  # else NetworkManager does not read it
        self._host = HostConfig(self.root, place / "state")

    def persist(self, target: Target) -> None:
        """Do as `rcnetctl persist` does."""
        chosen = renderer(self._backend)
        tree = self._host.read(chosen.patterns, chosen.is_read)
        original = self._host.record().without_ours(tree)
        made = policy.changes(tree, original, chosen, target)
        self._host.write(tree, made, nothing, original)
        defaults = chosen.read_defaults(self._host.read(chosen.patterns, chosen.is_read))
        best = min(defaults, key=lambda default: default.metric)
        assert target.gateway == best.gateway

    def revert(self) -> None:
        """Do as `rcnetctl revert` does."""
        self._host.revert()
        assert {} == self._host.record().files


def need(program: str) -> None:
    """Skip the test where a program is missing."""
    if shutil.which(program) is None:
        missing(program, f"{program} is not installed")


def profiles(root: Path) -> list[Path]:
    """The profiles, in which nmcli is interested."""
    files = sorted((root / "etc/NetworkManager/system-connections").iterdir())
    return [path for path in files if b"[connection]" in path.read_bytes()]


def nmcli(path: Path, *change: str) -> bytes | None:
    """What nmcli makes of a profile; None if it does not take it."""
    done = subprocess.run(
        ["nmcli", "--offline", "connection", "modify", *change],
        input=path.read_bytes(), capture_output=True, check=False,
    )  # fmt: skip
    return done.stdout if done.returncode == 0 else None


NMCLI: dict[str, tuple[str, ...]] = {
    "nothing": ("connection.autoconnect-retries", "3"),
    "name server": ("ipv4.dns", "192.0.2.53"),
    "route": ("+ipv4.routes", "198.51.100.0/24 10.180.0.9"),
}


@pytest.mark.parametrize("policy_", POLICIES)
@pytest.mark.parametrize("change", NMCLI)
@pytest.mark.parametrize("case", CASES[Backend.NETWORK_MANAGER])
def test_nmcli_connection_modify(
    tmp_path: Path, case: str, change: str, policy_: PublicInterface
) -> None:
    """It writes the whole profile anew, without comments."""
    need("nmcli")
    target = target_of("network_manager", case, policy_)
    original = Host(tmp_path / "original", Backend.NETWORK_MANAGER, case)
    host = Host(tmp_path / "host", Backend.NETWORK_MANAGER, case)
    host.persist(target)
    for root in (original.root, host.root):
        for path in profiles(root):
            path.write_bytes(nmcli(path, *NMCLI[change]) or path.read_bytes())
    host.persist(target)
    for root in (host.root,):
        for path in profiles(root):
            path.write_bytes(nmcli(path) or path.read_bytes())
    host.persist(replace(target, gateway=OTHER_GATEWAY))
    host.revert()
    for old, new in zip(profiles(original.root), profiles(host.root)):
        assert settings(nmcli(old)) == settings(nmcli(new)), old.name


def settings(profile: bytes | None) -> list[str]:
    """The lines of a profile, routes and addresses without their numbers."""
    lines, section = [], ""
    values = dict(
        line.split("=", 1) for line in (profile or b"").decode().splitlines() if "=" in line
    )
    for line in (profile or b"").decode().splitlines():
        section = line if line.startswith("[") else section
        if line.startswith("uuid="):
            continue  # by chance, where the profile has none
        key, _, value = line.partition("=")
        route = key.removesuffix("_options")
        name = values[route] if key.endswith("_options") else key.rstrip("0123456789")
        lines.append(f"{section} {name}={value}")
    return sorted(lines)


@pytest.mark.parametrize("policy_", POLICIES)
@pytest.mark.parametrize("case", CASES[Backend.NETPLAN])
def test_netplan_set(tmp_path: Path, case: str, policy_: PublicInterface) -> None:
    """It writes all files anew, and moves definitions to the file that mentions them last."""
    need("netplan")
    target = target_of("netplan", case, policy_)
    original = Host(tmp_path / "original", Backend.NETPLAN, case)
    host = Host(tmp_path / "host", Backend.NETPLAN, case)
    host.persist(target)
    change = _settable(original.root)
    if not all(_set(root, change) for root in (original.root, host.root)):
        pytest.skip("this netplan refuses the tree")
    host.persist(target)
    host.persist(replace(target, gateway=OTHER_GATEWAY))
    host.revert()
    assert _merged(original.root) == _merged(host.root)


def _settable(root: Path) -> str:
    """A setting of the first definition that there is."""
    section, definitions = next(
        (section, value)
        for section, value in _merged(root).items()
        if isinstance(value, dict) and section not in ("version", "renderer")
    )
    name = next(iter(definitions)).replace(".", r"\.")
    return f"{section}.{name}.optional=true"


def _set(root: Path, change: str) -> bool:
    command = ["netplan", "set", "--root-dir", str(root), change]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _merged(root: Path) -> dict[str, Any]:
    """All files as netplan merges them, in an order of no meaning."""
    done = subprocess.run(
        ["netplan", "get", "--root-dir", str(root), "all"], check=True, capture_output=True
    )
    network: dict[str, Any] = yaml.safe_load(done.stdout)["network"]
    if network.get("renderer") == "networkd":
        del network["renderer"]  # the default, which netplan does not write
    return _sorted(network)  # type: ignore[no-any-return]


def _sorted(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _sorted(value) for key, value in sorted(node.items())}
    if isinstance(node, list):
        return sorted((_sorted(item) for item in node), key=repr)
    return node


def comments_stripped(path: Path) -> None:
    """What an editor or a template engine may do."""
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines(keepends=True)
    kept = [line for line in lines if not line.lstrip().startswith("#")]
    path.write_text("".join(kept), encoding="utf-8", errors="surrogateescape")


Rewrite = Callable[[Path], None]
STRIPPED = [(backend, case) for backend, names in CASES.items() for case in names]


@pytest.mark.parametrize("policy_", POLICIES)
@pytest.mark.parametrize(("backend", "case"), STRIPPED)
def test_comments_stripped(
    tmp_path: Path, backend: Backend, case: str, policy_: PublicInterface
) -> None:
    """The default routes of the original come back."""
    chosen = renderer(backend)
    target = target_of(backend.value.replace("-", "_"), case, policy_)
    original, host = (Host(tmp_path / name, backend, case) for name in ("original", "host"))
    host.persist(target)
    for root in (original.root, host.root):
        for path in sorted((root / "etc").rglob("*")):
            if path.is_file():
                comments_stripped(path)
    host.persist(replace(target, gateway=OTHER_GATEWAY))
    host.revert()
    wanted, found = (
        chosen.read_defaults(HostConfig(root, tmp_path / "other").read(chosen.patterns))
        for root in (original.root, host.root)
    )
    assert sorted(map(repr, wanted)) == sorted(map(repr, found))


def written_by_nova_agent(original: Path, now: Path) -> None:
    """nova-agent's `resetnetwork`: its own lines, and those of the old file that it does not know;
    comments go. Routes are written as they were."""
    for old, new in zip(_scripts(original), _scripts(now)):
        lines = old.read_text().splitlines()
        known = {line.partition("=")[0] for line in lines}
        if "route" not in old.name:
            present = new.read_text().splitlines()
            lines += [
                line for line in present
                if line[:1].isalpha() and line.partition("=")[0] not in known
            ]  # fmt: skip
        new.write_text("".join(f"{line}\n" for line in lines))


def _scripts(root: Path) -> list[Path]:
    return sorted((root / "etc/sysconfig/network-scripts").iterdir())


@pytest.mark.parametrize("policy_", POLICIES)
@pytest.mark.parametrize("persisted_again", [True, False])
def test_nova_agent(tmp_path: Path, policy_: PublicInterface, *, persisted_again: bool) -> None:
    """DEFROUTE=no, which outlives the agent's rewrite, does not outlive ours."""
    target = target_of("ifcfg", "nova-agent", policy_)
    original, host = (Host(tmp_path / name, Backend.IFCFG, "nova-agent") for name in "ab")
    host.persist(target)
    written_by_nova_agent(original.root, host.root)
    if persisted_again:
        host.persist(replace(target, gateway=OTHER_GATEWAY))
    host.revert()
    for old, new in zip(_scripts(original.root), _scripts(host.root)):
        assert old.read_text() == new.read_text()
