"""[Match] of networkd's files: which links a file is for (systemd.network(5))."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from rcnetd.basic.dataclass import dataclass
from rcnetd.hostconfig.renderers.ini_edits import Entry
from rcnetd.hostconfig.renderers.model import CannotPersist, HostLink
from rcnetd.hostconfig.renderers.rendering import VIRTUAL_KINDS

# What this process cannot see: only networkd can tell whether it fits.
CONDITIONS = (
    "Architecture", "BSSID", "Credential", "Driver", "Firmware", "Host", "KernelCommandLine",
    "KernelVersion", "Path", "Property", "SSID", "Version", "Virtualization", "WLANInterfaceType",
)  # fmt: skip
NAMES = ("Name", "OriginalName")
MACS = ("MACAddress", "PermanentMACAddress")
KEYS = (*NAMES, *MACS, "Type", "Kind", *CONDITIONS)


@dataclass(frozen=True)
class Match:
    """The assignments in [Match], by key: all of these conditions must hold."""

    entries: Mapping[str, Sequence[Entry]]

    @property
    def is_empty(self) -> bool:
        """Whether networkd ignores the whole file: it has no valid condition."""
        return not any(self._words(key) for key in self.entries)

    @property
    def first(self) -> str | None:
        """The first name, or else the first MAC address; None if there is neither."""
        return next((word for key in (*NAMES, *MACS) for word in self._words(key)), None)

    @property
    def is_for_one_link(self) -> bool:
        """Whether it names one link and no more."""
        names = [word for key in NAMES for word in self._words(key)]
        macs = [word for key in MACS for word in self._words(key)]
        if len(names) == 1 and not any(char in names[0] for char in "*?[!"):
            return True
        return len(macs) == 1

    def fits(self, link: HostLink) -> bool:
        """Whether this file may configure *link*: what cannot be seen is taken to match."""
        if not all(_fits_patterns(self._words(key), link.name) for key in NAMES):
            return False
        if not _fits_patterns(self._words("Type"), _device_type(link)):
            return False
        if not _fits_patterns(self._words("Kind"), link.kind or ""):
            return False
        for key in MACS:
            macs = self._words(key)
            virtual = key == "PermanentMACAddress" and link.kind in VIRTUAL_KINDS
            if macs and (virtual or link.mac not in macs):
                return False
        return True

    def require_no_condition(self, link: HostLink) -> None:
        """Refuse a file of which only networkd can tell whether it configures *link*."""
        for key in CONDITIONS:
            for entry in self.entries.get(key, ()):
                raise CannotPersist(
                    f"{entry.where}: only networkd can tell whether '{key}=' matches {link.name};"
                    " match by Name= or MACAddress= instead"
                )

    def _words(self, key: str) -> list[str]:
        """Return the words of a key. A `!` before the first word of a line is for all of it."""
        words: list[str] = []
        for entry in self.entries.get(key, ()):
            if key in MACS:
                words += _macs(entry)
                continue
            inverted = "!" if entry.value.startswith("!") else ""
            words += [inverted + word for word in entry.value.removeprefix("!").split()]
        return words


def _fits_patterns(words: Sequence[str], text: str) -> bool:
    """Whether one of the patterns fits and no inverted one does; all fit where none is given."""
    if any(word[0] == "!" and fnmatchcase(text, word[1:]) for word in words):
        return False
    positive = [word for word in words if word[0] != "!"]
    return not positive or any(fnmatchcase(text, word) for word in positive)


def _device_type(link: HostLink) -> str:
    """udev's DEVTYPE where a kind of links has one, as networkd compares it with Type=."""
    return link.kind if link.kind in ("bond", "bridge", "vlan", "vxlan", "wireguard") else "ether"


def _macs(entry: Entry) -> list[str]:
    """Return the valid MAC addresses of a list, which may have colons, hyphens or dots."""
    found = []
    for word in entry.value.split():
        groups, width = word.lower().replace("-", ":").split(":"), 2
        if len(groups) == 1:
            groups, width = word.lower().split("."), 4
        digits = "".join(group.zfill(width) for group in groups)
        if len(digits) == 12 and all(char in "0123456789abcdef" for char in digits):
            found.append(":".join(digits[at : at + 2] for at in range(0, 12, 2)))
    return found
