"""Checks new files before they are written: the backend's own tool reads a copy of them.

The tool's exit code alone means little: netplan exits with 0 for two default routes. So what it
rendered is read as well, as the backend reads it: the best default route must be by our gateway on
ServiceNet's link, whoever configured it.
"""

from __future__ import annotations

import contextlib
import re
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rcnetd.basic.dataclass import replace
from rcnetd.basic.process import MAX_LINE_LENGTH, run
from rcnetd.basic.text import plain
from rcnetd.core.settings import Backend
from rcnetd.hostconfig.detect import networkd_file
from rcnetd.hostconfig.renderers import ifupdown, network_manager, networkd
from rcnetd.hostconfig.renderers.model import CannotPersist, DefaultRoute, File, Target, Tree
from rcnetd.hostconfig.renderers.rendering import fits

# The program that renders: the first that there is. Since netplan 1.2 `generate` writes units only,
# and `configure` renders. The command line would call udevadm and daemon-reload, even for a copy.
NETPLAN = (
    "/usr/libexec/netplan/configure", "/usr/libexec/netplan/generate", "/lib/netplan/generate",
)  # fmt: skip
# As netplan-configure.service sets it: files and definitions with errors are skipped.
IGNORE_ERRORS = {"NETPLAN_PARSER_IGNORE_ERRORS": "1"}
IFQUERY = "/sbin/ifquery"
# Reads a profile and writes it as NetworkManager would; since 1.40 (EL 9, Debian 12).
NMCLI = ("/usr/bin/nmcli", "--offline", "connection", "modify", "connection.id", "copy")
# Who reads ifcfg files: NetworkManager's plugin (gone from EL10), or the scripts of EL7 and 8.
ROOT, RUNTIME = Path("/"), Path("/run")
IFCFG_READERS = (
    "usr/lib*/NetworkManager/*/libnm-settings-plugin-ifcfg-rh.so",
    "usr/lib*/NetworkManager/libnm-settings-plugin-ifcfg-rh.so",
    "etc/sysconfig/network-scripts/ifup-eth",
)
SOURCE = re.compile(rb"^([ \t]*source\S*[ \t]+)/(?=(?:etc|run)/network/)", re.MULTILINE)
# netplan before 0.103, as on Debian 11.
TOO_OLD = (
    " (this netplan is too old to keep a link down that a definition for several links matches;"
    " give the public link a definition of its own, or set 'public_interface: no-default')"
)
TIMEOUT = 30.0  # seconds
ENVIRON = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
MAX_SIZE = 256 * 1024  # bytes of a file that a tool has made
PLACE = re.compile(r"/[^\s:]+:[0-9]+:[0-9]+: .*")


def check(persist: Backend, tree: Tree, target: Target) -> list[str]:
    """Check that the next boot sets up what *target* says, and return the tool's warnings.

    Raises `CannotPersist`, `OSError`. There is no tool that reads a copy of networkd's files or of
    ifcfg files; but ifcfg files need a reader, and networkd says which file it uses now.
    """
    if persist is Backend.NETPLAN:
        return _netplan(tree, target)
    if persist is Backend.IFUPDOWN:
        _ifupdown(tree, target)
    elif persist is Backend.NETWORK_MANAGER:
        _keyfiles(tree)
    elif persist is Backend.NETWORKD:
        _networkd(tree, target)
    elif persist is Backend.IFCFG and not any(any(ROOT.glob(name)) for name in IFCFG_READERS):
        raise CannotPersist(
            "nothing here reads ifcfg files: NetworkManager has no plugin for them (EL10), and"
            " there are no network-scripts; set 'persist' to 'network-manager'; nothing is written"
        )
    return []


