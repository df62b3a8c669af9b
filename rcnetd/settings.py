"""Reads the settings: fragments (files) -> inputs (merged) -> `Settings` (validated).

Every mistake is a `ConfigError` of one line that names file, line, key and what to do. A key in a
later file wins over the same key in an earlier one. PyYAML is loaded only where there is a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rcnetd.files import read_bounded
from rcnetd.options import (
    REGIONS,
    GatewaySettings,
    Manage,
    Persist,
    PublicInterface,
    PublicIPv6,
    ServiceNetSettings,
    Settings,
)
from rcnetd.values import dataclass, fields

SIZE_MOST = 64 * 1024  # bytes of one file
VENDOR = Path("/usr/lib/rcnetd")
UNITS = {"ms": 0.001, "s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
DURATION_MOST = 366 * 86400.0  # seconds


class ConfigError(Exception):
    """The administrator's mistake, in one line: where, what, and what to do. Exit code 78."""


@dataclass(frozen=True)
class Input:
    """One value as it was written. *value* is a `str`, a list of them, or None for null."""

    value: str | list[str] | None
    path: Path
    line: int
    quoted: bool = False


def load(
    config_files: Sequence[Path] = (),
    *,
    environ: Mapping[str, str],
    root: Path = Path("/"),
) -> Settings:
    """Read and validate the settings. Raises `ConfigError`.

    *config_files* are read instead of the directories, in order. Else `rcnetd.yaml` is taken from
    the first of /etc, /run and /usr/lib that has it, and then all of `conf.d/*.yaml` in the order
    of their names, a file in /etc hiding one of the same name in /run or /usr/lib (an empty file
    or a link to /dev/null masks). CONFIGURATION_DIRECTORY and RUNTIME_DIRECTORY in *environ*
    stand for /etc/rcnetd and /run/rcnetd. Without any file all settings have their defaults.
    """
    paths = list(config_files) or _in_directories(environ, root)
    inputs: dict[str, Input] = {}
    for path in paths:
        inputs.update(_fragment(path))
    return _settings(inputs)


def _in_directories(environ: Mapping[str, str], root: Path) -> list[Path]:
    directories = [
        root / (environ.get("CONFIGURATION_DIRECTORY") or "/etc/rcnetd").split(":")[0].lstrip("/"),
        root / (environ.get("RUNTIME_DIRECTORY") or "/run/rcnetd").split(":")[0].lstrip("/"),
        root / str(VENDOR).lstrip("/"),
    ]
    try:
        mains = [path for path in (top / "rcnetd.yaml" for top in directories) if path.exists()]
        drop_ins: dict[str, Path] = {}
        for top in reversed(directories):
            drop_ins.update((path.name, path) for path in sorted((top / "conf.d").glob("*.yaml")))
    except OSError as error:
        raise ConfigError(f"Failed to read '{error.filename}': {error.strerror}") from None
    found = mains[:1] + [drop_ins[name] for name in sorted(drop_ins)]
    return [path for path in found if path.resolve() != Path("/dev/null")]


# Fragments


def _fragment(path: Path) -> dict[str, Input]:
    """The values of one file by their dotted keys."""
    import yaml

    try:
        text = read_bounded(path, SIZE_MOST).decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"'{path}': is not UTF-8 text (byte {error.start})") from None
    except ValueError as error:
        raise ConfigError(f"{error}; settings are a small text file") from None
    except OSError as error:
        raise ConfigError(f"Failed to read '{path}': {error.strerror}") from None
    try:
        # Nodes, not values: they know their lines, and "no" and "off" stay the words they are.
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise ConfigError(f"'{path}'{line}: is not YAML: {problem}") from None
    except RecursionError:
        raise ConfigError(f"'{path}': is nested too deeply; see rcnetd.yaml(5)") from None
    inputs: dict[str, Input] = {}
    if node is not None:
        _collect(node, "", path, inputs)
    return inputs


