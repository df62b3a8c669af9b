"""Whether systemd may still start rcnetd: for whoever waits while the daemon does not run yet.

"Not started yet" is not "not running": with cloud-init, rcnetd starts half a minute after the
units that wait for it, and D-Bus later still, so that systemd cannot even be asked at first.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rcnetd.basic.process import run

UNIT = "rcnetd.service"
PROPERTIES = "LoadState,ActiveState,Result,Job,ConditionResult,ConditionTimestampMonotonic"
# Where systemd looks for a unit, the first wins; see systemd.unit(5).
DIRECTORIES = (
    "etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system",
    "usr/lib/systemd/system", "lib/systemd/system",
)  # fmt: skip
# A link that systemd makes when it starts a unit, for the journal: it needs no bus to be seen.
INVOCATION = "run/systemd/units/invocation:rcnetd.service"
START_GRACE = 5.0  # seconds for a start that somebody else is just about to request
ASK_INTERVAL = 5.0  # seconds between two questions to systemd
MAX_SECONDS = 10.0  # for systemd to answer
NOT_RUNNING = "rcnetd is not running; 'systemctl start rcnetd'"


class Startup:
    """Asks systemd now and then, from *now* on. *root* is `/`, or a tree for tests."""

    def __init__(self, now: float, root: Path = Path("/")) -> None:
        self._root = root
        self._grace_ends = now + START_GRACE
        self._ask_at = now

    def has_begun(self) -> bool:
        """Whether systemd has come to start it in this boot; also where systemd does not run."""
        is_booted = (self._root / "run/systemd/system").is_dir()
        return not is_booted or (self._root / INVOCATION).is_symlink()

    def obstacle(self, now: float) -> str | None:
        """Why the daemon will not start; None while it may."""
        if now < self._ask_at:
            return None
        self._ask_at = now + ASK_INTERVAL
        properties = read_properties()
        reason = file_refusal(self._root) if properties is None else refusal(properties)
        if reason == NOT_RUNNING and now < self._grace_ends:
            return None
        return reason


def refusal(properties: Mapping[str, str]) -> str | None:
    """Why the unit with these properties will not start; None while it may."""
    load = properties["LoadState"]
    if load == "masked":
        return "rcnetd is masked; 'systemctl unmask rcnetd'"
    if load not in ("loaded", "merged"):
        return f"systemd cannot load {UNIT} ({load}); 'systemctl status rcnetd'"
    if properties.get("Job", "0") not in ("", "0"):
        return None  # it is queued behind what it is ordered after
    active = properties.get("ActiveState")
    if active == "failed":
        return f"rcnetd has failed ({properties.get('Result')}); 'journalctl -u rcnetd'"
    if active == "inactive":
        tried = properties.get("ConditionTimestampMonotonic", "0") != "0"
        if tried and properties.get("ConditionResult") == "no":
            return f"a condition of {UNIT} is not met; 'systemctl status rcnetd'"
        return NOT_RUNNING
    return None  # running, or about to be restarted


def is_active() -> bool:
    """Whether systemd has a daemon that was READY and has not ended."""
    properties = read_properties() or {}
    return properties.get("ActiveState") in ("active", "reloading")


def file_refusal(root: Path) -> str | None:
    """The same as far as the unit's file tells, for a time when systemd cannot be asked."""
    if not (root / "run/systemd/system").is_dir():
        return NOT_RUNNING  # nobody is there to start it
    for directory in DIRECTORIES:
        path = root / directory / UNIT
        if path.is_symlink() and path.readlink() == Path("/dev/null"):
            return "rcnetd is masked; 'systemctl unmask rcnetd'"
        if path.exists():
            return None
    return f"{UNIT} is not installed"


def read_properties() -> dict[str, str] | None:
    """Return the unit's properties as systemd has them; None if it cannot be asked (yet)."""
    done = run(["systemctl", "show", "--property", PROPERTIES, UNIT], timeout=MAX_SECONDS)
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    return found if done.ok and "LoadState" in found else None
