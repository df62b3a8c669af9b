"""`rcnetctl persist` and `revert`: the route in the host's own configuration, and the way back.

`rcnetd-persist.service` runs the first when the daemon's route has changed. Exit codes: 0 done, or
nothing to do; 1 refused or failed, nothing was changed; 3 rcnetd has set no route since boot; 78
settings wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

from rcnetd.basic.dataclass import dataclass
from rcnetd.basic.files import read_bounded, write_atomic
from rcnetd.config.fragments import ConfigError
from rcnetd.config.load import load
from rcnetd.core.model import PROTOCOL, Network, Query
from rcnetd.core.routes import OUTSIDE, describe
from rcnetd.core.servicenet import ServiceNet
from rcnetd.core.settings import Backend, Metadata, Settings
from rcnetd.ctl import status
from rcnetd.ctl.command import host_paths
from rcnetd.hostconfig import policy as persistence
from rcnetd.hostconfig.host import HostConfig, read_removed, renderer
from rcnetd.hostconfig.policy import Renderer
from rcnetd.hostconfig.renderers.marked_edits import applied
from rcnetd.hostconfig.renderers.model import CannotPersist, Changes, Target, Tree
from rcnetd.hostconfig.transaction import Changed
from rcnetd.netlink.kernel import Kernel, NetlinkError
from rcnetd.store.paths import Paths

NOT_RUNNING = 3
MAX_ROUTE_SIZE = 4096  # bytes
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
ROOT = Path("/")


@dataclass(frozen=True)
class Prepared:
    """What would be written, and why."""

    renderer: Renderer
    found: Tree
    target: Target
    changes: Changes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `rcnetctl persist`: there are none."""
    parser.description = (
        "Write the default route into the host's network configuration."
        " rcnetd-persist.service does this whenever the route changes."
    )
    parser.epilog = (
        "Exit codes: 0 written, or nothing to write; 1 refused or failed, nothing was changed;"
        " 3 rcnetd has set no route since boot; 78 invalid settings."
    )


def run(args: argparse.Namespace) -> int:
    """Write the route that is in effect."""
    return persist(host_paths(), args.config)


def prepare(
    host: HostConfig,
    settings: Settings,
    metadata: Metadata,
    network: Network,
    servicenet: ServiceNet,
    gateway: IPv4Address,
) -> Prepared:
    """Decide what to write. Raises `CannotPersist`, `OSError`."""
    kind = settings.persist
    if kind is Backend.AUTO:
        from rcnetd.hostconfig.detect import ask

        kind = persistence.manager(ask(servicenet.link.name), servicenet.link.name)
    chosen = renderer(kind)
    found = host.read(chosen.patterns)
    target = persistence.target(found, chosen, gateway, servicenet, network, settings, metadata)
    return Prepared(chosen, found, target, persistence.changes(found, chosen, target))


def persist(paths: Paths, config: Sequence[Path], root: Path = ROOT) -> int:
    """Write the route that is in effect into the host's configuration."""
    from rcnetd.metadata.file import read

    try:
        settings = load(config, environ=_environ())
    except ConfigError as error:
        return _fail(str(error), os.EX_CONFIG)
    if settings.persist is Backend.NONE:
        print("nothing is written: 'persist: none' is set")
        return 0
    metadata, _ = read(paths.metadata)
    try:
        gateway = persistence.gateway_of(read_bounded(paths.route, MAX_ROUTE_SIZE))
    except FileNotFoundError:
        return _fail("rcnetd has set no route since boot; there is nothing to write", NOT_RUNNING)
    except (CannotPersist, OSError, ValueError) as error:
        return _failed(paths, None, _reason(error))
    prepared: Prepared | None = None
    try:
        network = Kernel().read(Query(destinations=(OUTSIDE,)))
        servicenet = persistence.servicenet_of(network, settings, metadata)
        persistence.require_valid_gateway(gateway, servicenet, network, settings)
        persistence.require_in_effect(gateway, servicenet, network)
        host = HostConfig(root, paths.undo)
        with host.locked():
            prepared = prepare(host, settings, metadata, network, servicenet, gateway)
            _write(host, prepared, paths)
    except (CannotPersist, Changed, NetlinkError, OSError) as error:
        return _failed(paths, prepared, _reason(error))
    return 0


def _write(host: HostConfig, prepared: Prepared, paths: Paths) -> None:
    from rcnetd.hostconfig.verify import check

    made, name = prepared.changes, prepared.renderer.persist.value
    if made:
        after = applied(prepared.found, made)
        for warning in check(prepared.renderer.persist, after, prepared.target):
            print(f"rcnetctl: warning: {warning}", file=sys.stderr)
    record = host.write(prepared.found, made, lambda: _removed(paths))
    for path, change in sorted(made.items()):
        word = "removed" if change.data is None else "wrote"
        print(f"{word} {path}" if path not in prepared.found else f"edited {path}")
    if not made:
        print(f"nothing to write: {name} has the route by {prepared.target.gateway} already")
    _note(paths, {"ok": True, "renderer": name, "files": sorted(record.files), "reason": None})


