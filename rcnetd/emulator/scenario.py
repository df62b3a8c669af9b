"""The timeline file: what the API says of each server, and when. Pure but for reading the file.

    limit: 30                     # requests a minute and source address, then 403
    servers:
      - address: 10.180.1.2       # the source address of its requests, or "any"
        region: dfw               # one of the six, or "any" (the default)
        start: boot               # time 0: "boot" (of the emulator) or "first-request"
        features:                 # all three are optional; the default is false
          ConfigureNetworkStack: false
          ManageSoftwareFirewall: false
          ProvisionPublicIPAddress: false
        tasks: ['Cloud Server Created: Add "rackconnect" user']
        timeline:                 # in order of time; 90s, 5min, 1h or seconds
          - {at: 0, status: DEPLOYING}
          - {at: 5s, gateway: 10.180.31.254}
          - {at: 8s, fault: hang}
          - {at: 9s, fault: {name: http-503, on: gateway_ip, retry_after: 90}}
          - {at: 10s, fault: null}
          - {at: 20s, status: DEPLOYED}

`status` is DEPLOYING (from the start), DEPLOYED, FAILED or UNPROCESSABLE; `gateway` is an IPv4
address, or null for "not assigned" (the start). Every mistake is one line with file, line and key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import yaml

from rcnetd.emulator.faults import ANSWER, CONNECTION, FAULTS, OPERATIONS, Fault

REGIONS = ("dfw", "hkg", "iad", "lon", "ord", "syd")
STATUSES = ("DEPLOYING", "DEPLOYED", "FAILED", "UNPROCESSABLE")
FEATURES = ("ConfigureNetworkStack", "ManageSoftwareFirewall", "ProvisionPublicIPAddress")
MAX_SIZE = 1024 * 1024  # bytes
MAX_SERVERS = 10_000


class ScenarioError(Exception):
    """The file's mistake, in one line."""


@dataclass(frozen=True)
class State:
    """What the API says of a server at one time."""

    status: str = "DEPLOYING"
    gateway: IPv4Address | None = None
    fault: Fault | None = None


@dataclass(frozen=True)
class Server:
    """One server. *steps* are points in time with the state from then on."""

    address: IPv4Address | None = None  # None: any
    region: str | None = None  # None: any
    start: str = "boot"
    features: tuple[tuple[str, bool], ...] = tuple((name, False) for name in FEATURES)
    tasks: tuple[str, ...] = ()
    steps: tuple[tuple[float, State], ...] = ((0.0, State()),)

    def state(self, seconds: float) -> State:
        """The state *seconds* after its time 0."""
        found = State()
        for at, state in self.steps:
            if at > seconds:
                break
            found = state
        return found


@dataclass(frozen=True)
class Scenario:
    """A whole file."""

    servers: tuple[Server, ...] = (Server(),)
    limit: int = 30


def load(path: Path) -> Scenario:
    """Read a timeline file. Raises `TimelineError`."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SIZE + 1)
    except OSError as error:
        raise ScenarioError(f"Failed to read '{path}': {error.strerror}") from None
    if len(data) > MAX_SIZE:
        raise ScenarioError(f"'{path}' is larger than {MAX_SIZE} bytes")
    return parse(data.decode("utf-8", "replace"), str(path))


def read_duration(text: str) -> float:
    """Seconds of a length of time: `90s`, `5min`, `1h`, `250ms` or seconds. Raises `ValueError`."""
    units = {"": 1.0, "ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)\s*([a-z]*)", text)
    if match is None or match[2] not in units:
        raise ValueError(f"'{text}' is no length of time; use 90s, 5min or seconds")
    return float(match[1]) * units[match[2]]


def parse(text: str, name: str = "timeline") -> Scenario:
    """Parse a timeline; *name* is the file's in messages. Raises `TimelineError`."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not readable"
        raise ScenarioError(f"'{name}'{line}: is not YAML: {problem}") from None
    except RecursionError:
        raise ScenarioError(f"'{name}': is nested too deeply") from None
    if node is None:
        raise ScenarioError(f"'{name}': is empty; it needs 'servers'")
    return _Reader(name).timeline(node)


