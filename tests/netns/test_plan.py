"""`rcnetctl plan` on a private host: what rcnetd would change, and what would break."""

from __future__ import annotations

import sys
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from rcnetd.ctl.command import CommandError
from rcnetd.ctl.plan import plan
from rcnetd.lab.topology import API, GATEWAY
from rcnetd.store.paths import Paths
from tests.netns.daemons import NEVER, ONCE, Cloud

pytestmark = pytest.mark.netns
UNIT = "[Match]\nName=eth1\n\n[Network]\nAddress=10.180.1.2/19\n"


class Host:
    """A server on which rcnetd does not run."""

    def __init__(self, cloud: Cloud, root: Path) -> None:
        self.cloud, self.root = cloud, root
        self.unit = root / "etc/systemd/network/10-eth1.network"
        self.unit.parent.mkdir(parents=True)
        self.unit.write_text(UNIT)
        self.config = root / "rcnetd.yaml"
        self.paths = Paths(root / "run", root / "state", root / "metadata.json")
        self.paths.run.mkdir()

    def plan(
        self, gateway: str | None = None, settings: str = "", region: str = "region: dfw\n"
    ) -> int:
        """`rcnetctl plan`, and its exit code; it changes nothing."""
        self.config.write_text(
            f"{region}api_address: {API}\npersist: networkd\n"
            f"ca_file: {self.cloud.api.ca_file}\n{settings}"
        )
        before, code = self.cloud.defaults(), 0
        given = IPv4Address(gateway) if gateway else None
        try:
            with self.cloud.topology.server:
                plan(self.paths, [self.config], given, self.root)
        except CommandError as error:
            code = error.code
            print(error, file=sys.stderr)
        assert before == self.cloud.defaults()
        assert UNIT == self.unit.read_text()
        assert not self.paths.undo.exists()
        return code


@pytest.fixture
def host(cloud: Cloud, tmp_path: Path) -> Host:
    """The API knows a gateway."""
    cloud.emulate(ONCE)
    return Host(cloud, tmp_path / "root")


