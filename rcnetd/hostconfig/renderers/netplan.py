"""netplan: our own file, and marked edits where a default route has to go.

A sequence is appended to by a later file, so no file can take back another's routes: competing
defaults are commented out where they are; a package's file is replaced by an edited copy in /etc.
Everything else is in our own file, which is read last: nova-agent's `rackspace-cloud.yaml` sorts
after any number. If one definition configures ServiceNet's link and public ones, ServiceNet's link
gets a copy of its own that networkd finds first.

The default route is written as `0.0.0.0/0`: Debian 11's netplan does not know `default`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address
from typing import Any

import yaml

from rcnetd.basic.dataclass import dataclass, field
from rcnetd.core.model import METRIC
from rcnetd.core.settings import PublicInterface, PublicIPv6
from rcnetd.hostconfig.renderers.marked_edits import HEADER, Document, applied, changes, documents
from rcnetd.hostconfig.renderers.model import (
    CannotPersist,
    Change,
    Changes,
    DefaultRoute,
    HostLink,
    Target,
    Tree,
)
from rcnetd.hostconfig.renderers.netplan_definition import NETWORKD, Definition, StaticDefault
from rcnetd.hostconfig.renderers.netplan_reader import DIRECTORIES, Configuration, read
from rcnetd.hostconfig.renderers.rendering import (
    missing_name_servers,
    old_gateway,
    replacing_vendor_files,
    require_no_other_winner,
    require_plain_names,
    visible,
)
from rcnetd.hostconfig.renderers.yaml_reader import construct, merge, text

PATTERNS = tuple(f"{directory}/*.yaml" for directory in DIRECTORIES)
ETC = "/etc/netplan"
OWN = f"{ETC}/zz-rcnetd.yaml"
MODE = 0o600  # it may hold secrets, and netplan warns about anything else
LOSING = 1024  # the metric of a default route by DHCP that would win


def render(tree: Tree, target: Target) -> Changes:
    """Return the changes that make netplan's backends set up what *target* says."""
    require_plain_names(target)
    tree = visible(tree)
    kept = documents({path: file for path, file in tree.items() if path != OWN})
    rendering = _Rendering(read(kept), target)
    rendering.run()
    ours = replacing_vendor_files(tree, kept, ETC, ("/lib/netplan",))
    ours[OWN] = rendering.own_file()
    made = {
        path: Change(change.data, MODE if path in ours else None)
        for path, change in changes(tree, kept, ours).items()
    }
    links = (target.servicenet, *target.public)
    defaults = read_defaults_of(applied(tree, made), links)
    require_no_other_winner(defaults, target.servicenet.name, target)
    return made


def read_defaults(tree: Tree) -> list[DefaultRoute]:
    """Return the IPv4 default routes of all definitions, in effect or not."""
    return read_defaults_of(tree, ())


def read_defaults_of(tree: Tree, links: Sequence[HostLink]) -> list[DefaultRoute]:
    """Return the IPv4 default routes: what *links* get, and what other definitions would set."""
    found = {path: Document(path, file.data, as_is=True) for path, file in visible(tree).items()}
    return list(read(found).defaults(links))


