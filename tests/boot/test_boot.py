"""Boots of whole guests, watched from outside: the kernel's routes, systemd's units."""

from __future__ import annotations

import pytest

from rcnetd.topology import GATEWAY
from tests.boot.conftest import MakeGuest
from tests.boot.guest import MANAGERS
from tests.boot.trees import RELEASES

INSTANT = "servers: [{timeline: [{at: 0, gateway: 10.180.31.254, status: DEPLOYED}]}]"


@pytest.mark.parametrize("manager", MANAGERS)
@pytest.mark.parametrize("release", RELEASES)
def test_instant(make_guest: MakeGuest, release: str, manager: str) -> None:
    guest = make_guest(release, manager)
    guest.emulate(INSTANT)
    with guest.boot():
        guest.until(lambda: guest.is_active("rcnetd.service"))
        guest.until(lambda: guest.is_active("rcnetd-deployed.service"))
        guest.until(lambda: guest.is_active("multi-user.target"))
        guest.until(lambda: guest.is_active("online.service"))
        assert guest.goes_by_gateway()
        print(release, manager, {u: guest.since_boot(u) for u in ("rcnetd.service", "multi-user.target", "network-online.target", "rcnetd-deployed.service", "dependent.service")})
        print(guest.run("cat", "/run/online"), guest.run("systemctl", "status", "--no-pager", "rcnetd.service"), guest.run("systemctl", "--failed", "--no-pager"))
