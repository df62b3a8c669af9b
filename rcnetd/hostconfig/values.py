"""Takes our edits out of a file that another program has rewritten since. Pure.

`nmcli connection modify`, `netplan set` and agents write a file from its values: they drop our
comments, and with them the marks and the lines that we disabled. So the values count: what our
version of the file set and the original did not is ours wherever it still stands, and what our
version took away belongs back where nothing has replaced it.

A value comes back only into a section that still has a value of ours (or most of its values, if we
set none), or if the file lost nothing but comments; and only if the addresses beside it are the
same: an old gateway must not be given to a new address.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from rcnetd.basic.dataclass import dataclass, replace
from rcnetd.hostconfig.renderers.keyfile_fields import canonical
from rcnetd.hostconfig.renderers.model import CannotPersist

MAX_VALUES = 5000  # in one file; more only by aliases that multiply
# What a gateway belongs to.
_ADDRESSING = re.compile(
    r"address|ipaddr|netmask|prefix|method|bootproto|^dhcp[46]?$", re.IGNORECASE
)
_BLOCK = re.compile(r"\[(Address|Route|Neighbor|NextHop|RoutingPolicyRule|IPv6AddressLabel)\]")
_HEADER = ("version", "renderer")  # netplan's; it drops what is the default
_NUMBERED = re.compile(r"(routes?|address(?:es)?|routing-rule)(\d+)(_options)?")


@dataclass(frozen=True)
class Value:
    """A value: what a section of the file says under a key. *key* has no number (`route1`)."""

    section: str
    key: str
    text: str


@dataclass(frozen=True)
class Edits:
    """What our version of a file set and removed, beside what both versions have."""

    ours: Counter[Value]
    added: Counter[Value]
    removed: Counter[Value]
    kept: Counter[Value]

    @classmethod
    def between(cls, before: Counter[Value], ours: Counter[Value]) -> Edits:
        """The edits that made *ours* of *before*."""
        return cls(ours, ours - before, before - ours, before & ours)

    def surviving(self, now: Counter[Value]) -> Counter[Value]:
        """Our values that *now* still has."""
        return self.added & now

    def missing(self, now: Counter[Value], *, lost_only_comments: bool) -> Counter[Value]:
        """The removed values that belong back into *now*."""
        survivors = self.surviving(now)
        rest = now - survivors
        sections = {value.section for value in survivors}
        replaced = {(value.section, value.key) for value in rest - self.kept}
        return Counter({
            value: count
            for value, count in (self.removed - rest).items()
            if (
                lost_only_comments
                or value.section in sections
                or self._is_mostly_as_it_was(value.section, rest)
            )
            and (_is_list(value.key) or (value.section, value.key) not in replaced)
            and self._has_same_addresses(value.section, rest)
        })  # fmt: skip

    def _is_mostly_as_it_was(self, section: str, now: Counter[Value]) -> bool:
        """We set nothing in the section, and at least half of the rest of it is still there."""
        kept = {value for value in self.kept if value.section == section}
        is_set = any(value.section == section for value in self.added)
        return bool(kept) and not is_set and 2 * len(kept & set(now)) >= len(kept)

    def _has_same_addresses(self, section: str, now: Counter[Value]) -> bool:
        return not any(
            section in ("", value.section) and _ADDRESSING.search(value.key)
            for value in self.kept - now
        )


def restore(
    path: str,
    now: bytes,
    before: bytes | None,
    ours: bytes | None,
    elsewhere: Sequence[tuple[bytes | None, bytes | None]] = (),
) -> bytes | None:
    """*now* without what made *ours* of *before*; None if only that was in it.

    *elsewhere* are the other files that are merged with this one, as we made them and as they are
    now: `netplan set` moves values between files. The same bytes come back where nothing of ours is
    left. Raises `CannotPersist`.
    """
    texts = [(data or b"").decode("utf-8", "surrogateescape") for data in (before, ours, now)]
    if is_merged(path):
        restored = _restore_yaml(path, texts, elsewhere)
    else:
        restored = _restore_lines(path, texts)
    if restored is None:
        return None if before is None else b""
    return restored.encode("utf-8", "surrogateescape")


def is_merged(path: str) -> bool:
    """Whether the file is one of several that are read as one."""
    return path.endswith((".yaml", ".yml"))


def _has_lost_only_comments(ours: Counter[Value], now: Counter[Value]) -> bool:
    return set(ours) <= set(now) and bool(ours or not now)


def _is_list(key: str) -> bool:
    return (
        key.startswith("[")
        or key in ("route", "address", "routing-rule", "line")
        or key.endswith("_options")
    )


# Lines: ini, shell assignments, ifupdown's stanzas, and one route a line


@dataclass(frozen=True)
class Line:
    """A line of a file with its value, None for a comment, a blank or a section's own line."""

    text: str
    section: str
    value: Value | None = None
    opens: bool = False  # the section


