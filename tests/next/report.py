"""The table of a run on the next release, in tests/README.md."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from rcnetd.basic.dataclass import dataclass
from tests.support.made_part import MadePart

README = Path(__file__).parent.parent / "README.md"
IN_README = MadePart(README, "<!-- next: made by tests/run next -->\n", "<!-- end of next -->\n")
# What the guests have, and what only the machine has that builds and tests.
SEEN = (
    "base-files", "systemd", "python3", "netplan.io", "network-manager", "ifupdown", "cloud-init",
    "iproute2", "python3-pyroute2", "python3-requests", "python3-yaml", "python3-systemd",
)  # fmt: skip
BUILDS = ("debhelper", "python3-all", "rpm", "python3-pytest", "python3-hypothesis",
          "python3-openstacksdk")  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """How a part ended. *counts*: what pytest counted, by its words."""

    ok: bool
    minutes: float
    counts: Mapping[str, int]


def outcome(ok: bool, results: Path, seconds: float) -> Outcome:
    """How a part ended, with what pytest wrote of it, if it did."""
    counts: dict[str, int] = {}
    if results.exists():
        for suite in ElementTree.parse(results).iter("testsuite"):
            said = {word: int(suite.get(word, "0")) for word in ("tests", "failures", "errors",
                                                                 "skipped")}  # fmt: skip
            failed = said["failures"] + said["errors"]
            counts["passed"] = said["tests"] - failed - said["skipped"]
            counts["failed"] = failed
            counts["skipped"] = said["skipped"]
    return Outcome(ok, seconds / 60, counts)


def versions(image: Path, machine: Path) -> dict[str, str]:
    """The packages that were tried, with their versions."""
    return {**_versions(image, SEEN), **_versions(machine, BUILDS)}


def _versions(root: Path, names: tuple[str, ...]) -> dict[str, str]:
    done = subprocess.run(
        ["dpkg-query", f"--admindir={root}/var/lib/dpkg", "--show",
         "--showformat=${Package} ${Version}\n", *names],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    found = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    return {name: found[name] for name in names}


def table(seen: Mapping[str, str], outcomes: Mapping[str, Outcome]) -> str:
    """Two tables of Markdown: the parts, and the versions."""
    lines = ["| part | | tests | minutes |", "|---|:-:|---|--:|"]
    for part, one in outcomes.items():
        tests = ", ".join(f"{count} {word}" for word, count in one.counts.items() if count)
        lines.append(f"| {part} | {'✓' if one.ok else '✗'} | {tests} | {one.minutes:.0f} |")
    lines += ["", "| package | version |", "|---|---|"]
    lines += [f"| {name} | {version} |" for name, version in seen.items()]
    return "\n".join(lines) + "\n"


def keep(text: str) -> None:
    """Put the tables into the README."""
    IN_README.text = text
