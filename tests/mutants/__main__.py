"""`tests/run mutants`: change the code of a package at random, and see whether its tests notice.

mutmut makes the mutants and runs the tests of `tests/unit/PACKAGE` on a sample of them. The same
seed on the same code takes the same sample. An interrupted run continues where it was: the results
are below `dist/mutants/`, for as long as the code stays. Mutants that change nothing that anybody
can see are listed in `equivalents.txt`, with the reason; all other survivors are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

TREE = Path(__file__).parents[2]
PLACE = TREE / "dist/mutants"
EQUIVALENTS = Path(__file__).with_name("equivalents.txt")
PACKAGES = ("core", "store", "hostconfig", "api")
CONFIGURATION = """\
[mutmut]
source_paths=rcnetd
only_mutate=rcnetd/{package}/*
pytest_add_cli_args_test_selection=
    tests/unit/{package}
pytest_add_cli_args=
    -m
    not long and not netns
    -pno:xdist
"""


def main(arguments: Sequence[str]) -> int:
    """Test the packages; exit code 1 if a mutant of a sample survives."""
    parser = argparse.ArgumentParser(prog="tests/run mutants --", description=__doc__)
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", default=PACKAGES)
    parser.add_argument("--sample", type=int, default=300, help="how many of a package; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args(arguments)
    survived = 0
    for package in options.packages:
        place = prepare(package)
        run(place, options.jobs, "no-such-mutant")  # makes all, tests none
        names = sample(sorted(results(place)), options.sample, options.seed)
        run(place, options.jobs, *names)
        survived += report(place, package, names)
    return 1 if survived else 0


def prepare(package: str) -> Path:
    """Put a copy of the checkout into the package's place; files that did not change stay."""
    place = PLACE / package
    for part in ("packaging", "rcnetd", "systemd", "tests"):
        shutil.copytree(
            TREE / part, place / part, dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )  # fmt: skip
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md"):
        shutil.copy2(TREE / name, place)
    (place / "setup.cfg").write_text(CONFIGURATION.format(package=package), encoding="utf-8")
    return place


def run(place: Path, jobs: int, *names: str) -> None:
    """Test these mutants, except those that have a result."""
    command = [sys.executable, "-m", "mutmut", "run", f"--max-children={jobs}", *names]
    subprocess.run(command, cwd=place, check=False, stdin=subprocess.DEVNULL)


def results(place: Path) -> dict[str, int | None]:
    """Pytest's exit code for each mutant, None if it has not been tested."""
    found: dict[str, int | None] = {}
    for path in (place / "mutants").rglob("*.meta"):
        found.update(json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"])
    return found


def sample(names: list[str], count: int, seed: int) -> list[str]:
    """Choose so many of the names, always the same for a seed."""
    if not 0 < count < len(names):
        return names
    return random.Random(seed).sample(names, count)


def changed_line(place: Path, name: str) -> str:
    """What makes a mutant: `FUNCTION: LINE -> CHANGED LINE`; its number may change."""
    command = [sys.executable, "-m", "mutmut", "show", name]
    done = subprocess.run(command, cwd=place, check=True, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line[:3] not in ("---", "+++")]
    old = " ".join(line[1:].strip() for line in lines if line.startswith("-"))
    new = " ".join(line[1:].strip() for line in lines if line.startswith("+"))
    function = name.rpartition("__mutmut_")[0].replace("xǁ", "").replace("ǁ", ".")
    return f"{function}: {old} -> {new}"


def equivalents() -> set[str]:
    """The mutants that cannot be noticed: the lines of the list that are not indented reasons."""
    lines = EQUIVALENTS.read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and line[0] not in "# "}


def report(place: Path, package: str, names: list[str]) -> int:
    """Print the score and each survivor; returns their number."""
    codes, known = results(place), equivalents()
    tested = [name for name in names if codes[name] is not None]
    # 33: no test runs the function; see mutmut's status_by_exit_code.
    alive = {name: changed_line(place, name) for name in tested if codes[name] in (0, 33)}
    survivors = sorted(line for line in alive.values() if line not in known)
    for line in survivors:
        print(f"survived: {line}")
    same = len(alive) - len(survivors)
    counted = len(tested) - same
    score = 100 * (counted - len(survivors)) / counted if counted else 0.0
    print(
        f"{package}: {score:.1f} % of {counted} caught; {same} equivalent;"
        f" {len(tested)} of {len(names)} tested, of {len(codes)} in all"
    )
    return len(survivors)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
