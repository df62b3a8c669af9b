"""Which keyfiles NetworkManager loads, and which profile brings a link up.

As nms-keyfile-plugin.c has it (NetworkManager 1.42 to 1.58):

- In /etc every name counts, also `eth0.nmconnection.bak`, except hidden files, `*~`, mkstemp's
  `*.XXXXXX`, `*.pem` and `*.der`. In /run and /usr/lib only `*.nmconnection` counts.
- NetworkManager ignores a file that does not belong to root or that others may access, a file with
  a line that is not a section, a key or a comment, and a profile that is not valid.
- Profiles are told apart by UUID, not by name. /run comes before /etc, /etc before /usr/lib; within
  a directory the newest file counts. `UUID.nmmeta`, a link to /dev/null, hides a profile.
- NetworkManager.conf may give all profiles another metric (`[connection] ipv4.route-metric=`).
- Of the profiles that fit a link, the highest `autoconnect-priority` wins; of equal ones, the one
  that was active last, which no file in /etc says.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from posixpath import basename, dirname

from rcnetd.basic.dataclass import dataclass
from rcnetd.hostconfig.renderers.ini_edits import Malformed, sections
from rcnetd.hostconfig.renderers.keyfile_profile import DEVICE_METRIC, ETC, Profile
from rcnetd.hostconfig.renderers.marked_edits import Document
from rcnetd.hostconfig.renderers.model import File, HostLink, Tree
from rcnetd.hostconfig.renderers.rendering import VIRTUAL_KINDS

RUN = "/run/NetworkManager/system-connections"
LIB = "/usr/lib/NetworkManager/system-connections"
DIRECTORIES = (RUN, ETC, LIB)  # the first that has a profile wins
CONFIGURATION = (
    "/etc/NetworkManager/NetworkManager.conf",
    *(f"{top}/NetworkManager/conf.d/*.conf" for top in ("/etc", "/run", "/usr/lib")),
)
SUFFIX = ".nmconnection"
_TOMBSTONE = ".nmmeta"
_IGNORED = re.compile(r"^\.|~$|\.[A-Za-z0-9]{6}$|.\.(?i:pem|der)$")


@dataclass(frozen=True)
class Loaded:
    """The profiles that NetworkManager loads, and why it ignores the other files."""

    profiles: list[Profile]
    ignored: list[str]


def is_read(path: str) -> bool:
    """Whether NetworkManager looks into a file of this name."""
    name = basename(path)
    if dirname(path) not in DIRECTORIES:
        return any(fnmatchcase(path, pattern) for pattern in CONFIGURATION)
    if name.endswith(_TOMBSTONE):
        return dirname(path) != LIB and not name.startswith(".")
    if dirname(path) == ETC:
        return not _IGNORED.search(name)
    return name.endswith(SUFFIX) and not name.startswith(".")


def load(tree: Tree, documents: Mapping[str, Document]) -> Loaded:
    """The profiles that NetworkManager loads from *documents*, the files of *tree*."""
    found: dict[str, list[tuple[str, Profile | None]]] = {}
    ignored = []
    metric = _default_metric(documents)
    for path in sorted(documents):
        if dirname(path) not in DIRECTORIES or not is_read(path):
            continue
        if path.endswith(_TOMBSTONE):
            if not tree[path].data:
                found.setdefault(basename(path).removesuffix(_TOMBSTONE), []).append((path, None))
            continue
        profile, objection = _read(documents[path], tree[path], metric)
        if profile:
            found.setdefault(profile.uuid, []).append((path, profile))
        else:
            ignored.append(f"NetworkManager ignores '{path}': {objection}")
    winners = [max(rivals, key=lambda rival: _rank(*rival, tree)) for rivals in found.values()]
    return Loaded([profile for _, profile in sorted(winners, key=_path) if profile], ignored)


def _read(document: Document, file: File, metric: int) -> tuple[Profile | None, str | None]:
    """The profile, or why NetworkManager ignores the file."""
    if file.uid != 0:
        return None, "it does not belong to root"
    if file.mode & 0o077:
        return None, "others than root may access it (chmod 600)"
    try:
        profile = Profile(document, metric)
    except Malformed as error:
        return None, str(error)
    return (None, profile.objection) if profile.objection else (profile, None)


def _default_metric(documents: Mapping[str, Document]) -> int:
    """The lowest metric that a `[connection…]` section may give to a profile without one."""
    values = [DEVICE_METRIC]
    for path, document in documents.items():
        if dirname(path) in DIRECTORIES or not is_read(path):
            continue
        with contextlib.suppress(Malformed):
            for section in sections(document, continues=False):
                value = section.get("ipv4.route-metric") or ""
                if section.name.startswith("connection") and re.fullmatch(
                    "[0-9]{1,10}", value.strip()
                ):
                    values.append(int(value))
    return min(values)


def _rank(path: str, profile: Profile | None, tree: Tree) -> tuple[int, bool, int, str]:
    """Of files with one UUID the one with the highest rank counts."""
    return -DIRECTORIES.index(dirname(path)), profile is None, tree[path].mtime_ns, path


def _path(item: tuple[str, Profile | None]) -> str:
    return item[0]


def candidates(profiles: list[Profile], link: HostLink) -> list[Profile]:
    """All profiles that may bring a link up at boot; the next one if one fails."""
    named = [profile for profile in profiles if profile.interface_name == link.name]
    is_virtual = link.kind in VIRTUAL_KINDS or any(one.is_virtual for one in named)
    return [
        profile
        for profile in profiles
        if profile.connects and profile.fits(link, is_virtual=is_virtual)
    ]


def first_choices(profiles: list[Profile], link: HostLink) -> list[Profile]:
    """The profiles of which NetworkManager tries one first."""
    found = candidates(profiles, link)
    highest = max((profile.priority for profile in found), default=0)
    return [profile for profile in found if profile.priority == highest]
