"""The renderers by the names that the setting `persist` gives them; each is loaded when needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

from rcnetd.basic.dataclass import dataclass
from rcnetd.core.settings import Backend
from rcnetd.hostconfig.renderers.model import Changes, DefaultRoute, HostLink, Target, Tree


@dataclass(frozen=True)
class Renderer:
    """A renderer: its functions, and the files that it reads.

    These match *patterns*. *is_read*, if there is one, rejects those that the backend ignores
    because of their names. *read_defaults_of* is None where all files are in effect for the links
    that they name.
    """

    persist: Backend
    patterns: tuple[str, ...]
    render: Callable[[Tree, Target], Changes]
    read_defaults: Callable[[Tree], list[DefaultRoute]]
    is_read: Callable[[str], bool] | None = None
    read_defaults_of: Callable[[Tree, Sequence[HostLink]], list[DefaultRoute]] | None = None

    def defaults(self, tree: Tree, links: Sequence[HostLink]) -> list[DefaultRoute]:
        """Return the default routes that *links* get, and those for links that are not there."""
        if self.read_defaults_of is None:
            return self.read_defaults(tree)
        return self.read_defaults_of(tree, links)


def renderer(persist: Backend) -> Renderer:
    """Load the renderer for a kind of configuration."""
    name = persist.value.replace("-", "_")
    module = import_module(f"rcnetd.hostconfig.renderers.{name}")
    return Renderer(
        persist,
        module.PATTERNS,
        module.render,
        module.read_defaults,
        getattr(module, "is_read", None),
        getattr(module, "read_defaults_of", None),
    )
