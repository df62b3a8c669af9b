"""Units that wait for rcnetd: what passes is waited for, what does not pass releases them."""

from __future__ import annotations

import pytest

from tests.boot.conftest import MakeGuest
from tests.boot.guest import chroot, write
from tests.boot.test_boot import (
    DAEMON,
    DEPLOYED,
    GATE,
    ONLINE,
    TARGET,
    check_ready,
    check_untouched,
    platform,
)
from tests.boot.trees import RELEASES

METADATA = "rcnetd-metadata.service"
# Once, it takes longer than systemd lets it.
SLOW_ONCE = """\
[Service]
ExecStartPre=+/bin/sh -c 'mkdir /run/slow-once || exit 0; exec sleep 60'
TimeoutStartSec=2s
"""
LATE = "[Unit]\nAfter=late.service\n"
# Longer than what a daemon was once given to start.
HOLD = """\
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/sleep 12
[Install]
RequiredBy=rcnetd.service
"""


@pytest.mark.parametrize("release", RELEASES)
def test_metadata_that_was_late_is_asked_for_again(make_guest: MakeGuest, release: str) -> None:
    """systemd killed the unit that asks the platform, which alone names the region."""
    guest = make_guest(release, "netplan")
    guest.set("region: auto\n")
    platform(guest, {"v1": {"region": "DFW"}})
    write(guest.root, f"/etc/systemd/system/{METADATA}.d/slow.conf", SLOW_ONCE)
    guest.emulate(DEPLOYED)
    with guest.boot():
        check_ready(guest)
        said = guest.run("journalctl", "-b", "-u", "rcnetd")
        assert "no region is known yet" in said
        assert int(guest.show(DAEMON, "NRestarts")) >= 1


@pytest.mark.parametrize("release", RELEASES)
def test_a_late_start_is_waited_for(make_guest: MakeGuest, release: str) -> None:
    """With cloud-init rcnetd starts half a minute later than what waits for it; nothing fails."""
    guest = make_guest(release, "netplan")
    write(guest.root, "/etc/systemd/system/late.service", HOLD)
    write(guest.root, f"/etc/systemd/system/{DAEMON}.d/late.conf", LATE)
    chroot(guest.root, "systemctl", "enable", "late.service")
    guest.emulate(DEPLOYED)
    with guest.boot():
        check_ready(guest)
        for unit in (GATE, ONLINE):
            assert "success" == guest.show(unit, "Result")
            assert "Failed" not in guest.run("journalctl", "-b", "-u", unit)


@pytest.mark.parametrize("release", RELEASES)
def test_masked_releases_at_once(make_guest: MakeGuest, release: str) -> None:
    """With the reason; network-online.target is reached, and the gate stays closed."""
    guest = make_guest(release, "netplan")
    chroot(guest.root, "systemctl", "mask", DAEMON)
    guest.emulate(DEPLOYED)
    with guest.boot():
        guest.until_active(TARGET, "online.service")
        guest.until(lambda: guest.result(GATE) == ("failed", 3))
        check_untouched(guest)
        assert "success" == guest.show(ONLINE, "Result")
        for unit in (GATE, ONLINE):
            assert "rcnetd is masked" in guest.run("journalctl", "-b", "-u", unit)
