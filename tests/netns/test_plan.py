"""`rcnetctl plan`: what would be done, and what would break, on a host of the test's own."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from rcnetd.ctl.plan import run
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

    def plan(self, gateway: str | None = None, settings: str = "") -> int:
        """`rcnetctl plan`; nothing changes by it."""
        self.config.write_text(
            f"region: dfw\napi_address: {API}\npersist: networkd\n"
            f"ca_file: {self.cloud.api.ca_file}\n{settings}"
        )
        before = self.cloud.defaults()
        with self.cloud.topology.server:
            code = run(
                self.paths, [self.config], IPv4Address(gateway) if gateway else None, self.root
            )
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


def test_what_would_break(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """A public link that is to be set down."""
    assert 0 == host.plan(str(GATEWAY), "public_interface: down\n")
    said = capsys.readouterr().out
    assert f"Gateway     {GATEWAY}, as given\n" in said
    assert "WARNING     eth0 would be set down, with all that comes in by it\n" in said


def test_what_stays_public(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """By the old gateway."""
    (host.unit.parent / "10-eth0.network").write_text(
        "[Match]\nName=eth0\n[Network]\nAddress=203.0.113.10/24\nGateway=203.0.113.1\n"
    )
    assert 0 == host.plan(str(GATEWAY), "public_routes: [192.0.2.0/24]\n")
    said = capsys.readouterr().out
    assert "would add 192.0.2.0/24 via 203.0.113.1\n" in said
    assert "+Destination=192.0.2.0/24\n" in said


def test_while_rcnetd_runs(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """The daemon's gateway, without a request; the route is there."""
    daemon = host.cloud.start()
    daemon.until_ready()
    host.paths = Paths(daemon.run, daemon.directory, host.paths.metadata)
    asked = len(host.cloud.api.requests)
    assert 0 == host.plan()
    said = capsys.readouterr().out
    assert f"Gateway     {GATEWAY}, rcnetd's\n" in said
    assert "Route       is in effect\n" in said
    assert asked == len(host.cloud.api.requests)


def test_why_not(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """A gateway that is none; settings that are wrong; no ServiceNet."""
    assert 1 == host.plan("10.180.1.2")
    assert "is this server's own address; nothing is written" in capsys.readouterr().err
    assert 78 == host.plan(str(GATEWAY), "gateway: 5\n")
    assert "gateway" in capsys.readouterr().err
    host.cloud.topology.server.ip("address flush dev eth1")
    assert 1 == host.plan(str(GATEWAY))
    assert "there is no ServiceNet interface" in capsys.readouterr().err


def test_not_assigned_yet(cloud: Cloud, tmp_path: Path) -> None:
    """75, as of `rcnetctl gateway`."""
    cloud.emulate(NEVER)
    assert 75 == Host(cloud, tmp_path / "root").plan()