def _removed(paths: Paths) -> dict[str, Any]:
    return {**read_removed(paths.removed), "boot_id": _boot_id()}


def _boot_id() -> str:
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _failed(paths: Paths, prepared: Prepared | None, reason: str) -> int:
    name = prepared.renderer.persist.value if prepared else None
    _note(paths, {"ok": False, "renderer": name, "files": [], "reason": reason})
    return _fail(reason, 1)


def _note(paths: Paths, content: dict[str, Any]) -> None:
    """For `rcnetctl status`: how it went."""
    text = json.dumps({"version": 1, "at": time.monotonic(), **content}, indent=1) + "\n"
    with suppress(OSError):  # an unprivileged user's failure is his own
        paths.persisted.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_atomic(paths.persisted, text, durable=False)


def revert(paths: Paths, root: Path = ROOT, *, image: bool = False) -> int:
    """Put back the files, and the routes that were removed since boot; of an *image* only files."""
    if not image and status.is_running(_status(paths)):
        text = "rcnetd runs, and would take it all back; 'systemctl mask --now rcnetd' first"
        return _fail(text, 1)
    try:
        host = HostConfig(root, paths.undo)
        with host.locked():
            record = host.record()
            edited = host.edited(record)
            if edited:
                return _refuse_edited(edited)
            files = host.revert()
        for path in files:
            print(f"put back {path}")
        if image:
            return 0  # the kernel here is another's
        routes, links = list(record.routes), list(record.links)
        if record.boot_id != _boot_id():
            routes, links = [], []
        removed = read_removed(paths.removed)
        changed = _routes_back([*routes, *removed["routes"]], [*links, *removed["links"]])
        if not files and not changed:
            print("nothing to put back: no file is rcnetd's, and no route was removed since boot")
    except (CannotPersist, Changed, NetlinkError, OSError) as error:
        return _fail(_reason(error), 1)
    with suppress(OSError):
        paths.persisted.unlink()
    return 0


def _status(paths: Paths) -> dict[str, Any] | None:
    try:
        return status.read(paths)
    except status.Unreadable:
        return None


def _refuse_edited(edited: Sequence[tuple[str, bytes | None, bytes | None]]) -> int:
    for path, ours, now in edited:
        sys.stdout.writelines(persistence.diff(path, ours, now))
    names = ", ".join(f"'{path}'" for path, _, _ in edited)
    text = (
        f"edited since rcnetd wrote it: {names}; nothing is put back; undo the edit and try again"
    )
    return _fail(text, 1)


def _routes_back(routes: Sequence[Any], links: Sequence[Any]) -> bool:
    """Put back what can be; whether there was anything to do."""
    from rcnetd.netlink.decode import prefixlen, route

    kernel = Kernel()
    network = kernel.read(Query())
    recorded = []
    for entry in routes:
        with suppress(ValueError, KeyError, TypeError, AttributeError, NetlinkError):
            raw = bytes.fromhex(entry["raw"])
            if prefixlen(raw) == 0:  # a default route, and nothing else
                recorded.append(route(raw))
    down = []
    for entry in links:
        with suppress(ValueError, KeyError, TypeError):
            own = tuple(IPv4Interface(text) for text in entry["addresses"])
            down.append((str(entry["mac"]), own))
    back = persistence.plan_restore(dict.fromkeys(recorded), down, network)
    for ifindex, own in back.links:
        kernel.bring_link_up(ifindex, own)
        link = network.link(ifindex)
        print(f"set {link.name if link else ifindex} up")
    for one in back.routes:
        kernel.restore_route(one.raw)
        print(f"put back {describe(one, network)}")
    for one in back.ours:
        kernel.remove_route(one)
        print(f"removed {describe(one, network)}")
    if not back.ours and any(one.protocol == PROTOCOL for one in network.defaults):
        print("the route by the gateway stays until the next boot: there is no other")
        return True
    return bool(back.links or back.routes or back.ours)


def _environ() -> dict[str, str]:
    return dict(os.environ)


def _reason(error: Exception) -> str:
    if isinstance(error, PermissionError):
        return "only root may write the host's configuration; run it as root"
    if isinstance(error, OSError) and error.strerror:
        return f"Failed to write '{error.filename}': {error.strerror}; nothing was changed"
    return str(error)


def _fail(text: str, code: int) -> int:
    print(f"rcnetctl: {text}", file=sys.stderr)
    return code
