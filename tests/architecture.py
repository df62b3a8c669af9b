"""The table of allowed imports, and the import graph as it is; `python -m tests.architecture`."""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

TREE = Path(__file__).parents[1]
PACKAGE = TREE / "rcnetd"

GROUND = {"basic"}
CORE = GROUND | {"core"}
COLLABORATORS = {"config", "store", "netlink", "api", "metadata", "hostconfig"}
# Which package may import which; rcnetd/ARCHITECTURE.md has the picture. Lowest first.
MAY_IMPORT: dict[str, set[str]] = {
    "basic": set(),
    "core": GROUND,
    **dict.fromkeys(sorted(COLLABORATORS), CORE),
    "fetcher": CORE | {"api"},
    "lab": CORE | {"netlink"},
    "emulator": set(),
    "fleet": GROUND,
    "daemon": CORE | {"config", "store", "netlink", "metadata", "fetcher"},
    "ctl": CORE | COLLABORATORS - {"api"} | {"fetcher", "lab", "emulator", "fleet"},
    "__main__": {"daemon"},
}
# The only modules that may import a foreign library, or one that is slow to load.
DOORS: dict[str, set[str]] = {
    "requests": {"rcnetd.api.client", "rcnetd.fleet.clouds"},
    "urllib3": {"rcnetd.api.client"},
    "pyroute2": {"rcnetd.netlink.pyroute2"},
    "systemd": {"rcnetd.daemon.notify"},
    "ctypes": {
        "rcnetd.basic.clock",
        "rcnetd.basic.inotify",
        "rcnetd.fetcher.confinement",
        "rcnetd.fetcher.privileges",
        "rcnetd.lab.topology",
    },
    "dataclasses": {"rcnetd.basic.dataclass"},  # and the emulator's modules
    "rcnetd.api.client": {"rcnetd.fetcher.process"},
    "rcnetd.api.connection": {"rcnetd.api.client", "rcnetd.fetcher.process"},
    "rcnetd.emulator": {"rcnetd.ctl.demo", "rcnetd.ctl.emulate"},
    "openstack": {"rcnetd.fleet.clouds"},
    "keystoneauth1": {"rcnetd.fleet.clouds"},
    "rich": {"rcnetd.fleet.live"},
    "rcnetd.fleet": {"rcnetd.ctl.fleet"},
}
# All that the core may import of the standard library: no clock, no chance, no files, no network.
PURE = {"__future__", "collections", "enum", "functools", "ipaddress", "math"}
# Modules outside of core/ that are pure, too: their own tests take every line and branch of them.
FULLY_COVERED = ("core/*", "store/budget.py")


def name_of(path: Path) -> str:
    """The full name of the module in *path*."""
    parts = path.relative_to(TREE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules() -> dict[str, Path]:
    """All modules of the package by their full names."""
    return {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


MODULES = modules()


@functools.cache
def imports(path: Path) -> tuple[str, ...]:
    """The full names of all modules that a file imports, wherever in it.

    `from rcnetd.core import guard` is an import of `rcnetd.core.guard`; those under TYPE_CHECKING
    and within functions count as well.
    """
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{path}: imports are absolute"
            assert node.level == 0, f"{path}: imports are absolute"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module


def package_of(name: str) -> str:
    """The package of one of our modules: "core" for rcnetd.core.guard, "" for rcnetd itself."""
    return name.split(".")[1] if "." in name else ""


def graph() -> dict[str, dict[str, int]]:
    """For each package, how often it imports each other package."""
    arrows: dict[str, dict[str, int]] = {package: {} for package in MAY_IMPORT}
    for name, path in MODULES.items():
        here = package_of(name)
        for target in imports(path):
            there = package_of(target)
            if target.startswith("rcnetd.") and here and there != here:
                arrows[here][there] = arrows[here].get(there, 0) + 1
    return arrows


def violations() -> list[str]:
    """Each import that the table does not allow, as "importer -> imported"."""
    return [
        f"{name} -> {target}"
        for name, path in MODULES.items()
        for target in imports(path)
        if target.startswith("rcnetd.")
        and package_of(name)
        and package_of(target) not in {package_of(name), *MAY_IMPORT[package_of(name)]}
    ]


def cycles() -> list[str]:
    """The packages that import each other, directly or not."""
    arrows = graph()
    reached = {package: set(targets) for package, targets in arrows.items()}
    for _ in reached:
        for targets in reached.values():
            targets.update([far for near in targets for far in reached[near]])
    return [package for package, targets in reached.items() if package in targets]


def show() -> None:
    """Print the graph: a line per package, with what it imports and how often."""
    arrows = graph()
    count = {package: 0 for package in arrows}
    for name in MODULES:
        if package_of(name):
            count[package_of(name)] += 1
    for package, targets in arrows.items():
        listed = ", ".join(f"{target} {number}" for target, number in sorted(targets.items()))
        print(f"{package:<11}{count[package]:>3} modules -> {listed or 'nothing'}")
    edges = sum(map(len, arrows.values()))
    print(
        f"{len(arrows)} packages, {edges} arrows between them, {len(violations())} against the"
        f" table, {len(cycles())} in a cycle"
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["--covered"]:
        print(",".join(f"rcnetd/{pattern}" for pattern in FULLY_COVERED))
    else:
        show()
