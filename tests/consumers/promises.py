"""What a tree promises of the kernel after a boot with it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

from rcnetd.core.settings import PublicInterface, PublicIPv6
from rcnetd.hostconfig.renderers.model import Target
from tests.consumers.kernel import KernelRoute, KernelState


def broken(target: Target, control: KernelState, found: KernelState) -> list[str]:
    """The promises that *found* breaks; *control* is the state after a boot with the tree before.

    One line each: what there is, and what there should be.
    """
    return [
        *_default(target, found),
        *_public(target, found),
        *_addresses(target, control, found),
        *_ipv6_defaults(target, control, found),
        *_routes(target, control, found),
        *_public_routes(target, found),
    ]


def _public_names(target: Target) -> set[str]:
    return {link.name for link in target.public}


def _is_down(target: Target, link: str) -> bool:
    return target.policy is PublicInterface.DOWN and link in _public_names(target)


def _default(target: Target, found: KernelState) -> Iterator[str]:
    """One IPv4 default wins, and it is ours."""
    defaults = found.defaults(4)
    winners = [route for route in defaults if route.metric == defaults[0].metric]
    if [(route.gateway, route.link, route.kind) for route in winners] != [
        (target.gateway, target.servicenet.name, "unicast")
    ]:
        yield (
            f"IPv4 defaults: {_text(defaults)}; {target.gateway} on {target.servicenet.name}"
            " should win alone"
        )


def _public(target: Target, found: KernelState) -> Iterator[str]:
    """A link that stays down has neither address nor default."""
    for link in sorted(filter(lambda name: _is_down(target, name), _public_names(target))):
        own = found.addresses_of(link)
        if own:
            yield f"{link} has {', '.join(sorted(own))}; the policy is 'down'"
        for route in found.defaults(4) + found.defaults(6):
            if route.link == link:
                yield f"default route '{route}'; the policy is 'down'"


def _addresses(target: Target, control: KernelState, found: KernelState) -> Iterator[str]:
    """Every other address is there."""
    expected = {entry for entry in control.addresses if not _is_down(target, entry[0])}
    for link, address in sorted(expected - found.addresses):
        yield f"{link} has lost {address}"
    for link, address in sorted(found.addresses - control.addresses):
        yield f"{link} has a new address: {address}"


def _ipv6_defaults(target: Target, control: KernelState, found: KernelState) -> Iterator[str]:
    """IPv6 defaults are kept, or go from the public links."""
    gone = {link for link in _public_names(target) if _is_down(target, link)}
    if target.public_ipv6 is PublicIPv6.NO_DEFAULT:
        gone |= _public_names(target)
    expected = [route for route in control.defaults(6) if route.link not in gone]
    if expected != found.defaults(6):
        yield f"IPv6 defaults: {_text(found.defaults(6))}; should be: {_text(expected)}"


def _routes(target: Target, control: KernelState, found: KernelState) -> Iterator[str]:
    """No other route and no rule has gone with them; metrics may be others.

    With the policy "down" the rules of the public link go with it.
    """
    there = {route._replace(metric=0) for route in found.routes}
    gateways = {route.gateway for route in control.defaults(4)}
    for route in sorted(control.routes, key=str):
        to = ip_network(route.to)
        if _is_down(target, route.link) or not to.prefixlen or to.network_address in gateways:
            continue  # the last: the way to a gateway goes with its route
        if route._replace(metric=0) not in there:
            yield f"the route '{route}' has gone"
    for rule in sorted(control.rules - found.rules):
        if target.policy is PublicInterface.DOWN:
            continue
        yield f"the rule '{rule}' has gone"


def _public_routes(target: Target, found: KernelState) -> Iterator[str]:
    """What stays reachable by the public link's gateway does."""
    if target.policy is PublicInterface.DOWN:
        return
    for network in target.public_routes:
        links = {route.link for route in found.routes if route.to == str(network)}
        if not links & _public_names(target):
            yield f"{network} is not reached by the public interface"


def _text(routes: list[KernelRoute]) -> str:
    return ", ".join(map(str, routes)) or "none"
