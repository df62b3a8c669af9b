"""The table of machines in README.md beside this: written once `tests/run vm` has shown it all."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from tests.boot.trees import cache
from tests.support.made_part import MadePart

KEPT = "vm-shown.json"  # in the cache
README = Path(__file__).with_name("README.md")
IN_README = MadePart(
    README, "<!-- machines: made by tests/run vm -->\n", "<!-- end of machines -->\n"
)
FIRST = "first boot, the gateway is assigned late"
API_DEAD = "second boot, the API is dead"
REMOVED = "third boot, rcnetd is removed"
AGAIN = "cloud-init writes the network again"
CUT = "power cuts while files are written and put back; 256 MB"
BOND = "a VLAN over a bond: a port is lost, the VLAN is made again"
CLOCK = "the clock says 1980 until systemd-timesyncd sets it"
SLOW = "every service starts 20 s later"
IMAGES = {
    ("bullseye", "netplan"): "Debian 11, netplan",
    ("bookworm", "netplan"): "Debian 12, netplan",
    ("bookworm", "ifupdown"): "Debian 12, ifupdown",
    ("trixie", "network-manager"): "Debian 13, NetworkManager",
    ("trixie", "netplan"): "Debian 13, netplan, predictable names",
}
Shown = tuple[str, str, str]  # scenario, release, manager
PLANNED: tuple[Shown, ...] = (
    *((FIRST, *image) for image in IMAGES),
    *((scenario, *image) for scenario in (API_DEAD, REMOVED) for image in tuple(IMAGES)[:4]),
    (AGAIN, "trixie", "netplan"),
    (CUT, "bookworm", "netplan"),
    (BOND, "bookworm", "netplan"),
    (CLOCK, "bookworm", "netplan"),
    (SLOW, "bookworm", "netplan"),
)


def table(shown: set[Shown]) -> str:
    """What was shown to work, as a table of Markdown."""
    lines = [f"| | {' | '.join(IMAGES.values())} |", "|---|" + ":-:|" * len(IMAGES)]
    for scenario in dict.fromkeys(scenario for scenario, _, _ in PLANNED):
        cells = ["✓" if (scenario, *image) in shown else "" for image in IMAGES]
        lines.append(f"| {scenario} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def write(shown: set[Shown], minutes: float, package: str) -> None:
    """Add what a run has shown of a package; put the table into the README once that is all.

    A run takes long: one that did not get to its end, or failed somewhere, is continued by the
    next, as long as the package is the same.
    """
    path = cache() / KEPT
    with contextlib.suppress(OSError, ValueError):
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["package"] == package and not set(PLANNED) <= shown:
            shown = shown | {(one, release, manager) for one, release, manager in kept["shown"]}
            minutes += kept["minutes"]
    content = {"package": package, "minutes": minutes, "shown": sorted(shown)}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if set(PLANNED) <= shown:
        took = f"\nAll of it takes {minutes:.0f} minutes on two cores.\n"
        IN_README.text = table(shown) + took