class _Reader:
    def __init__(self, name: str) -> None:
        self._name = name

    def timeline(self, node: Any) -> Scenario:
        keys = self._mapping(node, "", ("servers", "limit"))
        if "servers" not in keys:
            raise self._error(node, "servers", "is missing")
        nodes = self._sequence(keys["servers"], "servers")
        if not 0 < len(nodes) <= MAX_SERVERS:
            raise self._error(keys["servers"], "servers", f"must have 1 to {MAX_SERVERS} entries")
        servers: dict[IPv4Address | None, Server] = {}
        for entry in nodes:
            server = self._server(entry)
            if server.address in servers:
                raise self._error(entry, "servers.address", f"{server.address} is there twice")
            servers[server.address] = server
        limit = self._number(keys["limit"], "limit", 1, 1_000_000) if "limit" in keys else 30
        return Scenario(tuple(servers.values()), limit)

    def _server(self, node: Any) -> Server:
        known = ("address", "region", "start", "features", "tasks", "timeline")
        keys = self._mapping(node, "servers.", known)
        server = Server()
        if "address" in keys:
            server = replace(server, address=self._address(keys["address"], "servers.address"))
        if "region" in keys:
            region = self._word(keys["region"], "servers.region", (*REGIONS, "any"), str.lower)
            server = replace(server, region=None if region == "any" else region)
        if "start" in keys:
            start = self._word(keys["start"], "servers.start", ("boot", "first-request"))
            server = replace(server, start=start)
        if "features" in keys:
            given = self._mapping(keys["features"], "servers.features.", FEATURES)
            values = tuple(
                (name, self._flag(given[name], f"servers.features.{name}"))
                if name in given
                else (name, False)
                for name in FEATURES
            )
            server = replace(server, features=values)
        if "tasks" in keys:
            nodes = self._sequence(keys["tasks"], "servers.tasks")
            tasks = tuple(self._text(entry, "servers.tasks") for entry in nodes)
            server = replace(server, tasks=tasks)
        if "timeline" in keys:
            nodes = self._sequence(keys["timeline"], "servers.timeline")
            server = replace(server, steps=self._steps(nodes))
        return server

    def _steps(self, nodes: Sequence[Any]) -> tuple[tuple[float, State], ...]:
        state, steps = State(), [(0.0, State())]
        for node in nodes:
            prefix = "servers.timeline."
            keys = self._mapping(node, prefix, ("at", "status", "gateway", "fault"))
            if "at" not in keys:
                raise self._error(node, f"{prefix}at", "is missing")
            at = self._duration(keys["at"], f"{prefix}at")
            if at < steps[-1][0]:
                raise self._error(keys["at"], f"{prefix}at", "is earlier than the entry before")
            if len(keys) == 1:
                raise self._error(node, prefix[:-1], "needs status, gateway or fault")
            if "status" in keys:
                status = self._word(keys["status"], f"{prefix}status", STATUSES, str.upper)
                state = replace(state, status=status)
            if "gateway" in keys:
                gateway = self._gateway(keys["gateway"], f"{prefix}gateway")
                state = replace(state, gateway=gateway)
            if "fault" in keys:
                state = replace(state, fault=self._fault(keys["fault"], f"{prefix}fault"))
            steps.append((at, state))
        return tuple(steps)

    def _fault(self, node: Any, key: str) -> Fault | None:
        if self._is_null(node):
            return None
        if isinstance(node, yaml.ScalarNode):
            return Fault(self._word(node, key, tuple(FAULTS)))
        keys = self._mapping(node, f"{key}.", ("name", "on", "retry_after"))
        if "name" not in keys:
            raise self._error(node, f"{key}.name", "is missing")
        fault = Fault(self._word(keys["name"], f"{key}.name", tuple(FAULTS)))
        if "on" in keys:
            if fault.name in CONNECTION:
                text = f"'{fault.name}' strikes before the operation is known"
                raise self._error(keys["on"], f"{key}.on", text)
            fault = replace(fault, on=self._word(keys["on"], f"{key}.on", OPERATIONS))
        if "retry_after" in keys:
            seconds = self._number(keys["retry_after"], f"{key}.retry_after", 0, 86400)
            fault = replace(fault, retry_after=seconds)
        return fault

    # Values

    def _gateway(self, node: Any, key: str) -> IPv4Address | None:
        return None if self._is_null(node) else self._ipv4(node, key)

    def _address(self, node: Any, key: str) -> IPv4Address | None:
        return None if self._text(node, key) == "any" else self._ipv4(node, key)

    def _ipv4(self, node: Any, key: str) -> IPv4Address:
        text = self._text(node, key)
        try:
            return IPv4Address(text)
        except ValueError:
            raise self._error(node, key, f"'{text}' is not an IPv4 address") from None

    def _flag(self, node: Any, key: str) -> bool:
        return self._word(node, key, ("true", "false"), str.lower) == "true"

    def _number(self, node: Any, key: str, least: int, most: int) -> int:
        text = self._text(node, key)
        if not re.fullmatch(r"\d{1,9}", text) or not least <= int(text) <= most:
            raise self._error(node, key, f"'{text}' is no whole number from {least} to {most}")
        return int(text)

    def _duration(self, node: Any, key: str) -> float:
        try:
            return read_duration(self._text(node, key))
        except ValueError as error:
            raise self._error(node, key, str(error)) from None

    def _word(
        self, node: Any, key: str, words: Sequence[str], fold: Callable[[str], str] = str
    ) -> str:
        text = fold(self._text(node, key))
        if text not in words:
            hint = self._nearest(text, words) or f"; use one of {', '.join(words)}"
            raise self._error(node, key, f"'{text}' is not known{hint}")
        return text

    # Nodes

    def _mapping(self, node: Any, prefix: str, known: Sequence[str]) -> dict[str, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise self._error(node, prefix.rstrip("."), "must be a mapping of keys to values")
        found: dict[str, Any] = {}
        for key_node, value in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
            if key not in known:
                hint = self._nearest(key, known) or f"; use one of {', '.join(known)}"
                raise self._error(key_node, prefix + key, f"is not a key{hint}")
            if key in found:
                raise self._error(key_node, prefix + key, "is set twice")
            found[key] = value
        return found

    def _sequence(self, node: Any, key: str) -> list[Any]:
        if not isinstance(node, yaml.SequenceNode):
            raise self._error(node, key, "must be a list")
        return list(node.value)

    def _text(self, node: Any, key: str) -> str:
        if not isinstance(node, yaml.ScalarNode) or self._is_null(node):
            raise self._error(node, key, "must be a value")
        return str(node.value)

    def _is_null(self, node: Any) -> bool:
        return bool(node.tag == "tag:yaml.org,2002:null")

    def _nearest(self, word: str, words: Sequence[str]) -> str:
        near = get_close_matches(word, words, 1, 0.6)
        return f"; did you mean '{near[0]}'?" if near else ""

    def _error(self, node: Any, key: str, text: str) -> ScenarioError:
        line = f"'{self._name}' line {node.start_mark.line + 1}: {key + ': ' if key else ''}{text}"
        return ScenarioError("".join(char if char.isprintable() else " " for char in line)[:400])


assert set(FAULTS) == set(CONNECTION) | set(ANSWER)
