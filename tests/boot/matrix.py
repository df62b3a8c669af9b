"""The table of boots in README.md beside this: written by a complete run of `tests/run boot`."""

from __future__ import annotations

from pathlib import Path

from tests.boot.guest import MANAGERS
from tests.boot.test_boot import ANYWHERE, DOWN, NEWEST, RPM, SCENARIOS
from tests.boot.trees import RELEASES
from tests.support.made_part import MadePart

README = Path(__file__).with_name("README.md")
IN_README = MadePart(README, "<!-- boots: made by tests/run boot -->\n", "<!-- end of boots -->\n")
NAMES = {"bullseye": "Debian 11", "bookworm": "Debian 12", "trixie": "Debian 13"}
TITLES = {
    "netplan": "netplan, networkd",
    "network-manager": "NetworkManager",
    "ifupdown": "ifupdown",
}
Boot = tuple[str, str, str]  # scenario, release, manager

PLANNED: tuple[Boot, ...] = tuple(
    (name, release, manager)
    for name in (*SCENARIOS, DOWN, RPM)
    for release in reversed(RELEASES)
    for manager in MANAGERS
    if release == NEWEST or SCENARIOS.get(name) in ANYWHERE
)


def table(results: dict[Boot, bool]) -> str:
    """The results as a table of Markdown: a column for the newest's managers and each release."""
    columns = [[(NEWEST, manager)] for manager in MANAGERS]
    columns += [[(release, manager) for manager in MANAGERS] for release in reversed(RELEASES[:-1])]
    heads = [f"{NAMES[NEWEST]}, {TITLES[manager]}" for manager in MANAGERS]
    heads += [f"{NAMES[release]}, all three" for release in reversed(RELEASES[:-1])]
    lines = [f"| | {' | '.join(heads)} |", "|---|" + ":-:|" * len(heads)]
    for name in (*SCENARIOS, DOWN, RPM):
        cells = []
        for column in columns:
            boots = [results[(name, *host)] for host in column if (name, *host) in results]
            cells.append(("✓" if all(boots) else "✗") if boots else "")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def write(results: dict[Boot, bool]) -> None:
    """Put the table into the README if the run was complete."""
    if set(PLANNED) <= results.keys():
        IN_README.text = table(results)