def _networkd(tree: Tree, target: Target) -> None:
    """Refuse files that this networkd reads and later ones, whose rules are ours, ignore.

    systemd 247 applies a file without a valid [Match] to every link.
    """
    ignored = networkd.ignored(tree)
    for link in (target.servicenet, *target.public) if ignored else ():
        with contextlib.suppress(OSError):  # the link is gone
            used = networkd_file(socket.if_nametoindex(link.name), RUNTIME)
            if used in ignored:
                raise CannotPersist(
                    f"{used}: has no valid [Match], and this networkd applies it to {link.name}"
                    " (later ones do not); add '[Match]' with the 'Name=' of its links; nothing is"
                    " written"
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


def _run(root: Path, *command: str, **environ: str) -> tuple[str, list[str]]:
    """Run a tool; return its output and its messages. Raises `CannotPersist` if it fails."""
    done = run(command, timeout=TIMEOUT, environ={**ENVIRON, **environ})
    if done.failure:
        raise CannotPersist(f"{done.failure}; nothing is written")
    messages = _messages(done.stderr, root)
    if not done.ok:
        word = _reason(messages) or f"exit code {done.code}"
        if "'activation-mode'" in word:
            word += TOO_OLD
        name = Path(command[0]).name
        raise CannotPersist(f"{name} rejects the new files, nothing is written: {word}")
    return done.stdout, messages


def _messages(text: str, root: Path) -> list[str]:
    """Return the lines of a tool's messages, without its copy's directory."""
    lines = (plain(line.replace(str(root), ""), MAX_LINE_LENGTH) for line in text.splitlines())
    return [line for line in lines if line.strip("^~ ")]  # those marks point at the line above


def _reason(messages: list[str]) -> str | None:
    """Return the message that names a place in a file, or else the last one."""
    places = [line for line in messages if PLACE.search(line)]
    return next(iter(places or messages[-1:]), None)


def _netplan(tree: Tree, target: Target) -> list[str]:
    program = next((name for name in NETPLAN if Path(name).exists()), NETPLAN[-1])
    environ = IGNORE_ERRORS if program.endswith("configure") else {}
    with _copy(tree) as root:
        _, messages = _run(root, program, "--root-dir", str(root), **environ)
        units = _made(root, "run/systemd/network/*.network")
        profiles = _made(root, "run/NetworkManager/system-connections/*")
    links = (target.servicenet, *target.public)
    defaults = networkd.read_defaults_of(units, links) + network_manager.read_defaults(profiles)
    _require_winner(defaults, target)
    return [
        f"netplan skips what it cannot read: {found[0]}"
        for found in map(PLACE.search, messages)
        if found
    ]


def _made(root: Path, pattern: str) -> Tree:
    return {
        f"/{path.relative_to(root)}": File(
            path.read_bytes()[:MAX_SIZE], path.stat().st_mode & 0o777
        )
        for path in root.glob(pattern)
        if path.is_file()
    }


def _require_winner(defaults: list[DefaultRoute], target: Target) -> None:
    """Refuse what would make another default route the best one, or as good as ours."""
    best = min((default.metric for default in defaults), default=None)
    if best is None:
        raise CannotPersist(
            "with the new files netplan would set up no default route; nothing is written"
        )
    for default in defaults:
        ours = default.gateway == target.gateway and fits(default.link, target.servicenet)
        if default.metric == best and not ours:
            raise CannotPersist(
                f"with the new files netplan would prefer another default route ({default.path}:"
                f" {default.link}, metric {default.metric}); nothing is written"
            )


def _ifupdown(tree: Tree, target: Target) -> None:
    """Have `ifquery` read the copy; absolute paths that it sources are made the copy's."""
    name = target.servicenet.name
    asked = ifupdown.query_name(tree, target.servicenet)
    with _copy(tree) as root:
        for path in root.glob("etc/network/**/*"):
            if path.is_file():
                path.write_bytes(SOURCE.sub(rf"\1{root}/".encode(), path.read_bytes()))
        said, _ = _run(root, IFQUERY, "-i", str(root / "etc/network/interfaces"), asked)
    lines = said.splitlines()
    ours = f"ip route replace default via {target.gateway} dev {name}"
    by_hand = f"gateway: {target.gateway}"
    if sum(ours in line for line in lines) != 1 and by_hand not in lines:
        raise CannotPersist(
            f"ifquery does not find the default route of {name} in the new files; nothing is"
            " written"
        )


def _keyfiles(tree: Tree) -> None:
    """Have NetworkManager's library read the edited profiles: it has to find the same routes."""
    with _copy(tree) as root:
        for path in network_manager.edited_profiles(tree):
            stdin = root / path.lstrip("/")
            done = run(NMCLI, timeout=TIMEOUT, environ=ENVIRON, stdin=stdin)
            if done.code is None or "--offline" in done.stderr:  # no nmcli, or an older one
                return
            if not done.ok:
                raise CannotPersist(
                    f"NetworkManager rejects the new '{path}', nothing is written: {done.reason}"
                )
            read_back = replace(tree[path], data=done.stdout.encode())
            found = network_manager.read_defaults({path: read_back})
            if {*found} != {*network_manager.read_defaults({path: tree[path]})}:
                raise CannotPersist(
                    f"NetworkManager reads other default routes in the new '{path}' than rcnetd"
                    " does; nothing is written, please report this"
                )
