"""What is known now: the machine's memory, from which every decision is made."""

from __future__ import annotations

from ipaddress import IPv4Address
from math import inf

from rcnetd.basic.dataclass import dataclass, field
from rcnetd.core.lastgood import Identity, LastGood
from rcnetd.core.model import AutomationStatus, ConfiguredBy, Network
from rcnetd.core.routes import RouteState
from rcnetd.core.servicenet import ServiceNet
from rcnetd.core.settings import Metadata, Settings


@dataclass
class Facts:
    """What is known now.

    *candidate* is a valid answer of the API that has yet to answer on the link; *gateway* is the
    one in use. *applied* says that our route has been in effect since the daemon started.

    *last_good* is what is remembered, *recalled* says that it is of this server. What comes from it
    is used before the API confirms it: who configures the network (*configured_by_is_presumed*),
    the gateway (*gateway_is_remembered*), and DEPLOYED where the API gives no answer at all
    (*is_trusted*).
    """

    settings: Settings
    metadata: Metadata
    identity: Identity = field(default_factory=Identity)
    last_good: LastGood | None = None
    network: Network = field(default_factory=Network)
    servicenet: ServiceNet | None = None
    servicenet_deadline: float = inf
    deploy_deadline: float = inf
    configured_by: ConfiguredBy | None = None
    configured_by_reason: str = ""
    configured_by_is_presumed: bool = False
    recalled: bool = False
    gateway_is_remembered: bool = False
    heard: bool = False  # the API has answered since the daemon started
    trust_at: float = inf  # when a remembered DEPLOYED counts if it has not
    trusted_by: str = ""  # of `deployed_by`, when READY came by it
    candidate: IPv4Address | None = None
    gateway: IPv4Address | None = None
    objection: str = ""  # to the API's last gateway, "" if there was none
    status: AutomationStatus | None = None
    status_word: str = ""
    peer: IPv4Address | None = None  # the API's address
    proven: IPv4Address | None = None  # its last one that answered with the right certificate
    resolve_at: float = -inf  # until then the name is not resolved, *proven* is asked
    route: RouteState = field(default_factory=RouteState)
    applied: bool = False

    @property
    def is_trusted(self) -> bool:
        """Whether DEPLOYED is believed without an answer of the API."""
        return bool(self.trusted_by)

    @property
    def deployed_by(self) -> str:
        """Who says DEPLOYED where the API gives no answer: "" if nobody does, or of another server.

        The platform's word alone does not do: without a memory of this server there is no gateway.
        """
        if not self.recalled or self.last_good is None:
            return ""
        if self.last_good.deployed:
            return "is remembered from an earlier boot"
        return "is the platform's word" if self.metadata.automation_status == "DEPLOYED" else ""