def test_what_would_be_done(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """The gateway that the API gives, the routes, a diff of each file."""
    assert 0 == host.plan()
    said = capsys.readouterr().out
    assert f"Gateway     {GATEWAY}, the API's\n" in said
    assert "ServiceNet  eth1 10.180.1.2/19: " in said
    assert f"would add default via {GATEWAY} dev eth1 metric 1\n" in said
    assert "would remove default via 203.0.113.1 dev eth0" in said
    drop_in = "/etc/systemd/network/10-eth1.network.d/zz-rcnetd.conf"
    assert f"Files       networkd: 1 to change\n--- /dev/null\n+++ {drop_in}\n" in said
    assert f"+Gateway={GATEWAY}\n" in said
    assert "WARNING" not in said


def test_what_the_backend_s_tool_warns_of(
    host: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What persist would say."""
    monkeypatch.setattr("rcnetd.hostconfig.verify.check", lambda *_: ("eth9 is skipped",))
    assert 0 == host.plan()
    assert "WARNING     eth9 is skipped\n" in capsys.readouterr().out


def test_what_would_break(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """The public link would be set down."""
    assert 0 == host.plan(str(GATEWAY), "public_interface: down\n")
    said = capsys.readouterr().out
    assert f"Gateway     {GATEWAY}, as given\n" in said
    assert "WARNING     eth0 would be set down, and every connection over it would break\n" in said


def test_what_stays_public(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """Its networks keep the old gateway."""
    (host.unit.parent / "10-eth0.network").write_text(
        "[Match]\nName=eth0\n[Network]\nAddress=203.0.113.10/24\nGateway=203.0.113.1\n"
    )
    assert 0 == host.plan(str(GATEWAY), "public_routes: [192.0.2.0/24]\n")
    said = capsys.readouterr().out
    assert "would add 192.0.2.0/24 via 203.0.113.1\n" in said
    assert "+Destination=192.0.2.0/24\n" in said


def test_while_rcnetd_runs(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """It shows the daemon's gateway without a request; the route is in place."""
    daemon = host.cloud.start()
    daemon.until_ready()
    host.paths = Paths(daemon.run, daemon.directory, host.paths.metadata)
    asked = len(host.cloud.api.requests)
    assert 0 == host.plan()
    said = capsys.readouterr().out
    assert f"Gateway     {GATEWAY}, rcnetd's\n" in said
    assert "Route       is in place\n" in said
    assert asked == len(host.cloud.api.requests)


def test_why_not(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """The gateway or the settings are invalid, or there is no ServiceNet."""
    assert 1 == host.plan("10.180.1.2")
    assert "is this server's own address; nothing is written" in capsys.readouterr().err
    assert 78 == host.plan(str(GATEWAY), "gateway: 5\n")
    assert "gateway" in capsys.readouterr().err
    host.cloud.topology.server.ip("address flush dev eth1")
    assert 1 == host.plan(str(GATEWAY))
    assert "there is no ServiceNet interface" in capsys.readouterr().err


def test_without_a_region(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """With a gateway no request is sent, so no region is needed."""
    assert 0 == host.plan(str(GATEWAY), region="")
    assert f"Gateway     {GATEWAY}, as given\n" in capsys.readouterr().out
    assert [] == host.cloud.api.requests
    assert 78 == host.plan(region="")
    assert "no region is known" in capsys.readouterr().err


@pytest.mark.parametrize("policy", ["no-default", "down"])
def test_it_removes_what_the_daemon_removes(
    host: Host, capsys: pytest.CaptureFixture[str], policy: str
) -> None:
    """Both remove the public default and a winner, and leave a loser on a third link."""
    server = host.cloud.topology.server
    server.ip(
        "link add eth2 type veth peer name eth2peer",
        "link set eth2 up",
        "link set eth2peer up",
        "address add 192.168.5.2/24 dev eth2",
        "route add default via 192.168.5.1 dev eth2 metric 500",
        "route add default via 192.168.5.9 dev eth2 metric 1",
    )
    assert 0 == host.plan(str(GATEWAY), f"public_interface: {policy}\n")
    said = capsys.readouterr().out
    before = host.cloud.defaults()
    daemon = host.cloud.start(f"public_interface: {policy}\n")
    daemon.until_ready()
    after = [line for line in host.cloud.defaults() if str(GATEWAY) not in line]

    lines = [line.split(" would ")[1] for line in said.splitlines() if " would " in line]
    removed = [line.partition("remove ")[2] for line in lines if line.startswith("remove ")]
    left = [line.partition("leave ")[2] for line in lines if line.startswith("leave ")]
    assert 3 == len(before) == len(removed) + len(left)
    assert ["default via 192.168.5.1 dev eth2 proto boot metric 500"] == left
    assert ["default via 192.168.5.1 dev eth2 metric 500"] == [line.strip() for line in after]


def test_an_ipv6_default_route(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """It bypasses the firewall, unless the settings forbid it."""
    server = host.cloud.topology.server
    server.run("ip", "-6", "route", "add", "default", "via", "fe80::1", "dev", "eth0")
    assert 0 == host.plan(str(GATEWAY))
    said = capsys.readouterr().out
    assert "would leave default via fe80::1 dev eth0 proto boot metric 1024 (IPv6)\n" in said
    assert "WARNING     the IPv6 default route would stay and bypass" in said

    assert 0 == host.plan(str(GATEWAY), "public_ipv6: no-default\n")
    said = capsys.readouterr().out
    assert "would remove default via fe80::1 dev eth0 proto boot metric 1024 (IPv6)\n" in said
    assert "WARNING" not in said


def test_not_assigned_yet(cloud: Cloud, tmp_path: Path) -> None:
    """It exits with 75, as `rcnetctl gateway` does."""
    cloud.emulate(NEVER)
    assert 75 == Host(cloud, tmp_path / "root").plan()
