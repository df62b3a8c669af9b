"""What is known now: the machine's memory, from which every decision is made."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from math import inf

from rcnetd.model import AutomationStatus, Network
from rcnetd.options import Instance, Settings
from rcnetd.routes import RouteState
from rcnetd.servicenet import ServiceNet


class Mode(enum.Enum):
    """Who configures the network of this server."""

    HANDS_ON = "on"  # we do
    HANDS_OFF = "off"  # RackConnect's automation does ("Configure Network Stack" is enabled)


@dataclass
class Facts:
    """What is known now.

    *candidate* is a valid answer of the API that has yet to answer on the link; *gateway* is the
    one in use. *applied* says that our route has been in effect since the daemon started.
    """

    settings: Settings
    instance: Instance
    network: Network = field(default_factory=Network)
    servicenet: ServiceNet | None = None
    servicenet_deadline: float = inf
    deploy_deadline: float = inf
    mode: Mode | None = None
    mode_why: str = ""
    candidate: IPv4Address | None = None
    gateway: IPv4Address | None = None
    objection: str = ""  # to the API's last gateway, "" if there was none
    status: AutomationStatus | None = None
    status_word: str = ""
    peer: IPv4Address | None = None  # the API's address
    route: RouteState = field(default_factory=RouteState)
    applied: bool = False
