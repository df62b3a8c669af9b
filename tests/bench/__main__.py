"""`tests/run bench`: every measure beside its references in the same run; nothing fails on a time.

tests/run bench [-- --only NAME … --output FILE --full --repetitions N]
"""

from __future__ import annotations

import argparse
import compileall
import importlib
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench.figures import Measure, table
from tests.bench.lab import Options, own_mounts

TREE = Path(__file__).parent.parent.parent
# By name: the module and its function.
MEASURES = {
    "exec": ("startup", "from_exec"),
    "address": ("startup", "from_address"),
    "pieces": ("pieces", "measure"),
    "features": ("features", "measure"),
    "route": ("repair", "first"),
    "repair": ("repair", "lost"),
    "attack": ("attack", "measure"),
    "crowd": ("repair", "crowded"),
    "links": ("repair", "linked"),
    "memory": ("waiting", "memory"),
    "waits": ("waiting", "waits"),
    "metrics": ("waiting", "metrics"),
    "pacing": ("pacing", "measure"),
    "emulator": ("emulator", "measure"),
    "fleet": ("fleet", "measure"),
    "nova": ("nova", "measure"),
    "boots": ("boots", "boots"),
    "peers": ("boots", "peers"),
}


def machine() -> dict[str, Any]:
    """What it was measured on."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(prog="tests/run bench --")
    result.add_argument("--only", action="append", choices=MEASURES, help="repeatable")
    result.add_argument("--output", type=Path, default=TREE / "dist" / "bench.json")
    result.add_argument("--full", action="store_true", help="the long waits whole: 25 minutes")
    result.add_argument("--repetitions", type=int, default=0, metavar="N")
    return result


def main() -> int:
    """Measure, print, write."""
    args = parser().parse_args()
    own_mounts()
    compileall.compile_dir(TREE / "rcnetd", quiet=1)  # as the packages do
    measures: list[Measure] = []
    about = machine()
    for name in args.only or MEASURES:
        print(f"bench: {name}", file=sys.stderr, flush=True)
        module, function = MEASURES[name]
        measure = getattr(importlib.import_module(f"tests.bench.{module}"), function)
        measures += measure(Options(args.full, args.repetitions))
    print(", ".join(f"{name} {value}" for name, value in about.items()), end="\n\n")
    print(table(measures))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": about, "measures": [measure.as_json() for measure in measures]}
    args.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