def _lines(path: str, text: str) -> Iterator[Line]:
    section = ""
    read = _reader(path)
    for line in _blocks(path, text):
        said = line.strip()
        if not said or said[0] in "#;":
            yield Line(line, section)
            continue
        if _BLOCK.match(said):
            yield Line(line, "", Value("", said.partition("\n")[0], _plain(said)))
            continue
        opened, key, value = read(said)
        section = section if opened is None else opened
        if key:
            yield Line(line, section, Value(section, key, value))
        else:
            yield Line(line, section, opens=True)


def _blocks(path: str, text: str) -> Iterator[str]:
    """The lines; of networkd's sections that may occur several times, each as a whole."""
    lines = text.splitlines(keepends=True)
    while lines:
        end = 1
        if "/systemd/network/" in path and _BLOCK.match(lines[0].strip()):
            while end < len(lines) and not lines[end].lstrip().startswith("["):
                end += 1
        yield "".join(lines[:end])
        del lines[:end]


def _plain(block: str) -> str:
    lines = (line.strip() for line in block.splitlines())
    return "\n".join(
        re.sub(r"\s*=\s*", "=", line) for line in lines if line and line[0] not in "#;"
    )


def _reader(path: str) -> Any:
    if "/network/interfaces" in path:
        return _read_stanza
    if re.search(r"/(route6?|rule6?)-[^/]*$", path):
        return lambda said: (None, "line", " ".join(said.split()))
    if "/NetworkManager/" in path:
        return _read_keyfile
    return _read_assignment


def _read_keyfile(said: str) -> tuple[str | None, str, str]:
    """NetworkManager takes several forms of a key and of its value, and writes one."""
    section, key, value = _read_assignment(said)
    if section is None:
        key, value = canonical(said.partition("=")[0].strip(), said.partition("=")[2].strip())
        key = "routing-rule" if _NUMBERED.fullmatch(key) else key
    return section, key, value


def _read_assignment(said: str) -> tuple[str | None, str, str]:
    if said.startswith("["):
        return said, "", ""
    key, _, value = said.partition("=")
    key, value = key.strip().removeprefix("export "), value.strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    numbered = _NUMBERED.fullmatch(key)
    if numbered:
        return None, numbered[1] + (numbered[3] or ""), value.rstrip(";")
    return None, key, value


def _read_stanza(said: str) -> tuple[str | None, str, str]:
    words = said.split()
    if words[0] in ("iface", "mapping"):
        return " ".join(words), "", ""
    if words[0] in ("auto", "source", "source-directory") or words[0].startswith("allow-"):
        return "" if words[1:] else None, "line", " ".join(words)
    if words[0] in ("up", "down") or words[0].startswith(("pre-", "post-")):
        return None, "line", " ".join(words)
    return None, words[0], " ".join(words[1:])


def _restore_lines(path: str, texts: Sequence[str]) -> str | None:
    before, ours, now = (list(_lines(path, text)) for text in texts)
    edits = Edits.between(_values(before), _values(ours))
    found = _values(now)
    survivors = edits.surviving(found)
    only_comments = _has_lost_only_comments(edits.ours, found)
    missing = edits.missing(found, lost_only_comments=only_comments)
    survivors = _without_needed_methods(survivors, found)
    if not survivors and not missing:
        return texts[2]
    new_sections = {line.section for line in ours} - {line.section for line in before}
    kept = _without_empty(_without(now, survivors), new_sections)
    back = [line for line in before if line.value is not None and _taken(missing, line.value)]
    for section in dict.fromkeys(line.section for line in back):
        _insert(kept, section, [line for line in back if line.section == section])
    if all(line.value is None and not line.opens for line in kept):
        return None
    return "".join(line.text for line in kept)


def _without_needed_methods(survivors: Counter[Value], now: Counter[Value]) -> Counter[Value]:
    """Our values that can go: a keyfile's section needs its `method` while it has other values."""
    filled = {value.section for value in now - survivors}
    return Counter({
        value: count
        for value, count in survivors.items()
        if value.key != "method" or value.section not in filled
    })  # fmt: skip


def _values(lines: Sequence[Line]) -> Counter[Value]:
    return Counter(line.value for line in lines if line.value is not None)


def _taken(values: Counter[Value], value: Value) -> bool:
    """Take one of *values*; whether there was one."""
    if values[value] > 0:
        values[value] -= 1
        return True
    return False


def _without(lines: Sequence[Line], values: Counter[Value]) -> list[Line]:
    left = Counter(values)
    return [line for line in lines if line.value is None or not _taken(left, line.value)]


