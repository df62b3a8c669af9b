"""From events to facts: what happened becomes what is known. Pure.

Each event replaces the facts that it concerns and may log; what follows from the facts is decided
elsewhere (`states.py`, `guard.py`, `polling.py`).
"""

from __future__ import annotations

from ipaddress import IPv4Address
from math import inf

from rcnetd.basic.dataclass import replace
from rcnetd.core.actions import Action, Log
from rcnetd.core.events import (
    Answered,
    FeaturesReceived,
    GatewayNotAssigned,
    GatewayReceived,
    RateLimited,
    Reconfigured,
    RequestFailed,
    StatusReceived,
)
from rcnetd.core.facts import Automation, Configurator, Facts, Gateway
from rcnetd.core.lastgood import difference
from rcnetd.core.log import OnceLog
from rcnetd.core.model import AutomationStatus, ConfiguredBy, Network, Operation
from rcnetd.core.servicenet import ServiceNet, choose, hints, rejection
from rcnetd.core.settings import Manage

RESOLVE_RETRY_DELAY = 300.0  # seconds for which the last address is asked when the name fails
NOT_FOUND = "http-404"  # of `RequestFailed.kind`


class Intake:
    """Applies events to *facts*; `actions` are the log lines that come of them."""

    def __init__(self, facts: Facts, once_log: OnceLog) -> None:
        self.facts = facts
        self.actions: list[Action] = []
        self._once_log = once_log

    # The kernel

    def network_observed(self, network: Network, now: float) -> None:
        """Take in a reading of the kernel: is ServiceNet still, or now, where it should be?"""
        facts = self.facts
        before = facts.servicenet
        found = self._find_servicenet(network)
        if found is None and before is not None and not network.is_complete:
            # Only the links that matter were read, or the list kept changing: no proof of absence.
            self._change(network=network, rediscover=True)
            return
        home = facts.home or (found.address.ip if found else None)
        self._change(network=network, servicenet=found, home=home, rediscover=False)
        if found is None:
            if before is not None:
                timeout = facts.settings.servicenet.timeout
                self._deadlines(servicenet=now + timeout)
                self._log("warning", f"ServiceNet is gone from '{before.link.name}'")
        elif not _is_same(before, found):
            self._deadlines(servicenet=inf)
            self._log("info", f"ServiceNet is '{found.link.name}', {found.address}: {found.why}")
            self._drop_invalid_gateway()
            self._recall(found, now)

    def _find_servicenet(self, network: Network) -> ServiceNet | None:
        facts = self.facts
        last_good = facts.last_good
        gateways = (facts.gateway.address, facts.gateway.candidate)
        if not any(gateways) and last_good is not None:
            gateways = (last_good.gateway, None)
        return choose(
            network,
            facts.settings.servicenet,
            hints(facts.metadata, *gateways, known=facts.home),
            facts.servicenet,
        )

    # The settings

    def reconfigured(self, event: Reconfigured) -> None:
        """Go on with other settings: what is in effect stays until an answer says otherwise."""
        facts, settings = self.facts, event.settings
        before = facts.settings
        self._change(settings=settings)
        self._deadlines(
            servicenet=facts.deadlines.servicenet
            + settings.servicenet.timeout
            - before.servicenet.timeout,
            deploy=facts.deadlines.deploy + settings.deploy_timeout - before.deploy_timeout,
            fallback=facts.deadlines.fallback + settings.fallback_after - before.fallback_after,
        )
        if settings.servicenet != before.servicenet:
            self._change(servicenet=None)  # chosen again, by the new settings
        if settings.manage is not before.manage:
            if facts.configurator is not None:  # by the previous setting
                self._change(configurator=replace(facts.configurator, confirmed=False))
            self.apply_manage()
        if event.identity != facts.identity:
            self._change(
                identity=event.identity,
                last_good_matches=False,
                was_ready=False,
                was_not_rackconnected=False,
                api=replace(facts.api, proven=None),
                # In use, but not from the API that is asked from now on.
                gateway=replace(
                    self.facts.gateway, is_remembered=facts.gateway.address is not None
                ),
                automation=Automation(),
            )
        self._drop_invalid_gateway()
        self._log("info", "the settings were read again")

    def apply_manage(self) -> None:
        """Let the setting decide who configures the network, unless it leaves that to the API."""
        manage = self.facts.settings.manage
        if manage is not Manage.AUTO:
            by = ConfiguredBy.RCNETD if manage is Manage.ALWAYS else ConfiguredBy.RACKCONNECT
            self._decide(by, f"'manage: {manage.value}' is set")

    # What outlived the last reboot

    def _recall(self, servicenet: ServiceNet, now: float) -> None:
        """Use what is remembered of this server, before anything is asked."""
        facts, last_good = self.facts, self.facts.last_good
        self._change(last_good_matches=False)
        if last_good is None or facts.metadata.is_rackconnect_v3:
            return
        known = facts.configured_by if facts.is_confirmed else None
        other = difference(last_good, facts.identity, servicenet, known)
        if other is not None:
            self._once("info", f"what is remembered is of another {other}, not used")
            if facts.gateway.is_remembered:
                self._change(gateway=replace(facts.gateway, address=None, candidate=None))
            return
        proven = facts.api.proven or last_good.api_address
        self._change(last_good_matches=True, api=replace(facts.api, proven=proven))
        self._deadlines(fallback=now + facts.settings.fallback_after)
        if facts.configurator is None:
            why = "as remembered, asking the API whether it still does"
            self._decide(last_good.configured_by, why, confirmed=False)
        if last_good.gateway is not None and not facts.gateway.is_known:
            self._recall_gateway(last_good.gateway)

    def _recall_gateway(self, gateway: IPv4Address) -> None:
        reason = self._rejection(gateway)
        if reason is not None:
            self._once("warning", f"the remembered gateway {gateway} {reason}, not used")
            return
        self._log("info", f"gateway {gateway} is remembered, asking the API whether it still is")
        self._change(gateway=replace(self.facts.gateway, is_remembered=True))
        if self.facts.was_ready:  # it has answered in this boot, and was not asked again since
            self._change(gateway=replace(self.facts.gateway, address=gateway))
        else:
            self._try_gateway(gateway)

    # The API

    def failed(self, event: RequestFailed | RateLimited, now: float) -> None:
        """Note a request that came to nothing: since when, and whether the name is to blame."""
        api = self.facts.api
        failing = dict(api.failing_since)
        failing.setdefault(event.operation, now)
        unknown = api.unknown - {event.operation}
        if isinstance(event, RequestFailed) and event.kind == NOT_FOUND:
            unknown |= {event.operation}
        self._change(
            api=replace(
                api,
                peer=event.peer or api.peer,
                has_answered=api.has_answered or isinstance(event, RateLimited),
                failing_since=tuple(failing.items()),
                unknown=unknown,
            )
        )
        if isinstance(event, RequestFailed):
            self._avoid_resolver(event, now)

    def _avoid_resolver(self, event: RequestFailed, now: float) -> None:
        """Without an answer of the resolver, ask where the API was; if it is not there, resolve."""
        api = self.facts.api
        if event.kind != "dns":
            self._change(api=replace(api, resolve_at=now))
        elif api.proven is not None:
            self._change(api=replace(api, resolve_at=now + RESOLVE_RETRY_DELAY))
            self._once("warning", f"asking {api.proven}, where the API was last")

    def answered(self, event: Answered) -> None:
        """Take in an answer as the API page has it."""
        facts, operation = self.facts, event.operation
        api = facts.api
        is_secure = facts.identity.endpoint.startswith("https://")
        # 404 for the gateway alone does not tell whether the API knows this server.
        is_404 = isinstance(event, GatewayNotAssigned)
        self._change(
            api=replace(
                api,
                peer=event.peer or api.peer,
                proven=event.peer if event.peer is not None and is_secure else api.proven,
                has_answered=True,
                answered=api.answered if is_404 else api.answered | {operation},
                failing_since=tuple(
                    entry for entry in api.failing_since if entry[0] is not operation
                ),
                unknown=api.unknown | {operation} if is_404 else api.unknown - {operation},
            )
        )
        if isinstance(event, FeaturesReceived):
            self._features_received(event.configure_network_stack)
        elif isinstance(event, GatewayReceived):
            self._gateway_received(event.gateway)
        elif is_404:
            self._change(gateway=replace(self.facts.gateway, is_remembered=False))
            self._once("debug", "the gateway is not assigned yet (404)")
        elif isinstance(event, StatusReceived):
            self._status_received(event)
        else:
            raise AssertionError(f"Unexpected answer: {event!r}")

    def _features_received(self, configure_network_stack: bool | None) -> None:
        facts = self.facts
        if facts.is_confirmed:
            return
        why = "the feature Configure Network Stack is"
        if configure_network_stack is None:
            configure_network_stack = facts.metadata.configure_network_stack
            why = "the answer about features did not tell, xenstore says Configure Network Stack is"
        if configure_network_stack is None:
            if facts.configurator is None:
                why = "the answer about features did not tell; the gateway's will"
                self._decide(ConfiguredBy.RCNETD, why)
            else:
                self._change(configurator=replace(facts.configurator, confirmed=True))
        elif configure_network_stack:
            self._decide(ConfiguredBy.RACKCONNECT, f"{why} enabled")
        else:
            self._decide(ConfiguredBy.RCNETD, f"{why} not enabled")

    def decide_without_features(self, now: float) -> None:
        """One dead operation of four keeps no server from its route.

        Where only the question about features keeps failing while the API answers others, decide
        by what else is known, and go on asking.
        """
        facts = self.facts
        since = facts.failing_since(Operation.FEATURES)
        if facts.configurator is not None or now < since + facts.settings.fallback_after:
            return
        if not facts.api.has_answered:
            return
        known = facts.metadata.configure_network_stack
        by = ConfiguredBy.RACKCONNECT if known else ConfiguredBy.RCNETD
        why = "xenstore's word" if known is not None else "there is no other word"
        text = f"{why}, since 'automation_features' keeps failing"
        self._decide(by, text, confirmed=False, level="warning")

    def _decide(
        self, by: ConfiguredBy, reason: str, *, confirmed: bool = True, level: str = "info"
    ) -> None:
        self._change(configurator=Configurator(by, reason, confirmed))
        if by is ConfiguredBy.RACKCONNECT and confirmed:
            self._change(gateway=Gateway())
        name = "rcnetd" if by is ConfiguredBy.RCNETD else "RackConnect"
        self._log(level, f"{name} configures the network: {reason}")

    def _gateway_received(self, address: IPv4Address) -> None:
        reason = self._rejection(address)
        gateway = replace(
            self.facts.gateway,
            is_remembered=False,
            rejected=f"{address} {reason}" if reason else "",
        )
        self._change(gateway=gateway)
        if reason is not None:
            text = f"the API's gateway {address} {reason}, changing nothing, asking again"
            self._once("error", text)
        elif address == gateway.address:
            self._change(gateway=replace(gateway, candidate=None))
        elif address != gateway.candidate:
            self._log("info", f"the API's gateway is {address}")
            self._try_gateway(address)

    def _try_gateway(self, address: IPv4Address) -> None:
        """Use this gateway as soon as it answers on the link."""
        facts = self.facts
        self._change(
            gateway=replace(facts.gateway, candidate=address),
            network=replace(facts.network, neighbour=None),
        )

    def _drop_invalid_gateway(self) -> None:
        """The address has changed: a gateway that does not fit it is none of ours any more."""
        gateway = self.facts.gateway
        if gateway.candidate and self._rejection(gateway.candidate):
            gateway = replace(gateway, candidate=None)
        reason = self._rejection(gateway.address) if gateway.address else None
        if reason is not None:
            self._log("warning", f"gateway {gateway.address} {reason}, asking the API again")
            gateway = replace(gateway, address=None)
        self._change(gateway=gateway)

    def _rejection(self, gateway: IPv4Address) -> str | None:
        facts = self.facts
        if facts.servicenet is None:
            return "cannot be checked without ServiceNet"
        own = tuple(entry.interface for entry in facts.network.addresses)
        onlink = facts.settings.gateway.onlink
        return rejection(gateway, own, facts.servicenet.address, onlink=onlink)

    def _status_received(self, event: StatusReceived) -> None:
        if event.status is AutomationStatus.UNKNOWN:
            text = f"automation status '{event.word}' is unknown, not taken for DEPLOYED"
            self._once("warning", text)
        elif event.status is not self.facts.automation.status:
            self._log("info", f"automation status is {event.status.value}")
        self._change(automation=Automation(event.status, event.word))

    # Inside

    def _change(self, **changes: object) -> None:
        self.facts = replace(self.facts, **changes)  # type: ignore[arg-type] # any of its fields

    def _deadlines(self, **changes: float) -> None:
        self._change(deadlines=replace(self.facts.deadlines, **changes))

    def _log(self, level: str, text: str) -> None:
        self.actions.append(Log(level, text))

    def _once(self, level: str, text: str) -> None:
        self.actions += self._once_log.once(level, text)


def _is_same(before: ServiceNet | None, found: ServiceNet) -> bool:
    return before is not None and (before.link.ifindex, before.address) == (
        found.link.ifindex,
        found.address,
    )