@dataclass
class _Rendering:
    """The edits for one target, and what our own file says."""

    found: Configuration
    target: Target
    own: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    _removed: dict[str, int] = field(default_factory=dict)  # routes, by definition
    _copied: Definition | None = None  # the one of which ServiceNet's link gets a copy

    def own_file(self) -> bytes:
        content = {"network": {"version": 2, **self.own}}
        body: str = yaml.safe_dump(content, sort_keys=False, default_flow_style=False)
        return f"{HEADER}\n{body}".encode()

    def run(self) -> None:
        servicenet = self._servicenet()
        public = self._public()
        for definition in servicenet:
            self._remove_defaults(definition)
            if any(definition is one for one in public):
                self._copy(definition)
            if definition.uses_dhcp and definition.dhcp_metric <= METRIC:
                # The other routes by DHCP stay: ServiceNet may be reached through them.
                self._override_dhcp(definition, "route-metric", LOSING)
        if self.target.policy is PublicInterface.DOWN:
            self._take_down(public, servicenet)
        else:
            for definition in public:
                self._remove_public_defaults(definition)
        for definition in servicenet:
            self._add_routes(definition, [self._route()])
        for document in self.found.documents:
            document.finish()

    def _route(self) -> dict[str, Any]:
        route: dict[str, Any] = {"to": "0.0.0.0/0", "via": str(self.target.gateway)}
        route["metric"] = METRIC
        if self.target.onlink:
            route["on-link"] = True
        return route

    def _servicenet(self) -> list[Definition]:
        name = self.target.servicenet.name
        found = self.found.of(self.target.servicenet)
        if not found:
            damaged = "".join(f"; {reason}" for reason in self.found.damaged)
            raise CannotPersist(
                f"/etc/netplan: no definition configures {name}; add one there{damaged}"
            )
        return found

    def _public(self) -> list[Definition]:
        """Return the definitions of the public links, also those that take over if one goes.

        One that matches ServiceNet's link as well is not in effect then, and is left alone.
        """
        servicenet = self.found.matching(self.target.servicenet)
        public: list[Definition] = []
        for link in self.target.public:
            others = [
                one
                for one in self.found.matching(link)
                if not any(one is its for its in servicenet)
            ]
            for one in self.found.of(link) + others:
                if not any(one is its for its in public):
                    public.append(one)
        return public

    def _copy(self, definition: Definition) -> None:
        """Write a definition for ServiceNet's link alone, which networkd finds before the other."""
        self._copied = definition
        name = self._own_name(self.target.servicenet, definition)
        source = self._configuring(definition)
        content: dict[str, Any] = {}
        for part in source.parts:
            part.document.require_unshared(part.value)
            merge(content, construct(part.value))
        for key in ("gateway4", "set-name"):
            content.pop(key, None)
        gone = [one.place.value for one in source.static_defaults(4) if self._goes(one)]
        content["routes"] = [
            construct(place.value)
            for place in source.items("routes")
            if not any(place.value is node for node in gone)
        ]
        content["match"] = {"name": self.target.servicenet.name}
        self.own.setdefault(definition.section, {})[name] = content

    def _configuring(self, used: Definition) -> Definition:
        """Return the definition that has ServiceNet's present address, or else *used*."""
        addresses = {str(one) for one in self.target.servicenet.addresses}
        for one in self.found.matching(self.target.servicenet):
            if addresses & {text(place.value) for place in one.items("addresses")}:
                return one
        return used

    @staticmethod
    def _own_name(link: HostLink, other: Definition) -> str:
        """Return the name of a definition for *link* that networkd finds before another."""
        name = f"00-rcnetd-{link.name}"
        if other.renderer != NETWORKD or name >= other.name:
            raise CannotPersist(
                f"{other.where}: '{other.name}' configures several links, {link.name} among them;"
                f" give {link.name} a definition of its own"
            )
        return name

    def _ours(self, definition: Definition, *, public: bool = False) -> dict[str, Any]:
        is_copy = definition is self._copied and not public
        name = f"00-rcnetd-{self.target.servicenet.name}" if is_copy else definition.name
        return self.own.setdefault(definition.section, {}).setdefault(name, {})

    def _add_routes(
        self, definition: Definition, routes: Sequence[dict[str, Any]], *, public: bool = False
    ) -> None:
        """Add routes. Debian 11's netplan drops as many new routes as the definition has already.

        It takes them for the same ones, read again; so ours is there twice if need be. Later
        versions drop duplicates.
        """
        ours = self._ours(definition, public=public)
        kept = len(list(definition.items("routes"))) - self._removed.get(definition.name, 0)
        is_copy = definition is self._copied and not public
        again = routes[-1:] if len(routes) == kept and not is_copy else []
        ours["routes"] = [*ours.get("routes", []), *routes, *map(dict, again)]

    def _override_dhcp(
        self, definition: Definition, key: str, value: object, *, public: bool = False
    ) -> None:
        """networkd has one setting for both versions, so netplan insists on equal ones."""
        ours = self._ours(definition, public=public)
        ours.setdefault("dhcp4-overrides", {})[key] = value
        if definition.renderer == NETWORKD and definition.is_true("dhcp6"):
            ours.setdefault("dhcp6-overrides", {})[key] = value

    def _remove_defaults(self, definition: Definition) -> list[IPv4Address]:
        """Comment out the IPv4 defaults; return their gateways."""
        gateways = []
        for default in definition.static_defaults(4):
            if self._goes(default):
                gateways += [default.gateway] if default.gateway is not None else []
                self._remove(definition, default)
        return gateways

    @staticmethod
    def _goes(default: StaticDefault) -> bool:
        """One that leads nowhere and loses against ours stays: it is what remains without ours."""
        return not default.leads_nowhere or default.metric <= METRIC

    def _remove(self, definition: Definition, default: StaticDefault) -> None:
        default.place.remove()
        if default.in_routes:
            self._removed[definition.name] = self._removed.get(definition.name, 0) + 1

    def _remove_public_defaults(self, definition: Definition) -> None:
        gateways = self._remove_defaults(definition)
        if definition.uses_dhcp:
            # One of the classless routes of a DHCP server may be a default, so all of them go.
            self._override_dhcp(definition, "use-routes", False, public=True)
        if self.target.public_ipv6 is PublicIPv6.NO_DEFAULT:
            for default in definition.static_defaults(6):
                self._remove(definition, default)
            self._ours(definition, public=True)["accept-ra"] = False
        if self.target.public_routes and self.target.policy is PublicInterface.NO_DEFAULT:
            via = str(old_gateway(definition.where, gateways))
            routes = [{"to": str(one), "via": via} for one in self.target.public_routes]
            self._add_routes(definition, routes, public=True)

    def _take_down(self, public: Sequence[Definition], servicenet: Sequence[Definition]) -> None:
        for definition in servicenet:
            mine = list(_name_servers([definition]))
            added = missing_name_servers(mine, _name_servers(public))
            if added and definition is self._copied:
                self._ours(definition).setdefault("nameservers", {})["addresses"] = [*mine, *added]
            elif added:
                self._ours(definition)["nameservers"] = {"addresses": added}
            if definition.is_true("optional"):
                # Without any link to wait for, networkd's wait-online would time out.
                self._ours(definition)["optional"] = False
        self._keep_others_off(public)
        for definition in public:
            self._require_nothing_above(definition, public)
            self._keep_down(definition)

    def _keep_down(self, definition: Definition) -> None:
        """Remove it: networkd leaves a link down that no file mentions.

        `activation-mode` exists since 0.103 only; but NetworkManager would make up a profile.
        """
        if definition.renderer != NETWORKD:
            self._remove_public_defaults(definition)
            self._ours(definition, public=True)["activation-mode"] = "manual"
            return
        for part in definition.parts:
            part.remove()

    def _require_nothing_above(self, definition: Definition, public: Sequence[Definition]) -> None:
        """netplan rejects a definition that names a link without one."""
        for other in self.found.definitions.values():
            below = [text(place.value) for place in other.paths("link")]
            below += [text(place.value) for place in other.items("interfaces")]
            if definition.name in below and not any(other is one for one in public):
                raise CannotPersist(
                    f"{other.where}: '{other.name}' is on top of '{definition.name}', which has to"
                    " be down; remove it, or set 'public_interface: no-default'"
                )

    def _keep_others_off(self, public: Sequence[Definition]) -> None:
        """Write a definition for each public link that another definition would bring up now."""
        for link in self.target.public:
            others = [
                one for one in self.found.matching(link) if not any(one is its for its in public)
            ]
            if others:
                ours = self.own.setdefault(others[0].section, {})
                ours[self._own_name(link, others[0])] = {
                    "match": {"name": link.name},
                    "activation-mode": "manual",
                    "link-local": [],
                }


def _name_servers(definitions: Sequence[Definition]) -> Iterator[str]:
    for definition in definitions:
        for place in definition.items("nameservers", "addresses"):
            yield text(place.value) or ""
