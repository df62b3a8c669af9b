"""netplan's files as netplan reads them (netplan-yaml(5), parse.c).

The files in /lib, /etc and /run/netplan are read in the order of their names; of files with the
same name the one in /run counts, then /etc. Definitions are merged: a later scalar replaces, a
mapping is merged, and a sequence is appended to; the same holds for a key that is in one file
twice. A file that is not valid YAML is skipped here, as netplan 1.2 does at boot; older versions
then render nothing, which the check by netplan itself finds out.

A definition becomes `10-netplan-ID.network` or a profile of NetworkManager's. Where several match a
link, networkd uses the one that sorts first, and NetworkManager may use any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from posixpath import basename, dirname

from rcnetd.basic.dataclass import dataclass, field
from rcnetd.hostconfig.renderers.marked_edits import Document
from rcnetd.hostconfig.renderers.model import CannotPersist, DefaultRoute, HostLink
from rcnetd.hostconfig.renderers.netplan_definition import (
    NETWORKD,
    SECTIONS,
    VIRTUAL,
    Definition,
    Place,
)
from rcnetd.hostconfig.renderers.rendering import VIRTUAL_KINDS
from rcnetd.hostconfig.renderers.yaml_edits import YamlDocument
from rcnetd.hostconfig.renderers.yaml_reader import Node, pairs, text, values

DIRECTORIES = ("/lib/netplan", "/etc/netplan", "/run/netplan")  # the last one counts


@dataclass
class Configuration:
    """All files, merged."""

    definitions: dict[tuple[str, str], Definition] = field(default_factory=dict)
    documents: list[YamlDocument] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    def matching(self, link: HostLink) -> list[Definition]:
        """Return the definitions that match a link, the first for networkd first."""
        virtual = link.kind in VIRTUAL_KINDS or any(
            section in VIRTUAL and name == link.name for section, name in self.definitions
        )
        found = [one for one in self.definitions.values() if one.fits(link, virtual=virtual)]
        return sorted(found, key=lambda one: one.file_name)

    def of(self, link: HostLink) -> list[Definition]:
        """Return the definitions that the backend uses for a link: of several it may use any."""
        found = self.matching(link)
        return found[:1] if all(one.renderer == NETWORKD for one in found) else found

    def defaults(self, links: Sequence[HostLink]) -> Iterator[DefaultRoute]:
        """Return the default routes that *links* get, and those for links that are not among them.

        A definition that matches a link but is not used for any is left out.
        """
        used = [(link.name, one) for link in links for one in self.of(link)]
        matching = [one for link in links for one in self.matching(link)]
        for definition in self.definitions.values():
            names = [name for name, one in used if one is definition]
            if not names and any(one is definition for one in matching):
                continue
            for default in definition.defaults():
                for name in names or [default.link]:
                    yield DefaultRoute(name, default.gateway, default.metric, default.path)


def read(found: Mapping[str, Document]) -> Configuration:
    """Merge the files."""
    by_name = {
        basename(path): found[path]
        for directory in DIRECTORIES
        for path in sorted(found)
        if dirname(path) == directory
    }
    result = Configuration()
    renderers: dict[str, str] = {}
    for _, document in sorted(by_name.items()):
        try:
            parsed = YamlDocument(document)
        except CannotPersist as error:
            result.damaged.append(str(error))
            continue
        result.documents.append(parsed)
        for network in values(parsed.root, "network"):
            _merge(result, renderers, parsed, network)
    _resolve(result, renderers)
    return result


def _merge(
    result: Configuration, renderers: dict[str, str], document: YamlDocument, network: Node
) -> None:
    for _, section, value in pairs(network):
        if section == "renderer":
            renderers[""] = text(value) or ""
        for position, name, node in pairs(value) if section in SECTIONS else ():
            if name == "renderer":
                renderers[section] = text(node) or ""
                continue
            key = (section, name)
            definition = result.definitions.setdefault(key, Definition(section, name))
            definition.parts.append(Place(document, value, position, node))


def _resolve(result: Configuration, renderers: Mapping[str, str]) -> None:
    """Find out what of a definition another part of the files says."""
    members = {
        text(place.value)
        for one in result.definitions.values()
        if one.section == "vrfs"
        for place in one.items("interfaces")
    }
    for one in result.definitions.values():
        common = renderers.get(one.section) or renderers.get("") or NETWORKD
        one.renderer = one.text("renderer") or common
        one.in_vrf = one.name in members or one.section == "vrfs"
