"""Finds out which network manager configures a link, and from which kind of file.

It runs early at boot, when D-Bus may not be up. So no answer is not taken for "nobody": networkd's
own state file is read, which needs no bus; ifupdown has a file, too; NetworkManager is asked once
its service has started, which it does only after the bus. While a service of theirs is starting,
or waits to be started, the question is not decided (`NotYet`).
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Optional

from rcnetd.basic.dataclass import dataclass
from rcnetd.basic.files import read_bounded
from rcnetd.core.model import Link
from rcnetd.core.settings import Backend
from rcnetd.hostconfig.renderers.model import CannotPersist, NotYet

TIMEOUT = 10.0  # seconds for one of them to answer
MAX_SIZE = 64 * 1024  # bytes of a state file
NETWORKD, NETWORK_MANAGER = "systemd-networkd.service", "NetworkManager.service"
SERVICES = (NETWORKD, NETWORK_MANAGER, "networking.service")
# networkd's words for a link that it has not looked at yet.
PENDING = ("pending", "initialized")
# ifupdown's, ifupdown-ng's.
IFSTATE = ("network/ifstate", "ifstate")
Run = Callable[..., Optional[str]]


@dataclass(frozen=True)
class LinkManagers:
    """What the network managers say about one link.

    *networkd* and *network_manager* are the files that they configure it from; *starting* are the
    services that may still come to configure it.
    """

    networkd: str | None = None
    network_manager: str | None = None
    ifupdown: bool = False
    starting: tuple[str, ...] = ()


def detect(link: Link) -> Backend:
    """Find out whose files configure *link*. Raises `NotYet`, `CannotPersist`."""
    return manager(ask(link), link.name)


def manager(managers: LinkManagers, name: str) -> Backend:
    """Whose files configure the link. Raises `NotYet`, `CannotPersist`."""
    if managers.networkd is not None:
        return Backend.NETPLAN if "/10-netplan-" in managers.networkd else Backend.NETWORKD
    if managers.network_manager is not None:
        return _owner_of_profile(managers.network_manager)
    if managers.ifupdown:
        return Backend.IFUPDOWN
    if managers.starting:
        raise NotYet(f"{' and '.join(managers.starting)} may still configure {name}")
    raise CannotPersist(
        f"neither networkd nor NetworkManager nor ifupdown configures {name}; set 'persist' to"
        " the kind of files that do, or to 'none'"
    )


def _owner_of_profile(path: str) -> Backend:
    if "/netplan-" in path:
        return Backend.NETPLAN
    if path.startswith("/etc/sysconfig/network-scripts/"):
        return Backend.IFCFG
    return Backend.NETWORK_MANAGER


def run(*command: str) -> str | None:
    """What a program prints; "" if it is not installed, None if it gives no answer.

    A failure is none, and so is silence: a busy systemd, or a bus that has just been started.
    """
    environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    # nmcli finds the system bus by it, where it is elsewhere.
    environ.update(
        (name, os.environ[name]) for name in ("DBUS_SYSTEM_BUS_ADDRESS",) if name in os.environ
    )
    try:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT,
            env=environ,
        )
    except FileNotFoundError:
        return ""
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def ask(link: Link, run: Run = run, runtime: Path = Path("/run")) -> LinkManagers:
    """Collect what all of them say about *link*; *runtime* has their state files."""
    said = run("systemctl", "show", "--property=Id,ActiveState,Job", *SERVICES)
    services = _services(said or "")
    starting = [name for name, state in services.items() if state == "starting"]
    if said is None and (runtime / "systemd/system").is_dir():
        starting.append("some service (systemd gives no answer)")
    state = _networkd_state(link.ifindex, runtime)
    is_networkds = services.get(NETWORKD, "active") != "inactive"
    if is_networkds and state.get("ADMIN_STATE") in PENDING and NETWORKD not in starting:
        starting.append(NETWORKD)
    network_manager = None
    if services.get(NETWORK_MANAGER, "active") == "active":
        network_manager = _network_manager(link.name, run, runs=NETWORK_MANAGER in services)
        if network_manager == "" and NETWORK_MANAGER not in starting:
            starting.append(NETWORK_MANAGER)
    return LinkManagers(
        networkd=_network_file(state) if is_networkds else None,
        network_manager=network_manager or None,
        ifupdown=_is_ifupdowns(link.name, run, runtime),
        starting=tuple(starting),
    )


def networkd_file(ifindex: int, runtime: Path = Path("/run")) -> str | None:
    """The file from which networkd configures a link; None if it does not."""
    return _network_file(_networkd_state(ifindex, runtime))


def _networkd_state(ifindex: int, runtime: Path) -> dict[str, str]:
    return _assignments(_read(runtime / f"systemd/netif/links/{ifindex}"))


def _read(path: Path) -> str:
    try:
        return read_bounded(path, MAX_SIZE).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""


def _assignments(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines())
    return {key: value for key, _, value in pairs}


def _services(text: str) -> dict[str, str]:
    """Each service: active, inactive, or starting (also: a job waits to start it)."""
    found = {}
    for block in text.split("\n\n"):
        properties = _assignments(block)
        state = properties.get("ActiveState", "")
        if state == "activating" or properties.get("Job", "") not in ("", "0"):
            state = "starting"
        if "Id" in properties:
            found[properties["Id"]] = "inactive" if state == "failed" else state
    return found


def _network_file(state: Mapping[str, str]) -> str | None:
    return None if state.get("ADMIN_STATE") == "unmanaged" else state.get("NETWORK_FILE")


def _network_manager(link: str, run: Run, *, runs: bool) -> str | None:
    """The profile's file; "" while it is being activated, or NetworkManager *runs* and is silent.

    A link that NetworkManager only watches is "connected (externally)".
    """
    said = run("nmcli", "--terse", "--fields", "DEVICE,STATE", "device")
    if said is None:
        return "" if runs else None
    state = _terse(said).get(link, "")
    if state.startswith("connecting"):
        return ""
    if "externally" in state or not state.startswith("connected"):
        return None
    active = ("--terse", "--fields", "DEVICE,FILENAME", "connection", "show", "--active")
    said = run("nmcli", *active)
    return "" if said is None else _terse(said).get(link)


def _terse(text: str) -> dict[str, str]:
    """nmcli's lines of two fields, `eth1:/etc/…`, in which `:` and `\\` are escaped."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {key: re.sub(r"\\(.)", r"\1", value) for key, _, value in pairs}


def _is_ifupdowns(link: str, run: Run, runtime: Path) -> bool:
    """Only ifupdown2 has to be asked: it prints the stanza that it brought up."""
    if any(_is_up(_read(runtime / path), link) for path in IFSTATE):
        return True
    stanza = run("ifquery", "--print-savedstate", link) or ""
    return re.search(rf"^iface {re.escape(link)}\s", stanza, re.MULTILINE) is not None


def _is_up(ifstate: str, link: str) -> bool:
    """The lines are `eth1=eth1` (ifupdown) or `eth1 1` (ifupdown-ng)."""
    return any(re.split(r"[= ]", line)[0] == link for line in ifstate.splitlines())
