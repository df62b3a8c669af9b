"""Has the backend's own tool read a copy of the files, and reads what it made of them.

Its exit code alone means little: netplan's `generate` ends with 0 for two defaults. So what it
rendered is read too: exactly one winning default, ours.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rcnetd.core.model import METRIC
from rcnetd.core.settings import Backend
from rcnetd.hostconfig.renderers import ifupdown, network_manager, networkd
from rcnetd.hostconfig.renderers.model import CannotPersist, DefaultRoute, File, Target, Tree

# Not its command line, which calls udevadm and daemon-reload even with --root-dir.
NETPLAN = ("/usr/libexec/netplan/generate", "/lib/netplan/generate")
IFQUERY = "/sbin/ifquery"
# Who reads ifcfg files: NetworkManager's plugin (gone from EL10), or the scripts of EL7 and 8.
ROOT = Path("/")
IFCFG_READERS = (
    "usr/lib*/NetworkManager/*/libnm-settings-plugin-ifcfg-rh.so",
    "usr/lib*/NetworkManager/libnm-settings-plugin-ifcfg-rh.so",
    "etc/sysconfig/network-scripts/ifup-eth",
)
SOURCE = re.compile(rb"^([ \t]*source\S*[ \t]+)/(?=(?:etc|run)/network/)", re.MULTILINE)
TIMEOUT = 30.0  # seconds
MAX_SIZE = 256 * 1024  # bytes of a file that a tool has made


def check(persist: Backend, tree: Tree, target: Target) -> None:
    """Check that *tree* boots as *target* says. Raises `CannotPersist`, `OSError`.

    ifcfg has no tool that reads a copy, but it must have a reader; networkd has no tool at all.
    """
    if persist is Backend.NETPLAN:
        _netplan(tree, target)
    elif persist is Backend.IFUPDOWN:
        _ifupdown(tree, target)
    elif persist is Backend.IFCFG and not any(any(ROOT.glob(name)) for name in IFCFG_READERS):
        raise CannotPersist(
            "nothing here reads ifcfg files: NetworkManager has no plugin for them (EL10), and"
            " there are no network-scripts; set 'persist' to 'network-manager'; nothing is written"
        )


@contextlib.contextmanager
def _copy(tree: Tree) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rcnetd-") as name:
        root = Path(name)
        for path, file in tree.items():
            target = root / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.data)
            target.chmod(0o600)
        yield root


def _run(*command: str) -> str:
    """What a tool prints. Raises `CannotPersist` with its last word if it fails."""
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise CannotPersist(f"'{command[0]}' is not installed; nothing is written") from None
    except subprocess.TimeoutExpired:
        raise CannotPersist(
            f"{name} did not end within {TIMEOUT:g} s; nothing is written"
        ) from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["nothing"]
        word = "".join(char for char in said[-1] if char.isprintable())[:300]
        raise CannotPersist(f"{name} rejects the new files, nothing is written; it says: {word}")
    return done.stdout.decode("utf-8", "replace")


def _netplan(tree: Tree, target: Target) -> None:
    generate = next((name for name in NETPLAN if Path(name).exists()), NETPLAN[0])
    with _copy(tree) as root:
        _run(generate, "--root-dir", str(root))
        made = _made(root, "run/systemd/network/*.network")
        profiles = _made(root, "run/NetworkManager/system-connections/*")
    defaults = networkd.read_defaults(made) + network_manager.read_defaults(profiles)
    _one_winner(defaults, target, "netplan")


def _made(root: Path, pattern: str) -> Tree:
    return {
        f"/{path.relative_to(root)}": File(
            path.read_bytes()[:MAX_SIZE], path.stat().st_mode & 0o777
        )
        for path in root.glob(pattern)
        if path.is_file()
    }


def _one_winner(defaults: list[DefaultRoute], target: Target, name: str) -> None:
    best = min((default.metric for default in defaults), default=METRIC)
    # Each once: the same may be said twice.
    winners = [one for one in dict.fromkeys(defaults) if one.metric <= max(best, METRIC)]
    for default in winners:
        if (default.gateway, default.metric) != (target.gateway, METRIC):
            raise CannotPersist(
                f"with the new files {name} would have another default route win"
                f" ({default.path}: {default.link}, metric {default.metric}); nothing is written"
            )
    if len(winners) != 1:
        raise CannotPersist(f"with the new files {name} would have {len(winners)} default routes by"
                      f" {target.gateway}, not one; nothing is written")  # fmt: skip


def _ifupdown(tree: Tree, target: Target) -> None:
    """`ifquery` reads the copy; what that sources is named by absolute paths, here the copy's."""
    name = target.servicenet.name
    asked = ifupdown.query_name(tree, target.servicenet)
    with _copy(tree) as root:
        for path in root.glob("etc/network/**/*"):
            if path.is_file():
                path.write_bytes(SOURCE.sub(rf"\1{root}/".encode(), path.read_bytes()))
        said = _run(IFQUERY, "-i", str(root / "etc/network/interfaces"), asked)
    ours = f"ip route replace default via {target.gateway} dev {name}"
    if sum(ours in line for line in said.splitlines()) != 1:
        raise CannotPersist(
            f"ifquery does not find the default route of {name} in the new files; nothing is"
            " written"
        )
