"""Routes in shell commands: `ip route add default via 192.0.2.1 || true`, `route add default …`.

Enough of ip-route(8) and route(8) to know a default route. A quoted script, and a default route
among other things, is said to be mixed: it cannot be put out of effect alone.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address
from posixpath import basename

from rcnetd.basic.dataclass import dataclass, replace

_ADDING = ("add", "replace", "append", "prepend", "change")
_DELETING = ("delete", "del")
_DEFAULTS_4 = ("default", "any", "all", "0", "0/0", "0.0.0.0", "0.0.0.0/0")
_DEFAULTS_6 = ("default", "any", "all", "::", "::/0")
_SEPARATORS = set(";&|()\n")
_HARMLESS = {"true", ":", "echo", "logger"}
_BEFORE = {"sudo", "exec", "if", "then", "else", "do", "!", "{"}
_METRIC = ("metric", "priority", "preference")


@dataclass(frozen=True)
class CommandRoute:
    """A default route of table main that a command adds, or deletes."""

    adds: bool
    version: int = 4
    gateway: IPv4Address | None = None
    metric: int = 0
    link: str | None = None
    mixed: bool = False


def default_routes(command: str) -> list[CommandRoute]:
    """The default routes in a shell command; [] for one that has nothing to do with them."""
    simple = list(_split(command))
    found = [route for words in simple for route in _of(words)]
    others = [words for words in simple if words[0] not in _HARMLESS and not _of(words)]
    return [replace(route, mixed=route.mixed or bool(others)) for route in found]


def _split(command: str) -> Iterator[list[str]]:
    """The simple commands, without assignments and redirections."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.commenters = ""
    lexer.whitespace_split = True
    words: list[str] = []
    skipping = False
    try:
        tokens = [*lexer, ";"]
    except ValueError:  # not closed: no shell runs that either
        return
    for token in tokens:
        if set(token) <= _SEPARATORS:
            if words:
                yield words
            words = []
        elif set(token) <= set("<>&"):
            skipping = True
            if words and words[-1] in ("1", "2"):
                words.pop()
        elif skipping:
            skipping = False
        elif words or "=" not in token:
            words.append(token)


def _of(words: Sequence[str]) -> list[CommandRoute]:
    program, arguments = basename(words[0]), list(words[1:])
    if program in _BEFORE:
        return _of(arguments) if arguments else []
    found: CommandRoute | None = None
    if program == "ip":
        found = _ip(arguments)
    elif program == "route":
        found = _route(arguments)
    elif any(" " in word for word in arguments):
        scripts = [route for word in arguments if " " in word for route in default_routes(word)]
        return [replace(route, mixed=True) for route in scripts]
    return [found] if found else []


def _ip(words: list[str]) -> CommandRoute | None:
    version = 4
    while words and words[0].startswith("-"):
        option = words.pop(0).lstrip("-")
        if option in ("6", "f", "family"):
            version = 6 if option == "6" or words[:1] == ["inet6"] else 4
            del words[: option != "6"]
    if len(words) < 2 or not "route".startswith(words[0]):
        return None
    adds = _verb(words[1])
    rest = [word for word in words[2:] if word not in ("to", "unicast", "exact")]
    target = rest.pop(0) if rest else ""
    if ":" in target:
        version = 6
    if adds is None or target not in (_DEFAULTS_6 if version == 6 else _DEFAULTS_4):
        return None
    values = dict(zip(rest, rest[1:]))
    if values.get("table", "main") not in ("main", "254"):
        return None
    return CommandRoute(
        adds, version, _address(values.get("via")), _metric(values), values.get("dev")
    )


def _verb(word: str) -> bool | None:
    """Whether it adds; None for what neither adds nor deletes. `ip` takes any beginning."""
    if any(verb.startswith(word) for verb in _ADDING):
        return True
    return False if any(verb.startswith(word) for verb in _DELETING) else None


def _route(words: list[str]) -> CommandRoute | None:
    version = 4
    if words[:1] in (["-A"], ["--inet6"], ["-6"]):
        version = 6 if words[0] != "-A" or words[1:2] == ["inet6"] else 4
        del words[: 2 if words[0] == "-A" else 1]
    if not words or words[0] not in ("add", "del"):
        return None
    rest = [word for word in words[1:] if word != "-net"]
    target = rest.pop(0) if rest else ""
    values = dict(zip(rest, rest[1:]))
    netmask = values.get("netmask", "0.0.0.0")
    if target not in (_DEFAULTS_6 if version == 6 else _DEFAULTS_4) or netmask != "0.0.0.0":
        return None
    return CommandRoute(
        words[0] == "add", version, _address(values.get("gw")), _metric(values), values.get("dev")
    )


def _address(text: str | None) -> IPv4Address | None:
    with contextlib.suppress(ValueError):
        return IPv4Address(text) if text else None
    return None


def _metric(values: dict[str, str]) -> int:
    text = next((values[key] for key in _METRIC if key in values), "0")
    return int(text) if text.isdecimal() and text.isascii() else 0
