"""Asks the network managers which of them configures a link now, and by which file.

`networkctl status` and `nmcli` are asked as people ask them; networkd's state files are private
(`/run/systemd/netif`: "do not parse"), and ifupdown has no other way than `ifquery`.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable

from rcnetd.hostconfig.policy import LinkManagers

TIMEOUT = 10.0  # seconds for one of them to answer
Run = Callable[..., str]


def run(*command: str) -> str:
    """What a program prints; "" where it is not installed, fails, or takes too long."""
    environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    # nmcli and networkctl find the system bus by it, where it is elsewhere.
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
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def ask(link: str, run: Run = run) -> LinkManagers:
    """Who configures *link*."""
    active = ("--terse", "--fields", "DEVICE,FILENAME", "connection", "show", "--active")
    return LinkManagers(
        networkd=_networkd(run("networkctl", "--no-pager", "status", link)),
        network_manager=_network_manager(link, run("nmcli", *active)),
        ifupdown=_ifupdown(link, run),
    )


def _ifupdown(link: str, run: Run) -> bool:
    """ifupdown and ifupdown-ng print `eth1=eth1 …`, ifupdown2 the stanza that it brought up."""
    state = run("ifquery", "--state", link).split()
    if any(word.partition("=")[0] == link for word in state):
        return True
    stanza = run("ifquery", "--print-savedstate", link)
    return re.search(rf"^iface {re.escape(link)}\s", stanza, re.MULTILINE) is not None


def _networkd(text: str) -> str | None:
    """The line is `Network File: /run/systemd/network/10-netplan-eth1.network`, or `n/a`."""
    match = re.search(r"^\s*Network File: (/.*)$", text, re.MULTILINE)
    return match[1] if match else None


def _network_manager(link: str, text: str) -> str | None:
    """The lines are `eth1:/etc/NetworkManager/…`; nmcli writes `:` and `\\` behind a backslash."""
    for line in text.splitlines():
        device, _, path = line.partition(":")
        if device == link and path:
            return re.sub(r"\\(.)", r"\1", path)
    return None
