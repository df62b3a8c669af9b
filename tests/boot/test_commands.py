"""Every command of `rcnetctl`, by root and by a user, before, while and after rcnetd runs."""

from __future__ import annotations

from tests.boot.conftest import MakeGuest
from tests.boot.guest import Guest, chroot
from tests.boot.test_boot import DAEMON, DEPLOYED, NEWEST
from tests.boot.test_persistence import until_persisted

NOBODY = 65534
# For each command the exit codes by root and by a user: never started, running, stopped.
CODES = {
    "status": ((3, 3), (0, 0), (3, 3)),
    "status --json": ((3, 3), (0, 0), (3, 3)),
    "status --wait deployed --timeout 10s": ((3, 3), (0, 0), (3, 3)),
    "gateway": ((0, 75), (0, 0), (0, 0)),
    "automation --format json": ((0, 75), (0, 0), (0, 0)),
    "features": ((0, 75), (0, 0), (0, 0)),
    "metadata": ((3, 3), (0, 0), (0, 0)),
    "analyze": ((3, 3), (0, 0), (0, 0)),
    "analyze --plot -": ((3, 3), (0, 0), (0, 0)),
    "preflight": ((1, 1), (1, 1), (1, 1)),  # the daemon is disabled here
    "plan": ((0, 75), (0, 1), (0, 75)),  # what was persisted, only root may read
    "persist": ((3, 3), (0, 1), (0, 1)),
    "clean --dry-run": ((0, 0), (1, 1), (1, 1)),  # at last, the host's files have the route
    "revert": ((0, 1), (1, 1), (0, 1)),
    "emulate --list-faults": ((1, 1), (1, 1), (1, 1)),
    "demo": ((1, 1), (1, 1), (1, 1)),
}


def outcomes(guest: Guest) -> dict[str, tuple[int, int]]:
    """How each command ends now; what it prints is plain, and says why."""
    found = {}
    for command in CODES:
        codes = []
        for user in (0, NOBODY):
            done = guest.call("rcnetctl", *command.split(), user=user)
            said = done.stdout + done.stderr
            assert "Traceback" not in said, (command, user, said)
            assert "\x1b" not in said, (command, user)
            assert said.strip(), (command, user)
            codes.append(done.returncode)
        found[command] = (codes[0], codes[1])
    return found


def test_every_command_at_every_time(make_guest: MakeGuest) -> None:
    """The exit codes that scripts rely on."""
    guest = make_guest(NEWEST, "ifupdown")
    chroot(guest.root, "systemctl", "disable", "rcnetd", "rcnetd-deployed", "rcnetd-wait-online")
    guest.emulate(DEPLOYED)
    with guest.boot():
        times = [outcomes(guest)]
        guest.run("systemctl", "start", DAEMON)
        until_persisted(guest)
        times.append(outcomes(guest))
        guest.run("systemctl", "stop", DAEMON)
        times.append(outcomes(guest))

    assert CODES == {command: tuple(time[command] for time in times) for command in CODES}
