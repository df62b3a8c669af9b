"""pyroute2's message classes without the rest of pyroute2, which takes six times as long to load.

The rule: no package initialization is run that no class needs. `import pyroute2` loads sockets,
asyncio, ssl and sqlite3 (140 ms, 20 MB); these classes need none of it. They are loaded below an
empty package of that name, and are gone from `sys.modules` then: whoever imports pyroute2
afterwards gets the whole one. Where it does not come apart like that, it is imported whole.

The class for links is not among them: it comes with 17 modules about kinds of links (7 ms,
1.5 MB), for two bodies that `netlink` writes itself.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any


def load() -> tuple[Any, Any, Any]:
    """`ifaddrmsg`, `ndmsg` and `rtmsg`. Raises `ImportError` without pyroute2."""
    if "pyroute2" in sys.modules:
        return _classes()
    try:
        return _alone()
    except (ImportError, AttributeError):
        return _classes()


def _alone() -> tuple[Any, Any, Any]:
    spec = PathFinder.find_spec("pyroute2")
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError("pyroute2 is not where packages usually are")
    package = ModuleType("pyroute2")
    package.__path__ = spec.submodule_search_locations
    sys.modules["pyroute2"] = package
    try:
        return _classes()
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "pyroute2"]:
            del sys.modules[name]


def _classes() -> tuple[Any, Any, Any]:
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
    from pyroute2.netlink.rtnl.ndmsg import ndmsg
    from pyroute2.netlink.rtnl.rtmsg import rtmsg

    return ifaddrmsg, ndmsg, rtmsg


ifaddrmsg, ndmsg, rtmsg = load()
