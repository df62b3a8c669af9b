"""NetworkManager's keyfiles: one profile a file (nm-settings-keyfile(5)).

There are no drop-ins for them, so all that is ours is a marked edit of the profile. NetworkManager
ignores a keyfile that others than root may read. It gives a link, of the profiles that fit, the one
with the highest `autoconnect-priority`; which of equal ones is its own affair, and refused here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from ipaddress import IPv4Address
from posixpath import basename, dirname

from rcnetd.basic.dataclass import dataclass, field
from rcnetd.core.model import METRIC
from rcnetd.core.settings import PublicInterface, PublicIPv6
from rcnetd.hostconfig.renderers.ini_edits import Entry, Section, sections
from rcnetd.hostconfig.renderers.marked_edits import Document, applied, changes, documents
from rcnetd.hostconfig.renderers.model import (
    CannotPersist,
    Change,
    Changes,
    DefaultRoute,
    HostLink,
    Target,
    Tree,
)

ETC = "/etc/NetworkManager/system-connections"
DIRECTORIES = (
    ETC, "/run/NetworkManager/system-connections", "/usr/lib/NetworkManager/system-connections"
)  # fmt: skip
PATTERNS = tuple(f"{directory}/*" for directory in DIRECTORIES)
MODE = 0o600
LOSING = 1024  # the metric of a profile whose default route by DHCP would win
DEVICE_METRIC = 100  # NetworkManager's for ethernet, where nothing is said
# What its keyfile reader takes for a backup, or for something else of an editor's.
IGNORED = re.compile(r"^\.|(~|\.(bak|orig|rej|rpmnew|rpmsave|swp|pem|der))$|^mkstemp\.")
_TYPES = ("ethernet", "802-3-ethernet", "vlan", "bond", "bridge", "team", "infiniband")
_ETHERNET = ("ethernet", "802-3-ethernet")
_TRUE = ("true", "1", "yes")
_FALSE = ("false", "0", "no")
_DEFAULT4, _DEFAULT6 = ("0.0.0.0/0", "0.0.0.0"), ("::/0", "::")
_ROUTE = re.compile(r"routes?[0-9]*")
_ADDRESS = re.compile(r"address(es)?[0-9]*")


@dataclass
class Profile:
    """A keyfile."""

    document: Document
    sections: list[Section]

    @property
    def path(self) -> str:
        """Where it is."""
        return self.document.path

    def entries(self, *names: str) -> Iterator[Entry]:
        """All entries of the sections with these names."""
        for section in self.sections:
            if section.name in names:
                yield from section.entries

    def get(self, section: str | tuple[str, ...], key: str) -> str | None:
        """The value of a key, of several the last; None where there is none."""
        names = section if isinstance(section, tuple) else (section,)
        found = [entry.value for entry in self.entries(*names) if entry.key == key]
        return found[-1] if found else None

    def is_true(self, section: str, key: str) -> bool:
        """Whether a switch is on."""
        return (self.get(section, key) or "").lower() in _TRUE

    @property
    def connects(self) -> bool:
        """Whether it comes up by itself."""
        if self.get("connection", "type") not in _TYPES:
            return False
        return (self.get("connection", "autoconnect") or "true").lower() not in _FALSE

    @property
    def priority(self) -> int:
        """`autoconnect-priority`, 0 where it is not said."""
        text = self.get("connection", "autoconnect-priority") or "0"
        return int(text) if re.fullmatch(r"-?[0-9]{1,4}", text) else 0

    @property
    def link(self) -> str:
        """How its link is named."""
        mac = self.get(_ETHERNET, "mac-address")
        name = self.get("connection", "interface-name") or self.get("match", "interface-name")
        return name or (mac or basename(self.path)).lower()

    @property
    def names_its_link(self) -> bool:
        """Whether it is for no other link."""
        mac = self.get(_ETHERNET, "mac-address")
        return bool(mac or self.get("connection", "interface-name"))

    def fits(self, nic: HostLink) -> bool:
        """Whether it is for this link."""
        name, mac = self.get("connection", "interface-name"), self.get(_ETHERNET, "mac-address")
        if mac and mac.lower() != nic.mac:
            return False
        if name:
            return name == nic.name
        pattern = self.get("match", "interface-name")
        if pattern:
            return any(fnmatchcase(nic.name, word) for word in re.split(r"[ ;]+", pattern) if word)
        return bool(mac) or self.get("connection", "type") in _ETHERNET

    @property
    def metric(self) -> int:
        """The metric of its default routes that have none of their own."""
        text = self.get("ipv4", "route-metric") or "-1"
        return int(text) if text.isascii() and text.isdecimal() else DEVICE_METRIC

    def gateways(self, section: str) -> Iterator[tuple[Entry, str]]:
        """Its gateways: by `gateway`, and behind an address (`address1=192.0.2.2/24,192.0.2.1`)."""
        for entry in self.entries(section):
            if entry.key == "gateway" and entry.value:
                yield entry, entry.value
            elif _ADDRESS.fullmatch(entry.key):
                for part in entry.value.split(";"):
                    words = [word.strip() for word in part.split(",")]
                    if len(words) > 1 and words[1] not in ("", "0.0.0.0", "::"):
                        yield entry, words[1]

    def default_routes(self, section: str) -> Iterator[tuple[Entry, list[str]]]:
        """Its routes that are default ones: destination, gateway, metric (as far as they are)."""
        wanted = _DEFAULT4 if section == "ipv4" else _DEFAULT6
        for entry in self.entries(section):
            if not _ROUTE.fullmatch(entry.key):
                continue
            words = [word.strip() for word in entry.value.rstrip(";").split(",")]
            table = self.get(section, f"{entry.key}_options") or ""
            if words[0] in wanted and not re.search(r"table=(?!254\b)", table):
                yield entry, words


def read(found: Mapping[str, Document]) -> list[Profile]:
    """The profiles in effect; a file in /etc hides one of the same name elsewhere."""
    by_name: dict[str, Document] = {}
    for directory in reversed(DIRECTORIES):
        for path in sorted(found):
            if dirname(path) == directory and not IGNORED.search(basename(path)):
                by_name[basename(path)] = found[path]
    return [
        Profile(document, sections(document, continues=False))
        for _, document in sorted(by_name.items())
    ]


def profile_of(profiles: list[Profile], nic: HostLink) -> Profile | None:
    """The profile that brings a link up at boot."""
    fitting = [one for one in profiles if one.connects and one.fits(nic)]
    fitting.sort(key=lambda one: -one.priority)
    if len(fitting) > 1 and fitting[0].priority == fitting[1].priority:
        raise CannotPersist(
            f"{fitting[0].path}: '{fitting[1].path}' is for {nic.name} too; give one a higher"
            " autoconnect-priority"
        )
    return fitting[0] if fitting else None


def render(tree: Tree, target: Target) -> Changes:
    """The changes that make NetworkManager come up as *target* says."""
    kept = documents(tree)
    rendering = _Rendering(read(kept), target)
    rendering.run()
    made = {path: Change(change.data, MODE) for path, change in changes(tree, kept, {}).items()}
    _check(tree, made, target)
    return made


def read_defaults(tree: Tree) -> list[DefaultRoute]:
    """The IPv4 default routes of all profiles that come up by themselves."""
    found = read({path: Document(path, file.data, as_is=True) for path, file in tree.items()})
    return [default for one in found for default in _defaults(one)]


def _defaults(profile: Profile) -> Iterator[DefaultRoute]:
    if not profile.connects or profile.get("ipv4", "method") in ("disabled", "link-local"):
        return
    link, path = profile.link, profile.path
    if not profile.is_true("ipv4", "never-default"):
        for entry, text in profile.gateways("ipv4"):
            yield DefaultRoute(link, _address(entry, text), profile.metric, path)
        if profile.get("ipv4", "method") == "auto":
            yield DefaultRoute(link, None, profile.metric, path)
    for entry, words in profile.default_routes("ipv4"):
        gateway = _address(entry, words[1]) if len(words) > 1 and words[1] else None
        metric = words[2] if len(words) > 2 and words[2] else str(profile.metric)
        if not (metric.isascii() and metric.isdecimal()):
            raise CannotPersist(f"{entry.where}: '{metric}' is not a metric")
        yield DefaultRoute(link, gateway, int(metric), path)


def _address(entry: Entry, text: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except ValueError:
        raise CannotPersist(f"{entry.where}: '{text}' is not an address") from None


@dataclass
class _Rendering:
    """The edits for one wish."""

    profiles: list[Profile]
    target: Target
    added: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def run(self) -> None:
        target = self.target
        servicenet = profile_of(self.profiles, target.servicenet)
        if servicenet is None:
            raise CannotPersist(
                f"{ETC}: no profile brings {target.servicenet.name} up; it needs one that does"
            )
        public = [one for nic in target.public for one in [profile_of(self.profiles, nic)] if one]
        for one in public:
            if one is servicenet:
                raise CannotPersist(
                    f"{one.path}: is for {target.servicenet.name} and a public interface; give each"
                    " its own profile"
                )
        self._clean(servicenet)
        if servicenet.get("ipv4", "method") == "auto" and servicenet.metric <= METRIC:
            # Not never-default: that might be taken to mean our route too.
            self._set(servicenet, "ipv4", "route-metric", str(LOSING))
        if target.policy is PublicInterface.DOWN:
            self._move_dns(public, servicenet)
            for nic in target.public:
                self._keep_down(nic)
        else:
            for one in public:
                self._public(one)
        self._route(servicenet, f"0.0.0.0/0,{target.gateway},{METRIC}", onlink=target.onlink)
        for profile in self.profiles:
            self._insert(profile)

    def _clean(self, profile: Profile) -> list[IPv4Address]:
        """Have its IPv4 defaults go, but by DHCP; returns their gateways."""
        gateways = [_address(entry, text) for entry, text in profile.gateways("ipv4")]
        self._clean_gateways(profile, "ipv4")
        for entry, words in profile.default_routes("ipv4"):
            gateways += [_address(entry, words[1])] if len(words) > 1 and words[1] else []
            self._put_out_route(profile, entry)
        return gateways

    def _clean_gateways(self, profile: Profile, section: str) -> None:
        for entry in dict.fromkeys(entry for entry, _ in profile.gateways(section)):
            _editable(entry).put_out()
            if entry.key != "gateway":
                parts = [part for part in entry.value.split(";") if part.strip()]
                value = ";".join(part.split(",")[0].strip() for part in parts)
                self._add(profile, section, f"{entry.key}={value}")

    def _put_out_route(self, profile: Profile, entry: Entry) -> None:
        _editable(entry).put_out()
        for other in profile.entries("ipv4", "ipv6"):
            if other.key == f"{entry.key}_options" and other.document is entry.document:
                other.put_out()

    def _public(self, profile: Profile) -> None:
        """It stays up, without a default route."""
        gateways = self._clean(profile)
        self._set(profile, "ipv4", "never-default", "true")
        if self.target.public_ipv6 is PublicIPv6.NO_DEFAULT:
            self._clean_gateways(profile, "ipv6")
            for entry, _ in profile.default_routes("ipv6"):
                self._put_out_route(profile, entry)
            self._set(profile, "ipv6", "never-default", "true")
        for network in self.target.public_routes:
            if not gateways:
                raise CannotPersist(
                    f"{profile.path}: public_routes need the public link's old gateway, and there"
                    " is none; add the routes to it"
                )
            self._route(profile, f"{network},{gateways[0]}")

    def _keep_down(self, nic: HostLink) -> None:
        """No profile brings it up; also not the next best."""
        for one in self.profiles:
            if not one.connects or not one.fits(nic):
                continue
            if not one.names_its_link:
                raise CannotPersist(
                    f"{one.path}: would bring {nic.name} up, and others; name its interface"
                )
            self._set(one, "connection", "autoconnect", "false")

    def _move_dns(self, public: list[Profile], servicenet: Profile) -> None:
        """Have the public links' name servers behind ServiceNet's."""
        mine = _name_servers([servicenet])
        added = [server for server in _name_servers(public) if server not in mine]
        if added:
            self._set(servicenet, "ipv4", "dns", "".join(f"{server};" for server in mine + added))

    def _route(self, profile: Profile, value: str, *, onlink: bool = False) -> None:
        """A route under a key that is free: of equal keys only the last would count."""
        taken = [entry.key for entry in profile.entries("ipv4")]
        taken += [line.partition("=")[0] for line in self._added(profile).get("ipv4", [])]
        key = next(
            name for number in range(1, 1000) for name in [f"route{number}"] if name not in taken
        )
        self._add(profile, "ipv4", f"{key}={value}")
        if onlink:
            self._add(profile, "ipv4", f"{key}_options=onlink=true")

    def _set(self, profile: Profile, section: str, key: str, value: str) -> None:
        for entry in profile.entries(section):
            if entry.key == key:
                _editable(entry).put_out()
        self._add(profile, section, f"{key}={value}")

    def _added(self, profile: Profile) -> dict[str, list[str]]:
        return self.added.setdefault(profile.path, {})

    def _add(self, profile: Profile, section: str, line: str) -> None:
        self._added(profile).setdefault(section, []).append(line)

    def _insert(self, profile: Profile) -> None:
        for name, lines in self._added(profile).items():
            if not profile.path.startswith(f"{ETC}/"):
                what = "netplan's" if "/netplan-" in profile.path else "made anew at each boot"
                raise CannotPersist(f"{profile.path}: is {what}; it cannot be changed there")
            found = [section for section in profile.sections if section.name == name]
            if found:
                profile.document.insert_after(found[-1].line, lines)
            else:
                profile.document.append([f"[{name}]", *lines])


def _editable(entry: Entry) -> Entry:
    if not entry.document.path.startswith(f"{ETC}/"):
        raise CannotPersist(f"{entry.where}: is not in {ETC}; it cannot be changed there")
    return entry


def _name_servers(profiles: list[Profile]) -> list[str]:
    """The IPv4 name servers, each once."""
    words = [
        word.strip() for one in profiles for word in re.split(r"[;,]", one.get("ipv4", "dns") or "")
    ]
    return [word for word in dict.fromkeys(words) if word]


def _check(tree: Tree, made: Changes, target: Target) -> None:
    """Read what was made: exactly one winning default, ours."""
    after = applied(tree, made)
    profiles = read({path: Document(path, file.data, as_is=True) for path, file in after.items()})
    servicenet = profile_of(profiles, target.servicenet)
    for one in profiles:
        for default in _defaults(one):
            ours = one is servicenet and default.gateway == target.gateway
            if default.metric <= METRIC and not (ours and default.metric == METRIC):
                raise CannotPersist(
                    f"{default.path}: {default.link} would have a default route of metric"
                    f" {default.metric} still; remove it"
                )
