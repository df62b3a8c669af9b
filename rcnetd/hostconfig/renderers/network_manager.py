"""NetworkManager's keyfiles: one profile a file (nm-settings-keyfile(5)).

Keyfiles have no drop-ins, so our route is a marked edit of ServiceNet's profile. A profile below
/usr/lib is copied to /etc with the edit, as `nmcli` does; the copy hides it. If several profiles
may bring a link up, each is edited. If one profile is for ServiceNet's link and a public one,
ServiceNet's gets a profile of its own with a higher `autoconnect-priority`. NetworkManager makes up
a profile for an Ethernet link that no profile fits, so a public link that has to stay down and has
no profile of its own gets one of ours, which does not connect.

These are all ways in which a profile makes a default route, and what rcnetd does about them on a
public link (policy `no-default`) and on ServiceNet's:

    gateway=                          commented out
    address1=ADDRESS/PREFIX,GATEWAY   replaced by the address alone (also address=, addresses1=)
    route1=ADDRESS/0 …                commented out with its options, whatever the type (unicast,
                                      blackhole, unreachable, prohibit, throw) and the method; also
                                      route=, routes1=
    method=auto                       public: never-default=true; ServiceNet: route-metric=1024 if
                                      its metric would beat ours
    a table other than main           left alone (route-table=, table= among the options)
    routing-rule1=                    left alone: a diversion, which the daemon reports

`never-default` is written only for `method=auto`: with static addresses it changes nothing once
the gateway is gone, and it would outlive our marks if `nmcli connection modify`, which keeps no
comments, rewrote the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import IPv4Address
from itertools import count
from posixpath import basename, dirname

from rcnetd.core.model import METRIC
from rcnetd.core.settings import PublicInterface, PublicIPv6
from rcnetd.hostconfig.renderers.ini_edits import Entry
from rcnetd.hostconfig.renderers.keyfile_fields import Address, Fields
from rcnetd.hostconfig.renderers.keyfile_loader import (
    CONFIGURATION,
    DIRECTORIES,
    LIB,
    RUN,
    SUFFIX,
    Loaded,
    candidates,
    first_choices,
    is_read,
    load,
)
from rcnetd.hostconfig.renderers.keyfile_profile import ETC, MAX_PRIORITY, Profile
from rcnetd.hostconfig.renderers.marked_edits import (
    BEGIN,
    END,
    HEADER,
    OFF,
    Document,
    applied,
    changes,
    documents,
    own,
)
from rcnetd.hostconfig.renderers.model import (
    MARK,
    CannotPersist,
    Change,
    Changes,
    DefaultRoute,
    HostLink,
    Target,
    Tree,
)
from rcnetd.hostconfig.renderers.rendering import (
    VIRTUAL_KINDS,
    missing_name_servers,
    old_gateway,
    require_plain_names,
)

__all__ = ["PATTERNS", "edited_profiles", "is_read", "read_defaults", "render"]

PATTERNS = (*(f"{directory}/*" for directory in DIRECTORIES), *CONFIGURATION)
MODE = 0o600  # NetworkManager ignores a keyfile that others may read
LOSING_METRIC = 1024


def render(tree: Tree, target: Target) -> Changes:
    """The changes that make NetworkManager come up as *target* says."""
    require_plain_names(target)
    counted = _counted(tree)
    kept = documents(counted)
    rendering = _Rendering(load(counted, kept), target)
    rendering.run()
    edited = {one.path: one.document for one in rendering.profiles if dirname(one.path) == ETC}
    copies = dict(_copies(rendering.profiles, kept))
    if rendering.own:
        copies[rendering.own.path] = _without_marks(edited.pop(rendering.own.path))
    copies.update((path, own(lines)) for path, lines in rendering.placeholders.items())
    ours = [path for path in counted if path not in kept]
    made = changes({path: counted[path] for path in (*edited, *ours)}, edited, copies)
    for path in copies.keys() & made.keys():
        made[path] = Change(copies[path], MODE)
    _check(applied(counted, made), target)
    return made


def read_defaults(tree: Tree) -> list[DefaultRoute]:
    """The IPv4 default routes of all profiles that come up at boot."""
    return [default for one in _load_as_is(tree).profiles for default in _defaults(one)]


def edited_profiles(tree: Tree) -> list[str]:
    """The paths of the profiles in effect in which something is ours."""
    profiles = _load_as_is(tree).profiles
    return [one.path for one in profiles if MARK.encode() in tree[one.path].data]


def _counted(tree: Tree) -> Tree:
    return {path: file for path, file in tree.items() if is_read(path)}


def _load_as_is(tree: Tree) -> Loaded:
    counted = _counted(tree)
    found = {path: Document(path, file.data, as_is=True) for path, file in counted.items()}
    return load(counted, found)


def _defaults(profile: Profile) -> Iterator[DefaultRoute]:
    if not profile.connects:
        return
    found: list[tuple[Address | None, int]] = []
    for _, fields in profile.default_routes("ipv4"):
        metric = profile.metric if fields.metric is None else fields.metric
        found.append((fields.gateway, metric))
    if profile.is_in_main_table and not profile.is_true("ipv4", "never-default"):
        found += [(gateway, profile.metric) for _, gateway in profile.gateways("ipv4")][:1]
        if profile.get("ipv4", "method") in (None, "auto"):
            found.append((None, profile.metric))
    for link in profile.links:
        for gateway, metric in found:
            via = gateway if isinstance(gateway, IPv4Address) else None
            yield DefaultRoute(link, via, metric, profile.path)


def _copies(
    profiles: Iterable[Profile], kept: Mapping[str, Document]
) -> Iterator[tuple[str, bytes]]:
    """Our copies in /etc of the profiles below /usr/lib that have to be edited."""
    for profile in profiles:
        name = basename(profile.path)
        if dirname(profile.path) != LIB or not profile.document.is_edited:
            continue
        if f"{ETC}/{name}" in kept:  # a profile of another UUID, or a file that does not count
            name = f"{MARK}-{name}"
            if profile.get("connection", "uuid") is None:
                raise CannotPersist(
                    f"{profile.path}: without 'uuid=' only a file of its name can replace it; copy"
                    f" it to {ETC}"
                )
        yield f"{ETC}/{name}", _without_marks(profile.document)


def _without_marks(document: Document) -> bytes:
    """The content of a file of our own, made from an edited document."""
    lines = document.data().decode("utf-8", "surrogateescape").splitlines()
    kept = [line for line in lines if line not in (BEGIN, END) and not line.startswith(OFF)]
    return "\n".join((HEADER, *kept, "")).encode("utf-8", "surrogateescape")


class _Rendering:
    """The edits for one target."""

    def __init__(self, loaded: Loaded, target: Target) -> None:
        self.profiles, self.target = loaded.profiles, target
        self._added: dict[str, dict[str, list[str]]] = {}
        self.placeholders: dict[str, list[str]] = {}  # by path: profiles that never connect
        self.servicenet = first_choices(self.profiles, target.servicenet)
        if not self.servicenet:
            ignored = "".join(f"; {reason}" for reason in loaded.ignored[:1])
            raise CannotPersist(
                f"{ETC}: no profile brings {target.servicenet.name} up; add one{ignored}"
            )
        self.public = [
            profile for link in target.public for profile in first_choices(self.profiles, link)
        ]
        self.own = self._split_off_servicenet()

    def _split_off_servicenet(self) -> Profile | None:
        """Give ServiceNet's link a profile of its own if a public link may have the same."""
        public = [one for link in self.target.public for one in candidates(self.profiles, link)]
        shared = [profile for profile in self.servicenet if profile in public]
        if not shared:
            return None
        own = _profile_of_its_own(shared[0], self.target.servicenet.name)
        self.servicenet = [own]
        self.profiles = [*self.profiles, own]
        return own

    def run(self) -> None:
        """Make all edits."""
        for profile in self.servicenet:
            self._remove_defaults(profile, "ipv4", keep=self._is_ours)
            if profile.get("ipv4", "method") in (None, "auto") and profile.metric <= METRIC:
                self._set(profile, "ipv4", "route-metric", str(LOSING_METRIC))
        if self.target.policy is PublicInterface.DOWN:
            self._move_dns()
            for link in self.target.public:
                self._keep_down(link)
        else:
            for profile in self.public:
                self._remove_public_default(profile)
        for profile in self.servicenet:
            self._add_our_route(profile)
        for profile in self.profiles:
            self._insert(profile)

    # Default routes

    def _is_ours(self, fields: Fields) -> bool:
        """Our route, also without our marks: `nmcli connection modify` keeps no comments."""
        return (fields.gateway, fields.metric) == (self.target.gateway, METRIC)

    def _remove_defaults(
        self, profile: Profile, section: str, keep: Callable[[Fields], bool] | None = None
    ) -> list[Address]:
        """Remove the gateways and default routes of a profile; returns the old gateways."""
        gateways = [gateway for _, gateway in profile.gateways(section)]
        for entry in dict.fromkeys(entry for entry, _ in profile.gateways(section)):
            self._put_out(profile, entry)
        for entry, fields in profile.addresses(section):
            if fields.gateway:
                self._add(profile, section, f"{entry.key}={fields.address}/{fields.prefix}")
        for entry, fields in profile.default_routes(section):
            if keep and keep(fields):
                continue
            gateways += [fields.gateway] if fields.gateway else []
            for other in profile.entries(section):
                if other.key in (entry.key, f"{entry.key}_options"):
                    self._put_out(profile, other)
        return gateways

    def _remove_public_default(self, profile: Profile) -> None:
        gateways = self._remove_defaults(profile, "ipv4")
        self._never_default(profile, "ipv4")
        if self.target.public_ipv6 is PublicIPv6.NO_DEFAULT:
            self._remove_defaults(profile, "ipv6")
            self._never_default(profile, "ipv6")
        ipv4 = [gateway for gateway in gateways if isinstance(gateway, IPv4Address)]
        for network in self.target.public_routes:
            self._add_route(profile, f"{network},{old_gateway(profile.path, ipv4)}")

    def _never_default(self, profile: Profile, section: str) -> None:
        """Refuse the default routes of DHCP and of router advertisements."""
        automatic = profile.get(section, "method") in (None, "auto", "dhcp")
        if automatic and not profile.is_true(section, "never-default"):
            self._set(profile, section, "never-default", "true")

    def _add_our_route(self, profile: Profile) -> None:
        if any(self._is_ours(fields) for _, fields in profile.default_routes("ipv4")):
            return
        options = [] if profile.is_in_main_table else ["table=254"]
        options += ["onlink=true"] if self.target.onlink else []
        self._add_route(profile, f"0.0.0.0/0,{self.target.gateway},{METRIC}", ",".join(options))

    def _add_route(self, profile: Profile, value: str, options: str = "") -> None:
        """Add a route under a key that is free; of equal keys only the last one counts."""
        taken = {entry.key for entry in profile.entries("ipv4")}
        taken |= {line.partition("=")[0] for line in self._lines(profile).get("ipv4", [])}
        number = next(number for number in count(1) if f"route{number}" not in taken)
        self._add(profile, "ipv4", f"route{number}={value}")
        if options:
            self._add(profile, "ipv4", f"route{number}_options={options}")

    # Links that stay down

    def _keep_down(self, link: HostLink) -> None:
        """Let no profile bring the link up, also not the next one if the first one fails."""
        for profile in candidates(self.profiles, link):
            if profile.names_its_link:
                self._set(profile, "connection", "autoconnect", "false")
            else:
                patterns = ";".join([*profile.patterns, f"!{link.name}"])
                self._set(profile, "match", "interface-name", f"{patterns};")
        is_virtual = link.kind in VIRTUAL_KINDS  # NetworkManager makes up no profile for it
        if not is_virtual and not any(
            profile.names_its_link and profile.fits(link, is_virtual=False)
            for profile in self.profiles
        ):
            name = f"{MARK}-{link.name}"
            self.placeholders[f"{ETC}/{name}{SUFFIX}"] = _placeholder(name, link.name)

    def _move_dns(self) -> None:
        """Add the public links' name servers after ServiceNet's."""
        for profile in self.servicenet:
            own = _name_servers([profile])
            added = missing_name_servers(own, _name_servers(self.public))
            if added:
                servers = "".join(f"{server};" for server in own + added)
                self._set(profile, "ipv4", "dns", servers)

    # Edits

    def _lines(self, profile: Profile) -> dict[str, list[str]]:
        return self._added.setdefault(profile.path, {})

    def _add(self, profile: Profile, section: str, line: str) -> None:
        _require_editable(profile)
        lines = self._lines(profile).setdefault(section, [])
        if not lines and not profile.has(section) and section in ("ipv4", "ipv6"):
            lines.append("method=auto")  # as without the section, which is invalid without a method
        lines.append(line)

    def _set(self, profile: Profile, section: str, key: str, value: str) -> None:
        for entry in profile.entries(section):
            if entry.key == key:
                self._put_out(profile, entry)
        self._add(profile, section, f"{key}={value}")

    def _put_out(self, profile: Profile, entry: Entry) -> None:
        _require_editable(profile)
        entry.put_out()

    def _insert(self, profile: Profile) -> None:
        """Add the lines after the name of the section; the last section of a name counts."""
        for name, lines in self._lines(profile).items():
            found = [section for section in profile.sections if section.name == name]
            if found:
                profile.document.insert_after(found[-1].line, lines)
            else:
                profile.document.append([f"[{name}]", *lines])


