"""What outlives a reboot: the gateway that worked, who configures the network, DEPLOYED. Pure.

With the public interface off, the API's name may not resolve until the default route exists: a
server that did not remember its gateway could wait for itself for ever.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

from rcnetd.basic.dataclass import dataclass
from rcnetd.core.model import ConfiguredBy
from rcnetd.core.servicenet import ServiceNet


@dataclass(frozen=True)
class Identity:
    """Which server this is, and whom it asks. No machine-id ("" ): nothing is remembered."""

    machine_id: str = ""
    endpoint: str = ""


@dataclass(frozen=True)
class LastGood:
    """The last-known-good state of one server.

    *mac* is that of ServiceNet's card. *gateway* is None where RackConnect sets it; *api_address*
    is where the API answered, with the right certificate.
    """

    identity: Identity
    mac: str
    address: IPv4Interface
    configured_by: ConfiguredBy
    gateway: IPv4Address | None
    deployed: bool
    api_address: IPv4Address | None = None


def difference(
    memory: LastGood, identity: Identity, servicenet: ServiceNet, configured_by: ConfiguredBy | None
) -> str | None:
    """What *memory* does not share with this server, for people; None: it is of this server.

    *mode* is None while it is not known.
    """
    if memory.identity.machine_id != identity.machine_id or not identity.machine_id:
        return "machine-id"
    if memory.identity.endpoint != identity.endpoint:
        return "region or endpoint"
    if memory.mac not in servicenet.macs:
        return "ServiceNet MAC"
    if memory.address != servicenet.address:
        return "ServiceNet address"
    if configured_by is not None and memory.configured_by is not configured_by:
        return "configurator (rcnetd or RackConnect)"
    return None
