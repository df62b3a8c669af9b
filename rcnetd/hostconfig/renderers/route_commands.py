"""Default routes in shell commands: `ip route add default via 192.0.2.1 || true`, `route add …`.

A command line may contain other commands as well. The command that sets the default route can be
taken out of it, unless it is part of a quoted script or of a substitution: then only a shell can
tell what it does. Scripts that a line merely calls are not looked at.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from posixpath import basename

from rcnetd.basic.dataclass import dataclass, field, replace
from rcnetd.hostconfig.renderers.route_arguments import (
    DefaultArguments,
    has_destination,
    ip_default,
    route_default,
)

_ADDING = ("add", "change", "chg", "replace", "prepend", "append")
# iproute2 compares in this order, and any beginning of a verb will do.
_VERBS = ("list", "show", "lst", "get", *_ADDING, "test", "delete", "flush", "save", "restore")
_HARMLESS = {"", "true", ":", "echo", "logger", "[", "test", "sleep", "exit", "fi", "}"}
_KEYWORDS = {"if", "then", "elif", "else", "while", "until", "do", "{", "time"}
_WRAPPERS = {"sudo", "exec", "command", "env", "nice", "nohup", "timeout", "busybox", "!"}
_PROGRAMS = {"ip", "route"}
DHCP_CLIENTS = {"dhclient", "dhcpcd", "udhcpc", "pump"}
_RELEASING = {"-r", "-x", "-k", "--release", "--exit"}
_TOKEN = re.compile(
    r"""[ \t]*(?:
        (?P<comment>\#[^\n]*) |
        (?P<end>[;&|()\n]+) |
        (?P<redirection>[0-9]*(?:>>|<<|[<>])&?[ \t]*) |
        (?P<word>(?:\\.|'[^']*'|"(?:\\.|[^"\\])*"|[^\s;&|()<>'"\\])+) |
        (?P<other>.)
    )""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class CommandRoute:
    """A default route that a command adds or deletes.

    *flushes*: it deletes all that match, not only the first. *span* is the part of the line that
    does so; None if it cannot be taken out of the line.
    """

    adds: bool
    route: DefaultArguments = DefaultArguments()
    flushes: bool = False
    program: str = field(compare=False, default="")
    span: tuple[int, int] | None = field(compare=False, default=None)


@dataclass(frozen=True)
class _Simple:
    """A simple command of a line: its words, without keywords, assignments and redirections."""

    words: list[str]
    start: int
    end: int


def default_routes(line: str) -> list[CommandRoute]:
    """Find the default routes that a command line adds or deletes."""
    return [route for simple in _commands(line) for route in _routes_of(simple, line)]


def without_routes(line: str, routes: Sequence[CommandRoute]) -> str:
    """Replace the commands of *routes* by `true`; "" if no other command does anything."""
    spans = [route.span for route in routes if route.span]
    others = [simple for simple in _commands(line) if (simple.start, simple.end) not in spans]
    if all(basename(simple.words[0]) in _HARMLESS for simple in others):
        return ""
    for start, end in sorted(spans, reverse=True):
        line = f"{line[:start]}true{line[end:]}"
    return line


def _commands(line: str) -> Iterator[_Simple]:
    """Split a line; yields nothing for one that no shell would run."""
    found: list[_Simple] = []
    words: list[str] = []
    start = end = 0
    is_target = False
    for token in _TOKEN.finditer(f"{line}\n"):
        text = token.group(token.lastgroup or 0)
        if token.lastgroup == "other" and not text.isspace():
            return
        if token.lastgroup == "end":
            if words:
                found.append(_Simple(words, start, end))
            words = []
        elif token.lastgroup == "redirection":
            is_target = True
        elif token.lastgroup == "word" and is_target:
            is_target = False
        elif token.lastgroup == "word" and not _is_prefix(words, text):
            if not words:
                start = token.start("word")
            words.append(_unquoted(text))
            end = token.end()
    yield from found


def _is_prefix(words: Sequence[str], text: str) -> bool:
    """Whether a word before the command is a keyword or an assignment."""
    return not words and (text in _KEYWORDS or bool(re.match(r"[A-Za-z_]\w*=", text)))


def _unquoted(text: str) -> str:
    return "".join(shlex.split(text))


def _routes_of(simple: _Simple, line: str) -> Iterator[CommandRoute]:
    words = _unwrapped(simple.words)
    program, arguments = basename(words[0]), words[1:]
    parse = {"ip": _ip, "route": _route}.get(program)
    if parse and (found := parse(arguments)):
        verb, route = found
        removable = line[simple.end : simple.end + 1] != "(" and "`" not in line
        span = (simple.start, simple.end) if removable else None
        yield CommandRoute(verb in _ADDING, route, verb == "flush", program, span)
    elif program in DHCP_CLIENTS and not _RELEASING & set(arguments):
        yield CommandRoute(True, DefaultArguments(6 if "-6" in arguments else 4), program=program)
    elif program not in _PROGRAMS | _HARMLESS:
        for script in arguments:
            if " " in script:
                yield from (replace(one, span=None) for one in default_routes(script))


def _unwrapped(words: list[str]) -> list[str]:
    """Leave out `sudo -n`, `timeout 5` and the like before a program that sets routes."""
    if basename(words[0]) in _WRAPPERS:
        for index, word in enumerate(words):
            if basename(word) in _PROGRAMS | DHCP_CLIENTS:
                return words[index:]
    return words


def _ip(words: list[str]) -> tuple[str, DefaultArguments] | None:
    """Parse the arguments of ip(8): options, object, verb, and the route."""
    version: int | None = None
    remaining = iter(words)
    for word in remaining:
        option = word.lstrip("-")
        if option == word:
            return _ip_route(list(remaining), version) if "route".startswith(word) else None
        if option in ("4", "6"):
            version = int(option)
        elif _is_option(option, "family"):
            version = {"inet": 4, "inet6": 6}.get(next(remaining, ""), version)
        elif _is_option(option, "netns", "batch"):
            return None  # another namespace, or commands that are not in this line
        elif _is_option(option, "rcvbuf", "loops") and option != "r":
            next(remaining, "")
    return None


def _is_option(text: str, *names: str) -> bool:
    return bool(text) and any(name.startswith(text) for name in names)


def _ip_route(words: list[str], version: int | None) -> tuple[str, DefaultArguments] | None:
    verb = next((verb for verb in _VERBS if words and verb.startswith(words[0])), "")
    arguments = words[1:]
    if verb == "flush" and "cache" not in arguments:
        arguments = _flushed(arguments)
    elif verb not in (*_ADDING, "delete"):
        return None
    route = ip_default(arguments, version)
    return (verb, route) if route else None


def _flushed(words: list[str]) -> list[str]:
    """Turn the arguments of `flush` into those of `delete`; without a prefix it deletes all."""
    rest = [word for word in words if word not in ("root", "exact", "match")]
    return rest if has_destination(rest) and "match" not in words else ["default", *rest]


def _route(words: list[str]) -> tuple[str, DefaultArguments] | None:
    verb = next((word for word in words if not word.startswith("-")), "")
    route = route_default(words)
    return (verb, route) if route and verb in ("add", "del", "delete") else None
