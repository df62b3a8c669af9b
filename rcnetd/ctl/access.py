"""Whether another user could read a file, by its modes and those of the directories above it.

For `rcnetctl preflight`: rcnetd does not run as root, and in an image it does not run at all. Links
in the image mean what they will mean at boot.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from rcnetd.basic.chroot_files import Chroot, Location
from rcnetd.basic.dataclass import dataclass

NOBODY = 65534  # stands for a user that does not exist yet
MAX_STEPS = 200  # names and links on the way to one file
ACCESS_ACL = "system.posix_acl_access"


@dataclass(frozen=True)
class User:
    """A user's ids, as the image knows them."""

    uid: int = NOBODY
    groups: frozenset[int] = frozenset()

    @staticmethod
    def find(name: str, passwd: str, group: str) -> User:
        """Look *name* up in the text of /etc/passwd and /etc/group.

        A user that systemd-sysusers creates at the first boot owns no file yet: nobody stands for
        it.
        """
        for fields in (line.split(":") for line in passwd.splitlines()):
            if len(fields) > 3 and fields[0] == name:
                with suppress(ValueError):
                    groups = [line.split(":") for line in group.splitlines()]
                    more = [int(g[2]) for g in groups if len(g) > 3 and name in g[3].split(",")]
                    return User(int(fields[2]), frozenset([int(fields[3]), *more]))
        return User()

    def may(self, status: os.stat_result, needed: int) -> bool:
        """Whether this user has the rights *needed* (4 read, 1 search) by the mode of a file."""
        shift = 6 if status.st_uid == self.uid else 3 if status.st_gid in self.groups else 0
        return status.st_mode >> shift & needed == needed


@dataclass(frozen=True)
class Obstacle:
    """A file that a user cannot read, or a directory that it cannot pass or list."""

    path: str
    mode: int
    is_directory: bool = False


def obstacle(tree: Chroot, user: User, path: str) -> Obstacle | None:
    """Return what keeps *user* from reading *path* in *tree*; None if nothing does.

    What does not exist is no obstacle. Nor is the root itself: an image's is often built in a
    directory of mode 0700. Raises `OSError`.
    """
    here, names = "", path.split("/")  # `here` is free of links
    for _ in range(MAX_STEPS):
        while names and names[0] in ("", "."):
            del names[0]
        if not names:
            return None
        name = names.pop(0)
        if name == "..":
            here = here.rpartition("/")[0]
            continue
        try:
            with tree.locate(f"{here}/{name}", follow=False) as place:
                status = place.stat()
                target = place.readlink()
                has_acl = target is None and _has_acl(place)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if target is not None:
            here, names = "" if target.startswith("/") else here, [*target.split("/"), *names]
            continue
        is_directory = stat.S_ISDIR(status.st_mode)
        needed = (1 if any(names) else 5) if is_directory else 4
        here = f"{here}/{name}"
        if not user.may(status, needed) and not has_acl:
            return Obstacle(here, stat.S_IMODE(status.st_mode), is_directory)
    return None


def _has_acl(place: Location) -> bool:
    """Whether the mode does not tell everything."""
    path = f"/proc/self/fd/{place.directory}/{place.name}"
    with suppress(OSError):
        return ACCESS_ACL in os.listxattr(path, follow_symlinks=False)
    return False
