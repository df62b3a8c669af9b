"""What the bodies of the API's answers say: pure parsing of text, JSON and XML.

The rule: text, the only form that the API page shows, is read strictly; JSON and XML, whose shape
it does not show, are read strictly as documents and leniently as to where in them the value is.
What cannot be told is `InvalidAnswer`, never a guess.

Status words count only in the page's own upper case: another spelling was never seen, and a word
that only looks like DEPLOYED must not open the gate.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any, Union

from rcnetd.api.errors import InvalidAnswer
from rcnetd.basic.dataclass import dataclass
from rcnetd.basic.text import SHOWN, plain, quoted
from rcnetd.core.model import AutomationStatus, Operation

# "Response formats", the default one first (the API page).
FORMATS = {
    Operation.STATUS: ("text", "json", "xml"),
    Operation.DETAILS: ("json", "xml"),
    Operation.GATEWAY: ("text", "json", "xml"),
    Operation.FEATURES: ("json", "xml"),
}
MAX_DEPTH = 32  # levels of JSON objects and arrays, or of XML elements
WHITESPACE = " \t\r\n"
WORD = re.compile(r"[A-Za-z0-9_.-]+")
# Values of all forms are ASCII, which all of these have in common.
CHARSETS = {"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin1", "windows-1252"}
# JSON and XML as one: a scalar, or the named children (of an array: without names).
Scalar = Union[str, bool, int, float, None]
Tree = Union[Scalar, list[tuple[str, Any]]]


@dataclass(frozen=True)
class Status:
    """The automation status: what the *word* (cut to 80 characters) means, and the word."""

    status: AutomationStatus
    word: str


@dataclass(frozen=True)
class Task:
    """One of the automation's tasks for this server."""

    name: str
    status: str


@dataclass(frozen=True)
class Details:
    """The automation status with the tasks behind it, as far as the answer's shape tells them."""

    status: Status
    tasks: tuple[Task, ...] = ()


@dataclass(frozen=True)
class Features:
    """The automation features that the answer's shape tells: name, and whether enabled."""

    features: tuple[tuple[str, bool], ...] = ()

    @property
    def configure_network_stack(self) -> bool | None:
        """Whether "Configure Network Stack" is enabled; None if the answer does not tell."""
        told = {value for name, value in self.features if "networkstack" in _normal(name)}
        return told.pop() if len(told) == 1 else None


def check_format(operation: Operation, format: str) -> None:
    """Raises `ValueError` for a format that the operation does not offer."""
    if format not in FORMATS[operation]:
        known = " ".join(FORMATS[operation])
        raise ValueError(f"'{operation.value}' has no format {quoted(format)}, but {known}")


def decode(body: bytes, content_type: str) -> str:
    """The text of *body*. Raises `InvalidAnswer` for another charset, an HTML page, or no text."""
    match = re.search(r"""charset\s*=\s*["']?([^\s"';]*)""", content_type, re.IGNORECASE)
    if match and match[1].lower() not in CHARSETS:
        raise InvalidAnswer(f"the answer's charset is {quoted(match[1])}")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidAnswer("the answer is not text") from None
    if not text.strip(WHITESPACE):
        raise InvalidAnswer("the answer is empty")
    start = text.lstrip(WHITESPACE)[:15].lower()
    if "text/html" in content_type.lower() or start.startswith(("<!doctype html", "<html")):
        raise InvalidAnswer(f"the answer is an HTML page: {quoted(text)}")
    return text


def parse(operation: Operation, form: str, text: str) -> Status | Details | IPv4Address | Features:
    """The value in the *text* of an answer in *form* ("text", "json", "xml").

    Raises `InvalidAnswer`.
    """
    if form == "text":
        if operation is Operation.GATEWAY:
            return _gateway(text)
        return _status(text)
    tree = _xml(text) if form == "xml" else _from_json(_json(text))
    if operation is Operation.GATEWAY:
        return _gateway(_the_one(tree, "gateway"))
    if operation is Operation.FEATURES:
        return Features(tuple(_features(tree)))
    status = _status(_the_one(tree, "automationstatus", outermost=True))
    return Details(status, tuple(_tasks(tree))) if operation is Operation.DETAILS else status


def parse_json(text: str) -> Any:
    """JSON of bounded depth, without duplicate keys and NaN. Raises `ValueError` only."""
    depth = 0
    # Strings are skipped as a whole, an unfinished one too.
    for match in re.finditer(r'"(?:[^"\\]+|\\.)*"?|[\[{]|[\]}]', text, re.DOTALL):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        if depth > MAX_DEPTH:
            raise ValueError("it is nested too deeply")
    return json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name occurs twice in one object")
    return dict(pairs)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _status(text: str) -> Status:
    """A status word: a known one, or any other single word, which is UNKNOWN."""
    word = text.strip(WHITESPACE)
    if not WORD.fullmatch(word):
        raise InvalidAnswer(f"the answer is not a status word: {quoted(text)}")
    known = word in AutomationStatus.__members__
    return Status(AutomationStatus[word] if known else AutomationStatus.UNKNOWN, word[:SHOWN])


