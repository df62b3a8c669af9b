"""Settings and metadata as values: what was read and validated elsewhere. Pure.

`rcnetd.config` reads the settings, `rcnetd.metadata` the metadata; the core knows only these.
"""

from __future__ import annotations

import enum
from ipaddress import IPv4Address, IPv4Network

from rcnetd.basic.dataclass import dataclass, field

# "Use the endpoint that matches the region where your cloud server resides." (the API page)
REGIONS = ("dfw", "hkg", "iad", "lon", "ord", "syd")


class Manage(enum.Enum):
    """Whether rcnetd sets the route: as RackConnect's features say, always, or never."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class PublicInterface(enum.Enum):
    """What becomes of the public interface when our route is in effect."""

    NO_DEFAULT = "no-default"
    DOWN = "down"


class PublicIPv6(enum.Enum):
    """What becomes of the public interface's IPv6 default route."""

    KEEP = "keep"
    NO_DEFAULT = "no-default"


class Backend(enum.Enum):
    """Into which configuration of the host the route is written."""

    AUTO = "auto"
    NONE = "none"
    NETPLAN = "netplan"
    IFCFG = "ifcfg"
    NETWORKD = "networkd"
    NETWORK_MANAGER = "network-manager"
    IFUPDOWN = "ifupdown"


@dataclass(frozen=True)
class ServiceNetSettings:
    """`servicenet:`. *name* or *mac* (lower case) are set for a configured interface."""

    name: str | None = None
    mac: str | None = None
    networks: tuple[IPv4Network, ...] = (
        IPv4Network("10.176.0.0/12"),
        IPv4Network("10.208.0.0/12"),
    )
    timeout: float = 300.0  # seconds


@dataclass(frozen=True)
class GatewaySettings:
    """`gateway:`. *recheck_interval* is in seconds, 0 for never."""

    onlink: bool = False
    check: bool = True
    recheck_interval: float = 900.0


@dataclass(frozen=True)
class Settings:
    """All settings, validated. *region* None is `auto`; lengths of time are in seconds."""

    region: str | None = None
    endpoint: str | None = None
    ca_file: str | None = None
    api_address: IPv4Address | None = None
    servicenet: ServiceNetSettings = field(default_factory=ServiceNetSettings)
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    manage: Manage = Manage.AUTO
    public_interface: PublicInterface = PublicInterface.NO_DEFAULT
    public_ipv6: PublicIPv6 = PublicIPv6.KEEP
    public_routes: tuple[IPv4Network, ...] = ()
    persist: Backend = Backend.AUTO
    requests_per_minute: int = 18
    fallback_after: float = 120.0
    deploy_timeout: float = 3600.0

    @property
    def endpoint_is_plain(self) -> bool:
        """Whether the endpoint is `http://`: anyone on its way can answer (worth a warning)."""
        return self.endpoint is not None and self.endpoint.startswith("http://")


@dataclass(frozen=True)
class Metadata:
    """What the platform says of this server; None where it says nothing (usable).

    MACs are lower case. *servicenet_address* and *public_address* are the first that the platform
    names. *automation_status* is RackConnect's word at boot; *sources* has where each
    of the facts is from. *configure_network_stack* is from the xenstore key
    `vm-data/user-metadata/rackconnect_automation_feature_configure_network_stack`.
    """

    region: str | None = None
    region_source: str | None = None
    roles: tuple[str, ...] = ()
    servicenet_mac: str | None = None
    servicenet_address: IPv4Address | None = None
    public_mac: str | None = None
    public_address: IPv4Address | None = None
    servicenet_router: IPv4Address | None = None
    configure_network_stack: bool | None = None
    automation_status: str | None = None
    sources: tuple[tuple[str, str], ...] = ()

    @property
    def is_rackconnect_v3(self) -> bool:
        """Whether this is RackConnect v3, which has no in-guest automation: not ours."""
        return any("rackconnect:v3" in role for role in self.roles)

    @property
    def names_no_rackconnect(self) -> bool:
        """Whether the roles are known, and none of them is RackConnect's."""
        return bool(self.roles) and not any(
            "rack_connect" in role or "rackconnect" in role for role in self.roles
        )
