"""The renderers by the names that the setting `persist` gives them; each is loaded when needed."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from rcnetd.basic.dataclass import dataclass
from rcnetd.core.settings import Backend
from rcnetd.hostconfig.renderers.model import Changes, DefaultRoute, Target, Tree


@dataclass(frozen=True)
class Renderer:
    """A renderer: its two functions, and the files that it reads.

    These match *patterns*. *is_read*, if there is one, rejects those that the backend ignores
    because of their names.
    """

    persist: Backend
    patterns: tuple[str, ...]
    render: Callable[[Tree, Target], Changes]
    read_defaults: Callable[[Tree], list[DefaultRoute]]
    is_read: Callable[[str], bool] | None = None


def renderer(persist: Backend) -> Renderer:
    """Load the renderer for a kind of configuration."""
    name = persist.value.replace("-", "_")
    module = import_module(f"rcnetd.hostconfig.renderers.{name}")
    is_read = getattr(module, "is_read", None)
    return Renderer(persist, module.PATTERNS, module.render, module.read_defaults, is_read)