def _collect(node: Any, prefix: str, path: Path, inputs: dict[str, Input]) -> None:
    import yaml

    if not isinstance(node, yaml.MappingNode):
        what = f"{prefix[:-1]}: " if prefix else ""
        raise _error(path, node, f"{what}must be a mapping of keys to values")
    seen: set[str] = set()
    for key_node, value_node in node.value:
        key = prefix + str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
        if key in seen:
            raise _error(path, key_node, f"{key}: is set twice; remove one")
        seen.add(key)
        if key in GROUPS:
            if not _is_null(value_node):
                _collect(value_node, f"{key}.", path, inputs)
        elif key in READERS:
            inputs[key] = Input(
                _plain(value_node, key, path),
                path,
                value_node.start_mark.line + 1,
                quoted=getattr(value_node, "style", None) in ("'", '"'),
            )
        else:
            names = [*READERS, *GROUPS]
            raise _error(path, key_node, f"{key}: is not a setting{_nearest(key, names)}")


def _plain(node: Any, key: str, path: Path) -> str | list[str] | None:
    import yaml

    if _is_null(node):
        return None
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    if isinstance(node, yaml.SequenceNode) and all(
        isinstance(entry, yaml.ScalarNode) for entry in node.value
    ):
        return [str(entry.value) for entry in node.value]
    raise _error(path, node, f"{key}: must be a value or a list of values")


def _is_null(node: Any) -> bool:
    return bool(node.tag == "tag:yaml.org,2002:null")


def _error(path: Path, node: Any, text: str) -> ConfigError:
    return ConfigError(f"'{path}' line {node.start_mark.line + 1}: {_one_line(text)}")


def _nearest(word: str, words: Iterable[str]) -> str:
    from difflib import get_close_matches

    words = [name for name in words if not word.startswith(f"{name}.")]
    by_tail = {name.rpartition(".")[2]: name for name in words}
    near = get_close_matches(word, words, 1, 0.6) or [
        by_tail[tail] for tail in get_close_matches(word.rpartition(".")[2], list(by_tail), 1, 0.8)
    ]
    return f"; did you mean '{near[0]}'?" if near else "; rcnetd.yaml(5) lists them"


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)[:300]


# Inputs to settings


def _settings(inputs: Mapping[str, Input]) -> Settings:
    values: dict[str, Any] = {}
    for key, given in inputs.items():
        try:
            value = READERS[key](given)
        except ValueError as error:
            text = _one_line(f"{key}: {error}")
            raise ConfigError(f"'{given.path}' line {given.line}: {text}") from None
        if value is not DEFAULT:
            values[key] = value
    interface = values.pop("servicenet.interface", {})
    return Settings(
        **{key: value for key, value in values.items() if "." not in key},
        servicenet=ServiceNetSettings(**_group(values, "servicenet"), **interface),
        gateway=GatewaySettings(**_group(values, "gateway")),
    )


