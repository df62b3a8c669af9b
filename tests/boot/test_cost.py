"""What rcnetd adds to a boot when the API answers at once, beside what users write instead.

Prints medians (`tests/run boot -- -k cost -s`); nothing fails on a time.
"""

from __future__ import annotations

import statistics

import pytest

from rcnetd.lab.topology import PUBLIC_ROUTER
from tests.boot.conftest import MakeGuest
from tests.boot.guest import Guest, write
from tests.boot.test_boot import DAEMON, check_ready
from tests.boot.trees import RELEASES

TIMES = 15
DEPLOYED = """
limit: 100000
servers: [{timeline: [{at: 0, gateway: 10.180.31.254, status: DEPLOYED}]}]
"""
# The loop that users write, in its quickest form.
SHELL = "shell.service"
UNIT = """\
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/bin/shell-loop
"""
LOOP = """\
#!/bin/sh
api=https://dfw.api.rackconnect.rackspace.com/v1
until ip -4 -o address show | grep -q ' 10\\.'; do sleep 1; done
until gateway=$(curl --silent --fail $api/gateway_ip); do sleep 5; done
ip route replace default via "$gateway"
until [ "$(curl --silent --fail $api/automation_status)" = DEPLOYED ]; do sleep 5; done
"""


def took(guest: Guest, unit: str) -> float:
    """From the unit's start to its being active, in milliseconds."""
    begin = int(guest.show(unit, "InactiveExitTimestampMonotonic"))
    return (int(guest.show(unit, "ActiveEnterTimestampMonotonic")) - begin) / 1000


def costs(guest: Guest, times: int) -> tuple[float, dict[str, list[float]]]:
    """What it took in the boot, and what each unit took later, in turn; in milliseconds."""
    write(guest.root, f"/etc/systemd/system/{SHELL}", UNIT)
    write(guest.root, "/usr/local/bin/shell-loop", LOOP, 0o755)
    guest.emulate(DEPLOYED)
    with guest.boot():
        check_ready(guest)
        in_the_boot = took(guest, DAEMON)
        measured: dict[str, list[float]] = {DAEMON: [], SHELL: []}
        for _ in range(times):
            for unit, figures in measured.items():
                guest.run("systemctl", "stop", DAEMON, SHELL)
                guest.run("sh", "-c", "rm -f /run/rcnetd/requests /var/lib/rcnetd/gateway.json;"
                          " ip -4 route flush exact default;"
                          f" ip route add default via {PUBLIC_ROUTER}")  # fmt: skip
                guest.run("systemctl", "start", unit)
                assert guest.goes_by_gateway()
                figures.append(took(guest, unit))
    return in_the_boot, measured


@pytest.mark.parametrize("release", RELEASES)
def test_cost(make_guest: MakeGuest, release: str) -> None:
    """Unit start to READY: in the boot itself, and started again as on a first boot."""
    in_the_boot, measured = costs(make_guest(release, "ifupdown"), TIMES)
    medians = {unit: statistics.median(figures) for unit, figures in measured.items()}
    print(
        f"\n{release}: {in_the_boot:.0f} ms in the boot; median of {TIMES}: rcnetd"
        f" {medians[DAEMON]:.0f} ms, curl + ip {medians[SHELL]:.0f} ms,"
        f" ratio {medians[DAEMON] / medians[SHELL]:.1f}"
    )