def _without_empty(lines: Sequence[Line], sections: set[str]) -> list[Line]:
    """Drop the lines that open one of *sections*, if nothing is left in it."""
    filled = {line.section for line in lines if line.value is not None}
    return [
        line
        for line in lines
        if not line.opens or line.section in filled or line.section not in sections
    ]


def _insert(lines: list[Line], section: str, back: Sequence[Line]) -> None:
    """Put lines at the end of their section, with numbers that are free there."""
    last = max((at for at, line in enumerate(lines) if _holds(line, section)), default=None)
    if last is None:
        last = len(lines) - 1
        if section:
            back = [Line(f"{section}\n", section, opens=True), *back]
    if lines and last >= 0 and not lines[last].text.endswith("\n"):
        lines[last] = replace(lines[last], text=lines[last].text + "\n")
    taken = {_key(line.text) for line in lines if line.section == section}
    lines[last + 1 : last + 1] = _renumbered(back, taken)


def _holds(line: Line, section: str) -> bool:
    return line.section == section and bool(line.text.strip())


def _key(text: str) -> str:
    return text.partition("=")[0].strip()


def _renumbered(back: Sequence[Line], taken: set[str]) -> list[Line]:
    numbers: dict[str, str] = {}
    made = []
    for line in back:
        text = line.text if line.text.endswith("\n") else line.text + "\n"
        numbered = _NUMBERED.fullmatch(_key(text))
        if numbered:
            name = numbered[1] + numbered[2]
            if name not in numbers:
                free = (f"{numbered[1]}{number}" for number in range(1, MAX_VALUES))
                numbers[name] = name if name not in taken else next(
                    one for one in free if one not in taken and one not in numbers.values()
                )  # fmt: skip
            text = text.replace(name, numbers[name], 1)
        made.append(replace(line, text=text))
    return made


# YAML


def _restore_yaml(
    path: str, texts: Sequence[str], elsewhere: Sequence[tuple[bytes | None, bytes | None]]
) -> str | None:
    import yaml

    try:
        before, ours, found = (_yaml_values(path, text) for text in texts)
    except (yaml.YAMLError, ValueError, RecursionError):
        return texts[2]  # netplan may read it, but nothing in it can be told by its value
    edits = Edits.between(before, ours)
    survivors = edits.surviving(found)
    all_ours, all_found = Counter(ours), Counter(found)
    for there in elsewhere:
        with contextlib.suppress(yaml.YAMLError, ValueError, RecursionError):
            ours_there, now_there = (_yaml_values(path, data) for data in there)
            all_ours += ours_there
            all_found += now_there
    said_by_default = [value for value in all_ours if value.key in _HEADER]
    only_comments = _has_lost_only_comments(all_ours, all_found + Counter(said_by_default))
    missing = edits.missing(all_found, lost_only_comments=only_comments)
    if not survivors and not missing:
        return texts[2]
    values = found - survivors + missing
    if not any(value.key not in _HEADER for value in values):
        return None
    values[Value('["network"]', "version", "2")] = 1
    comments = "".join(line for line in texts[2].splitlines(keepends=True) if line.startswith("#"))
    body: str = yaml.safe_dump(_nested(values), sort_keys=False, default_flow_style=False)
    return comments + body


def _yaml_values(path: str, text: str | bytes | None) -> Counter[Value]:
    import yaml

    return Counter(_flatten(path, yaml.safe_load(text or "")))


def _flatten(path: str, data: Any) -> Iterator[Value]:
    """Each scalar of the mappings, and each item of the lists as a whole."""
    todo: list[tuple[list[str], Any]] = [([], data)]
    for _ in range(MAX_VALUES):
        if not todo:
            return
        keys, node = todo.pop()
        if isinstance(node, dict) and node:
            todo += [([*keys, str(key)], value) for key, value in reversed(list(node.items()))]
        elif isinstance(node, list) and node:
            yield from (Value(json.dumps(keys), "[]", _text(item)) for item in node)
        elif node is not None or keys:
            yield Value(json.dumps(keys[:-1]), keys[-1] if keys else "", _text(node))
    raise CannotPersist(f"{path}: has more than {MAX_VALUES} values")


def _text(node: Any) -> str:
    return json.dumps(node, default=str, sort_keys=True)


def _nested(values: Counter[Value]) -> dict[str, Any]:
    """The mappings and lists of which *values* are."""
    made: dict[str, Any] = {}
    for value, count in values.items():
        keys = json.loads(value.section)
        node: Any = made
        parents = keys[:-1] if value.key == "[]" else keys
        for key in parents:
            node = node.setdefault(key, {})
        if value.key == "[]":
            node.setdefault(keys[-1], []).extend([json.loads(value.text)] * count)
        else:
            node[value.key] = json.loads(value.text)
    return made
