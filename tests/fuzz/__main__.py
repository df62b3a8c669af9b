"""`tests/run fuzz -- TARGET … --seconds N`: inputs that lead to new code, by atheris.

The targets are those of `targets.py`. What was found interesting is kept in the cache, so a run
continues where the last one was. An input that is a finding ends the target's run: its file is
named, and belongs into `corpus/TARGET/`, which `test_corpus.py` replays, with the repair.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
from pathlib import Path

from tests.boot.trees import cache

CORPUS = Path(__file__).with_name("corpus")
MAX_LENGTH = 4096  # bytes
MAX_SECONDS_EACH = 10
MAX_MEGABYTES = 1024


def one(target: str, options: list[str]) -> None:
    """Fuzz a target in this process, which libFuzzer ends."""
    import atheris

    with atheris.instrument_imports(include=["rcnetd"]):
        from tests.fuzz.targets import TARGETS, seeds

    place = cache() / "fuzz" / target
    place.mkdir(parents=True, exist_ok=True)
    for data in seeds(target):
        if len(data) <= MAX_LENGTH:
            (place / hashlib.sha1(data, usedforsecurity=False).hexdigest()).write_bytes(data)
    found = place.with_name(f"{target}-findings")
    found.mkdir(exist_ok=True)
    atheris.Setup(
        [sys.argv[0], str(place), str(CORPUS / target), f"-artifact_prefix={found}/",
         f"-max_len={MAX_LENGTH}", f"-timeout={MAX_SECONDS_EACH}",
         f"-rss_limit_mb={MAX_MEGABYTES}", "-print_final_stats=1", *options],
        TARGETS[target],
    )  # fmt: skip
    atheris.Fuzz()


def main() -> int:
    """Fuzz one target after the other, each in a process of its own; 1 if there is a finding."""
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="tests/run fuzz --")
    parser.add_argument("targets", metavar="TARGET", nargs="*", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=600, help="for each target")
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    args = parser.parse_args()
    for unknown in set(args.targets) - set(TARGETS):
        parser.error(f"'{unknown}' is no target: {', '.join(TARGETS)}")
    failed = 0
    for target in args.targets or TARGETS:
        options = [f"-max_total_time={args.seconds}", f"-seed={args.seed}"]
        (CORPUS / target).mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz", "--one", target, *options],
            check=False, stderr=subprocess.PIPE, text=True, errors="replace",
        )  # fmt: skip
        runs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
        edges = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", done.stderr)
        end = f"{edges[-1][0]} edges, {edges[-1][2]} inputs kept" if edges else "no coverage"
        count = runs[1] if runs else "?"
        print(f"fuzz: {target}: {count} executions in {args.seconds / 60:g} min, {end}", flush=True)
        if done.returncode != 0:
            failed += 1
            print(done.stderr[-3000:], flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], sys.argv[3:])
    sys.exit(main())
