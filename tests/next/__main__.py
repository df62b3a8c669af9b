"""Runs the parts on the next release, and prints a table: `python -m tests.next [PART …]`.

A complete run keeps the table in tests/README.md. Exit code 1: a part has failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.boot.trees import NEXT, tree
from tests.next import report
from tests.next.report import Outcome
from tests.next.tree import TREE, machine, run

# Without what needs pinned tools: the formatter, the type checker, shtab.
GUESTS = (
    "--ignore tests/boot --ignore tests/consumers --ignore tests/fleet --ignore tests/vm"
    " --ignore tests/writers --ignore tests/project/test_lint.py"
    " --ignore tests/project/test_packaging.py"
)
INSIDE = {
    "packages": "packaging/build-deb && packaging/build-rpm && cp dist/* /srv/output",
    "unit": f"python3 -m pytest -m 'not netns and not long' {GUESTS} --numprocesses 3",
    "netns": f"python3 -m pytest -m 'netns and not faults' {GUESTS} --numprocesses 3",
}
OUTSIDE = {
    "boot": ["tests/boot", "--numprocesses", "3"],
    "consumers": ["tests/consumers", "--numprocesses", "10", "--dist", "loadgroup"],
}
PARTS = (*INSIDE, *OUTSIDE)


def main(parts: list[str]) -> int:
    """Run these parts, or all."""
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        print(f"tests.next: {unknown[0]}: not one of {', '.join(PARTS)}", file=sys.stderr)
        return 2
    place = Path(tempfile.mkdtemp(prefix="rcnetd-next-"))
    outcomes = {part: _run(part, place) for part in parts or PARTS}
    table = report.table(report.versions(tree(NEXT), machine()), outcomes)
    print(f"\n{table}\nLogs: {place}")
    if set(PARTS) == outcomes.keys():
        report.keep(table)
    return 0 if all(outcome.ok for outcome in outcomes.values()) else 1


def _run(part: str, place: Path) -> Outcome:
    """Run one part; what it prints is in a file."""
    log, results = place / f"{part}.log", place / f"{part}.xml"
    print(f"tests.next: {part}, see {log}", file=sys.stderr)
    began = time.monotonic()
    if part in INSIDE:
        junit = " --junitxml=/srv/output/" + results.name if "pytest" in INSIDE[part] else ""
        ok = run(INSIDE[part] + junit, place, log)
    else:
        ok = _outside([*OUTSIDE[part], f"--junitxml={results}"], place, log)
    return report.outcome(ok, results, time.monotonic() - began)


def _outside(arguments: list[str], place: Path, log: Path) -> bool:
    """Run tests of this machine on the release's trees, with the packages that it has built."""
    environ = {**os.environ, "RCNETD_RELEASES": NEXT}
    if any(place.glob("*.deb")):
        environ["RCNETD_PACKAGES"] = str(place)
    with log.open("wb") as output:
        done = subprocess.run(
            ["unshare", "--mount", sys.executable, "-m", "pytest", *arguments],
            check=False, cwd=TREE, env=environ, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
