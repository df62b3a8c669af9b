"""pyroute2's message classes: loaded alone, and whole where that does not work."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOAD = """
import sys
{before}
from rcnetd.netlink import pyroute2, socket
print(socket.body(pyroute2.ndmsg, family=2, ifindex=7, state=16).hex())
print("asyncio" in sys.modules, sum(name.startswith("pyroute2") for name in sys.modules) > 50)
"""
WRITTEN = "020000000700000010000000"
BROKEN = """
class Finder:
    failed = False
    def find_spec(self, name, *_):
        if name == "pyroute2.netlink" and not Finder.failed:
            Finder.failed = True
            raise ImportError("not without the package")
sys.meta_path.insert(0, Finder())
"""


def python(script: str) -> list[str]:
    """The lines that a script prints in a Python of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], check=True, stdout=subprocess.PIPE
    )
    return done.stdout.decode().splitlines()


def test_alone() -> None:
    """Neither the package's initialization nor what it loads."""
    assert python(LOAD.format(before="")) == [WRITTEN, "False False"]


@pytest.mark.parametrize(
    "before",
    [
        pytest.param("import pyroute2", id="it is there already"),
        pytest.param(BROKEN, id="it does not come apart"),
        pytest.param(
            "from importlib.machinery import PathFinder as P; import importlib.util as u;"
            " s = u.find_spec('pyroute2'); f = P.find_spec;"
            " P.find_spec = lambda name, path=None, target=None:"
            " None if name == 'pyroute2' else f(name, path, target);"
            " sys.meta_path.append(type('F', (), {'find_spec':"
            " staticmethod(lambda name, *_: s if name == 'pyroute2' else None)}))",
            id="it is not on the path",
        ),
    ],
)
def test_whole(before: str) -> None:
    """Then it is slow, and works."""
    written, loaded = python(LOAD.format(before=before))
    assert written == WRITTEN
    assert loaded.endswith("True")


def test_others_get_the_whole_one() -> None:
    """What was left out for us is there for who asks."""
    asks = "from pyroute2 import IPRoute; print(IPRoute.__name__)"
    assert python(LOAD.format(before="") + asks)[-1] == "IPRoute"