def _group(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    prefix = f"{name}."
    return {key[len(prefix) :]: value for key, value in values.items() if key.startswith(prefix)}


DEFAULT = object()  # null: as if the key were not there


def _text(given: Input, what: str) -> str:
    if not isinstance(given.value, str):
        raise ValueError(f"must be {what}")
    return given.value


def _word(*words: str) -> Callable[[Input], str]:
    def read(given: Input) -> str:
        text = _text(given, f"one of {', '.join(words)}").lower()
        if text in words:
            return text
        from difflib import get_close_matches

        near = get_close_matches(text, words, 1)
        hint = f"; did you mean '{near[0]}'?" if near else f"; use one of {', '.join(words)}"
        raise ValueError(f"'{text}' is not known{hint}")

    return read


def _choice(kind: Any) -> Callable[[Input], Any]:
    read = _word(*(member.value for member in kind))
    return lambda given: kind(read(given))


def _flag(given: Input) -> bool:
    text = _text(given, "true or false").lower()
    if given.quoted or text not in ("true", "yes", "on", "false", "no", "off"):
        raise ValueError(f"'{text}' is not a truth value; use true or false")
    return text in ("true", "yes", "on")


def read_duration(text: str) -> float:
    """Seconds from `90s`, `5min`, `1h`, `250ms` or a number. Raises `ValueError`."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)\s*([a-z]*)", text.strip())
    if match is None or (match[2] or "s") not in UNITS:
        raise ValueError(f"'{text}' is not a length of time; use 90s, 5min, 1h or seconds")
    return float(match[1]) * UNITS[match[2] or "s"]


def _duration(*, zero: bool) -> Callable[[Input], float]:
    def read(given: Input) -> float:
        text = _text(given, "a length of time such as 90s, 5min or 1h")
        seconds = read_duration(text)
        if seconds > DURATION_MOST or (seconds == 0 and not zero):
            least = "0" if zero else "more than 0"
            raise ValueError(f"'{text}' is out of range; use {least} to a year")
        return seconds

    return read


def _number(least: int, most: int) -> Callable[[Input], int]:
    def read(given: Input) -> int:
        text = _text(given, f"a whole number from {least} to {most}")
        if not re.fullmatch(r"\d{1,6}", text) or not least <= int(text) <= most:
            raise ValueError(f"'{text}' is out of range; use a whole number from {least} to {most}")
        return int(text)

    return read


def _region(given: Input) -> str | object:
    region = _word("auto", *REGIONS)(given)
    return DEFAULT if region == "auto" else region


def _endpoint(given: Input) -> str:
    text = _text(given, "a base URL such as https://api.example.net").rstrip("/")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    clean = f"{parts.scheme}://{parts.netloc}{parts.path}" == text and "@" not in parts.netloc
    if parts.scheme not in ("https", "http") or not host or port == 0 or not clean:
        raise ValueError(f"'{text}' is not a base URL; use https://HOST or https://HOST:PORT")
    return text


def _ca_file(given: Input) -> str:
    text = _text(given, "the path of a PEM file")
    if not text.startswith("/"):
        raise ValueError(f"'{text}' must be an absolute path")
    return text


def _address(given: Input) -> IPv4Address:
    text = _text(given, "an IPv4 address")
    try:
        return IPv4Address(text)
    except ValueError:
        raise ValueError(f"'{text}' is not an IPv4 address") from None


def _interface(given: Input) -> dict[str, str]:
    text = _text(given, "auto, an interface's name or its MAC")
    if text == "auto":
        return {}
    if re.fullmatch(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}", text):
        return {"mac": text.lower().replace("-", ":")}
    if not re.fullmatch(r"[^\s/:]{1,15}", text) or text in (".", ".."):
        raise ValueError(f"'{text}' is neither an interface's name nor a MAC")
    return {"name": text}


def _networks(given: Input) -> tuple[IPv4Network, ...]:
    if not isinstance(given.value, list) or not given.value:
        raise ValueError("must be a list of networks such as [10.176.0.0/12, 10.208.0.0/12]")
    return _network_list(given.value)


def _public_routes(given: Input) -> tuple[IPv4Network, ...]:
    if not isinstance(given.value, list):
        raise ValueError("must be a list of networks such as [198.51.100.0/24]")
    networks = _network_list(given.value)
    for network in networks:
        if network.prefixlen < 8:
            raise ValueError(f"'{network}' is (almost) everything; name the networks")
    return networks


def _network_list(texts: list[str]) -> tuple[IPv4Network, ...]:
    networks = []
    for text in texts:
        try:
            networks.append(IPv4Network(text))
        except ValueError as error:
            raise ValueError(f"'{text}' is not an IPv4 network: {error}") from None
    return tuple(networks)


def _or_default(read: Callable[[Input], Any]) -> Callable[[Input], Any]:
    return lambda given: DEFAULT if given.value is None else read(given)


READERS: Mapping[str, Callable[[Input], Any]] = {
    key: _or_default(read)
    for key, read in {
        "region": _region,
        "endpoint": _endpoint,
        "ca_file": _ca_file,
        "api_address": _address,
        "servicenet.interface": _interface,
        "servicenet.networks": _networks,
        "servicenet.timeout": _duration(zero=False),
        "gateway.onlink": _flag,
        "gateway.check": _flag,
        "gateway.recheck": _duration(zero=True),
        "manage": _choice(Manage),
        "public_interface": _choice(PublicInterface),
        "public_ipv6": _choice(PublicIPv6),
        "public_routes": _public_routes,
        "persist": _choice(Persist),
        "requests_per_minute": _number(5, 30),
        "trust_after": _duration(zero=False),
        "deploy_timeout": _duration(zero=False),
    }.items()
}
GROUPS = ("servicenet", "gateway")
assert {field.name for field in fields(Settings)} == {key.partition(".")[0] for key in READERS}
