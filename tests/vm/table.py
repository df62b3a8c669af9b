"""The table of machines in README.md beside this: written by a complete run of `tests/run vm`."""

from __future__ import annotations

from pathlib import Path

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- machines: made by tests/run vm -->\n", "<!-- end of machines -->\n"
FIRST = "first boot, the gateway is assigned late"
API_DEAD = "second boot, the API is dead"
REMOVED = "third boot, rcnetd is removed"
AGAIN = "cloud-init writes the network again"
CUT = "power cuts while files are written and put back; 256 MB"
BOND = "a VLAN over a bond: a port is lost, the VLAN is made again"
IMAGES = {
    ("bookworm", "netplan"): "Debian 12, netplan",
    ("bookworm", "ifupdown"): "Debian 12, ifupdown",
    ("trixie", "network-manager"): "Debian 13, NetworkManager",
    ("trixie", "netplan"): "Debian 13, netplan, predictable names",
}
Shown = tuple[str, str, str]  # scenario, release, manager
PLANNED: tuple[Shown, ...] = (
    *((FIRST, release, manager) for release, manager in IMAGES),
    *((API_DEAD, release, manager) for release, manager in tuple(IMAGES)[:3]),
    (REMOVED, "bookworm", "netplan"),
    (AGAIN, "trixie", "netplan"),
    (CUT, "bookworm", "netplan"),
    (BOND, "bookworm", "netplan"),
)


def table(shown: set[Shown]) -> str:
    """What was shown to work, as a table of Markdown."""
    lines = [f"| | {' | '.join(IMAGES.values())} |", "|---|" + ":-:|" * len(IMAGES)]
    for scenario in dict.fromkeys(scenario for scenario, _, _ in PLANNED):
        cells = ["✓" if (scenario, *image) in shown else "" for image in IMAGES]
        lines.append(f"| {scenario} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def in_readme(text: str) -> str:
    """The part of *text* between the markers."""
    return text.partition(BEGIN)[2].partition(END)[0]


def write(shown: set[Shown], minutes: float) -> None:
    """Put the table into the README if the run was complete."""
    text = README.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if set(PLANNED) <= shown and end:
        took = f"\nAll of it takes {minutes:.0f} minutes on two cores.\n"
        README.write_text(before + begin + table(shown) + took + end + after, encoding="utf-8")