def _profile_of_its_own(shared: Profile, link: str) -> Profile:
    """A copy of a profile for one link, which NetworkManager prefers to the profile."""
    if shared.priority == MAX_PRIORITY:
        raise CannotPersist(
            f"{shared.path}: configures {link} and a public link, and no profile can have a higher"
            " autoconnect-priority; lower it"
        )
    path = f"{ETC}/{MARK}-{link}{SUFFIX}"
    text = "".join(shared.document.lines).encode("utf-8", "surrogateescape")
    copy = Profile(Document(path, text))
    for entry in copy.entries("connection", "match"):
        if entry.key in ("id", "uuid", "interface-name", "autoconnect-priority", "multi-connect"):
            entry.put_out()
    lines = [f"id={MARK}-{link}", f"interface-name={link}"]
    lines.append(f"autoconnect-priority={shared.priority + 1}")
    found = [section for section in copy.sections if section.name == "connection"]
    if found:
        copy.document.insert_after(found[-1].line, lines)
    else:
        copy.document.append(["[connection]", *lines])
    return Profile(Document(path, _without_marks(copy.document).split(b"\n", 1)[1]))


def _placeholder(name: str, link: str) -> list[str]:
    """The lines of a profile that leaves a link without anything, also if somebody activates it."""
    return [
        "[connection]", f"id={name}", "type=ethernet", f"interface-name={link}",
        "autoconnect=false", "[ipv4]", "method=disabled", "[ipv6]", "method=ignore",
    ]  # fmt: skip


def _require_editable(profile: Profile) -> None:
    if dirname(profile.path) != RUN:
        return
    if basename(profile.path).startswith("netplan-"):
        raise CannotPersist(f"{profile.path}: is netplan's; set 'persist' to 'netplan'")
    raise CannotPersist(
        f"{profile.path}: is written again at each boot; configure the link in {ETC} instead"
    )


def _name_servers(profiles: Iterable[Profile]) -> list[str]:
    """The IPv4 name servers of the profiles, each once."""
    words = [word for one in profiles for word in (one.get("ipv4", "dns") or "").split(";")]
    return [word for word in dict.fromkeys(map(str.strip, words)) if word]


def _check(after: Tree, target: Target) -> None:
    """Check that ours is the only default route that wins."""
    profiles = _load_as_is(after).profiles
    ours = [one.path for one in first_choices(profiles, target.servicenet)]
    for default in (default for one in profiles for default in _defaults(one)):
        is_ours = default.path in ours and default.gateway == target.gateway
        if default.metric <= METRIC and not (is_ours and default.metric == METRIC):
            raise CannotPersist(
                f"{default.path}: {default.link} would still have a default route of metric"
                f" {default.metric}; remove it"
            )