def _gateway(text: str) -> IPv4Address:
    word = text.strip(WHITESPACE)
    try:
        address = IPv4Address(word)
    except ValueError:
        address = None
    # Python before 3.9.5 reads 010.0.0.1, which others take for octal.
    if address is None or str(address) != word:
        raise InvalidAnswer(f"the answer is not one IPv4 address: {quoted(text)}")
    return address


# Documents


def _json(text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError as error:
        why = plain(str(error), SHOWN)
        raise InvalidAnswer(f"the answer is not JSON ({why}): {quoted(text)}") from None


def _from_json(value: Any) -> Tree:
    if isinstance(value, dict):
        return [(name, _from_json(child)) for name, child in value.items()]
    if isinstance(value, list):
        return [("", _from_json(child)) for child in value]
    scalar: Scalar = value
    return scalar


def _xml(text: str) -> Tree:
    """XML as a tree: attributes and elements by name, namespaces dropped, leaves as text."""
    from xml.parsers import expat

    root: list[tuple[str, Tree]] = []
    stack = [root]
    texts: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(stack) > MAX_DEPTH:
            raise InvalidAnswer("the answer's XML is nested too deeply")
        children: list[tuple[str, Tree]] = [
            (_local(key), value) for key, value in attributes.items() if not key.startswith("xmlns")
        ]
        stack[-1].append((_local(name), children))
        stack.append(children)
        texts.clear()

    def end(name: str) -> None:
        children, value = stack.pop(), "".join(texts)
        if not children:
            stack[-1][-1] = (_local(name), value)
        elif value.strip():
            children.append((_local(name), value))  # the text beside attributes
        texts.clear()

    def refuse(*_: object) -> None:
        raise InvalidAnswer("the answer's XML has a document type declaration")

    # The text is decoded already, whatever encoding the document still claims for itself.
    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = texts.append
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(text.encode("utf-8"), True)
    except expat.ExpatError as error:
        raise InvalidAnswer(f"the answer is not XML ({error}): {quoted(text)}") from None
    return root


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _normal(name: str) -> str:
    """`ConfigureNetworkStack`, `configure_network_stack`, "Configure Network Stack": one name."""
    return re.sub(r"[\s_-]+", "", name).lower()


# Values in documents


def _objects(tree: Tree) -> Iterator[list[tuple[str, Tree]]]:
    """Every object, array or element with something in it, the outer ones first."""
    queue = [tree]
    for node in queue:
        if isinstance(node, list):
            yield node
            queue += [child for _, child in node]


def _the_one(tree: Tree, name: str, *, outermost: bool = False) -> str:
    """The one value that is called something with *name*, or else the document's only value.

    With *outermost* what is further in does not count once something is found.
    """
    leaves: list[tuple[str, Scalar]] = []
    found: set[Scalar] = set()
    for children in _objects(tree if isinstance(tree, list) else [("", tree)]):
        here = [(key, value) for key, value in children if not isinstance(value, list)]
        leaves += here
        if not (outermost and found):
            found |= {value for key, value in here if name in _normal(key)}
    if not found and len(leaves) == 1:
        found = {leaves[0][1]}
    values = [value for value in found if isinstance(value, str)]
    if len(found) != 1 or not values:
        raise InvalidAnswer(f"the answer has {len(found)} values for '{name}' instead of one text")
    return values[0]


FLAGS = {"isenabled", "enabled", "status", "state", "value"}


def _features(tree: Tree) -> Iterator[tuple[str, bool]]:
    """Features as `{name: flag}`, `{name: {"enabled": flag}}` or `{"name": name, "enabled": …}`."""
    for children in _objects(tree):
        flags = [_flag(value) for key, value in children if _normal(key) in FLAGS]
        name = _feature_name(children)
        if len(flags) == 1 and flags[0] is not None and name:
            yield plain(name, SHOWN), flags[0]
        for key, value in children:
            flag = _flag(value)
            if isinstance(value, list):
                inner = [_flag(item) for name, item in value if _normal(name) in FLAGS]
                flag = inner[0] if len(inner) == 1 else None
            if key and flag is not None and _normal(key) not in FLAGS:
                yield plain(key, SHOWN), flag


def _feature_name(children: list[tuple[str, Tree]]) -> str | None:
    """What is called a name, else what speaks of the network stack, else the first text."""
    texts = [
        (key, value)
        for key, value in children
        if isinstance(value, str) and _normal(key) not in FLAGS and _flag(value) is None
    ]
    texts.sort(key=lambda pair: ("name" not in pair[0].lower(), "stack" not in pair[1].lower()))
    return texts[0][1] if texts else None


def _flag(value: Tree) -> bool | None:
    if isinstance(value, bool):
        return value
    words = {"true": True, "enabled": True, "false": False, "disabled": False}
    return words.get(value.strip().lower()) if isinstance(value, str) else None


def _tasks(tree: Tree) -> Iterator[Task]:
    """Every object with a status of its own and a name before or after it."""
    for children in _objects(tree):
        texts = [(_normal(key), value) for key, value in children if isinstance(value, str)]
        states = [value for key, value in texts if key.endswith(("status", "state"))]
        names = [value for key, value in texts if not key.endswith(("status", "state"))]
        if len(states) == 1 and names:
            yield Task(plain(names[0], SHOWN), plain(states[0], SHOWN))
