"""What is known now, from which every decision is made: frozen values, replaced and never poked."""

from __future__ import annotations

from ipaddress import IPv4Address
from math import inf

from rcnetd.basic.dataclass import dataclass, field
from rcnetd.core.lastgood import Identity, LastGood
from rcnetd.core.model import AutomationStatus, ConfiguredBy, Network, Operation
from rcnetd.core.public import PublicLink
from rcnetd.core.routes import RouteState
from rcnetd.core.servicenet import ServiceNet
from rcnetd.core.settings import Metadata, Settings

BEFORE_RESTART = "was reported before the restart"  # of `Automation.source`


@dataclass(frozen=True)
class Configurator:
    """Who configures the network, and why.

    *confirmed* by a setting or an answer of the API; else it is used until that comes.
    """

    by: ConfiguredBy
    reason: str
    confirmed: bool = True


@dataclass(frozen=True)
class Gateway:
    """The gateway in use, and the one that could take its place.

    *candidate* is valid but has yet to answer on the link. *is_remembered*: from an earlier boot,
    not confirmed by the API yet. *rejected* is the API's last answer and what is wrong with it.
    """

    address: IPv4Address | None = None
    candidate: IPv4Address | None = None
    is_remembered: bool = False
    rejected: str = ""

    @property
    def is_known(self) -> bool:
        """Whether there is one, in use or not yet."""
        return self.address is not None or self.candidate is not None


@dataclass(frozen=True)
class Automation:
    """RackConnect's automation of this server: its status, and its own word for that.

    *source* says what DEPLOYED rests on where the API gives no answer, "" where it does.
    """

    status: AutomationStatus | None = None
    word: str = ""
    source: str = ""


@dataclass(frozen=True)
class Api:
    """How the API is reached, and how it has answered since the daemon started.

    *peer* is its address; *proven* the last one that answered with the right certificate, which is
    asked until *resolve_at* instead of resolving the name. *failing_since* has each operation that
    has failed ever since; *unknown* those that answered 404 the last time.
    """

    peer: IPv4Address | None = None
    proven: IPv4Address | None = None
    resolve_at: float = -inf
    has_answered: bool = False
    answered: frozenset[Operation] = frozenset()  # with 200, or 404 for the gateway
    failing_since: tuple[tuple[Operation, float], ...] = ()
    unknown: frozenset[Operation] = frozenset()


@dataclass(frozen=True)
class Deadlines:
    """Points in time after which something counts as not coming; monotonic seconds."""

    servicenet: float = inf
    deploy: float = inf
    fallback: float = inf  # without any answer of the API


@dataclass(frozen=True)
class Facts:
    """What is known now.

    *last_good* is what outlived the last reboot; *last_good_matches* says that it is of this server
    as it is now. *was_ready*: this server was READY in this boot already, before the daemon was
    restarted; *was_not_rackconnected*: because there was nothing to do. *home* is the address on
    ServiceNet that was remembered, or else chosen first: it counts again whenever it is back.
    *applied*: our route has been in effect since the daemon started. *public* is decided once
    (`core/public.py`); *rediscover* says that ServiceNet's link was not as expected, so that all
    links have to be read.
    """

    settings: Settings
    metadata: Metadata
    identity: Identity = field(default_factory=Identity)
    last_good: LastGood | None = None
    last_good_matches: bool = False
    was_ready: bool = False
    was_not_rackconnected: bool = False
    network: Network = field(default_factory=Network)
    servicenet: ServiceNet | None = None
    home: IPv4Address | None = None
    rediscover: bool = False
    public: PublicLink | None = None
    public_is_decided: bool = False
    configurator: Configurator | None = None
    gateway: Gateway = field(default_factory=Gateway)
    automation: Automation = field(default_factory=Automation)
    api: Api = field(default_factory=Api)
    deadlines: Deadlines = field(default_factory=Deadlines)
    route: RouteState = field(default_factory=RouteState)
    applied: bool = False

    @property
    def configured_by(self) -> ConfiguredBy | None:
        """Who configures the network; None while it is not known."""
        return self.configurator.by if self.configurator else None

    @property
    def is_confirmed(self) -> bool:
        """Whether who configures the network rests on a setting or an answer of the API."""
        return self.configurator is not None and self.configurator.confirmed

    @property
    def was_ready_here(self) -> bool:
        """Whether what is remembered is of this machine, and was READY before the restart."""
        memory = self.last_good
        same = memory is not None and memory.identity == self.identity
        return self.was_ready and same and bool(self.identity.machine_id)

    @property
    def deployed_by(self) -> str:
        """What says DEPLOYED where the API does not; "" for nothing, or if it is another server's.

        The platform's word alone does not do: without a memory of this server there is no gateway.
        """
        if not self.last_good_matches or self.last_good is None:
            return ""
        if self.was_ready:
            return BEFORE_RESTART
        if self.last_good.deployed:
            return "is remembered from an earlier boot"
        return "is the platform's word" if self.metadata.automation_status == "DEPLOYED" else ""

    def failing_since(self, operation: Operation) -> float:
        """Since when *operation* has failed each time; infinity if it has not."""
        return dict(self.api.failing_since).get(operation, inf)


def worth_remembering(facts: Facts) -> LastGood | None:
    """What outlives a reboot: what the API has confirmed and what works; None if there is nothing.

    A fresh answer wins; without one, what was remembered still is.
    """
    gateway, servicenet, by = facts.gateway, facts.servicenet, facts.configured_by
    by_rcnetd = by is ConfiguredBy.RCNETD
    works = facts.route.in_effect if by_rcnetd else by is ConfiguredBy.RACKCONNECT
    if servicenet is None or by is None or not facts.is_confirmed or not works:
        return None
    is_from_elsewhere = gateway.is_remembered and not facts.last_good_matches
    if not facts.identity.machine_id or is_from_elsewhere:
        return None
    before = facts.last_good if facts.last_good_matches else None
    fresh = facts.automation.status is AutomationStatus.DEPLOYED
    return LastGood(
        facts.identity,
        servicenet.macs[0],
        servicenet.address,
        by,
        gateway.address if by_rcnetd else None,
        fresh if facts.automation.status else before is not None and before.deployed,
        facts.api.proven,
    )
