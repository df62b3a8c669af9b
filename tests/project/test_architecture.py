"""Who imports whom is as the table says; each foreign library has its door; tests mirror code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture import DOORS, MODULES, PACKAGE, PURE, cycles, imports, violations

UNIT = Path(__file__).parents[1] / "unit"
# Modules that another module's tests cover.
ELSEWHERE = {
    "core/actions": "unit/core/test_machine.py",
    "core/events": "unit/core/test_machine.py",
    "core/facts": "unit/core/test_machine.py",
    "core/model": "unit/core/test_routes.py",
    "fetcher/child": "unit/fetcher/test_fetcher.py",
    "core/polling": "unit/core/test_machine.py",
    "hostconfig/renderers/ifcfg_reader": "unit/hostconfig/renderers/test_ifcfg.py",
    "hostconfig/renderers/interfaces_edits": "unit/hostconfig/renderers/test_ifupdown.py",
    "hostconfig/renderers/model": "unit/hostconfig/renderers/test_netplan.py",
    "ctl/automation": "unit/ctl/test_ask.py",
    "ctl/command": "unit/ctl/test_main.py",
    "ctl/demo": "netns/test_demo.py",
    "ctl/emulate": "unit/ctl/test_main.py",
    "ctl/features": "unit/ctl/test_ask.py",
    "ctl/gateway": "unit/ctl/test_ask.py",
    "ctl/image": "unit/ctl/test_preflight.py",
    "ctl/fleet": "unit/fleet/test_command.py",
    "hostconfig/record": "unit/hostconfig/test_host.py",
    "hostconfig/renderers/registry": "unit/hostconfig/test_host.py",
    "ctl/plan": "netns/test_plan.py",
    "ctl/revert": "netns/test_persist.py",
    "daemon/loop": "netns/test_daemon.py",
    "netlink/monitor": "netns/test_monitor.py",
    "lab/demo": "netns/test_demo.py",
    "lab/narrator": "netns/test_demo.py",
    "ctl/summary": "unit/ctl/test_analysis.py",
    "lab/topology": "netns/test_topology.py",
}


def test_imports_go_downwards_only() -> None:
    """By the table of `tests/architecture.py`; TYPE_CHECKING and functions are no way around."""
    assert [] == violations()
    assert [] == cycles()


def test_the_core_is_pure() -> None:
    """The core imports values and itself: no clock, no chance, no files, no network."""
    for name, path in MODULES.items():
        if name.startswith("rcnetd.core"):
            outside = {module for module in imports(path) if not module.startswith("rcnetd.")}
            assert outside <= {*PURE, "collections.abc"}, name


@pytest.mark.parametrize("library", DOORS)
def test_each_foreign_library_has_its_door(library: str) -> None:
    """A foreign or slow library is imported where it is wrapped, nowhere else."""
    for name, path in MODULES.items():
        package = ".".join(name.split(".")[:2])
        own = package == library or (package, library) == ("rcnetd.emulator", "dataclasses")
        if name in DOORS[library] or own:
            continue
        wrong = [module for module in imports(path) if f"{module}.".startswith(f"{library}.")]
        assert [] == wrong, name


def test_emulator_and_client_know_nothing_of_each_other() -> None:
    """Two independent readings of the API page: neither can hide the other's mistake."""
    for name, path in MODULES.items():
        ours = {module for module in imports(path) if module.startswith("rcnetd.")}
        if name.startswith("rcnetd.emulator"):
            assert all(module.startswith("rcnetd.emulator") for module in ours)


def test_the_daemon_imports_no_http() -> None:
    """HTTP, TLS and DNS live in the fetcher's process only."""
    seen: set[str] = set()
    todo = ["rcnetd.daemon.start", "rcnetd.daemon.main", "rcnetd.daemon.loop"]
    while todo:
        name = todo.pop()
        if name in seen or name not in MODULES:
            continue
        seen.add(name)
        for module in imports(MODULES[name]):
            assert module.split(".")[0] not in {"requests", "urllib3", "http", "ssl"}, name
            todo.append(module)
    assert {"rcnetd.core.machine", "rcnetd.netlink.decode", "rcnetd.store.budget"} <= seen


def test_nothing_but_its_command_imports_the_fleet() -> None:
    """rcnetd-fleet is a package of its own: the daemon and the other commands run without it."""
    importers = {
        name
        for name, path in MODULES.items()
        if any(f"{module}.".startswith("rcnetd.fleet.") for module in imports(path))
        and not name.startswith("rcnetd.fleet")
    }
    assert {"rcnetd.ctl.fleet"} == importers


@pytest.mark.parametrize("name", [name for name in MODULES if "__" not in name])
def test_every_module_has_its_tests(name: str) -> None:
    """`rcnetd/x/y.py` is tested by `tests/unit/x/test_y.py`; those without say by which."""
    path = MODULES[name]
    if path.name == "__init__.py":
        return
    place = path.relative_to(PACKAGE).with_suffix("")
    elsewhere = ELSEWHERE.get(str(place))
    if place.parts[0] == "emulator":
        assert list((UNIT / "emulator").glob("test_*.py"))
    elif elsewhere:
        assert (UNIT.parent / elsewhere).exists()
    else:
        assert (UNIT / place.parent / f"test_{place.name}.py").exists()
