"""Validates the settings: inputs (merged fragments) -> `Settings`.

Every mistake is a `ConfigError` of one line that names file, line, key and what to do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any
from urllib.parse import urlsplit

from rcnetd.basic.dataclass import fields
from rcnetd.basic.text import read_duration
from rcnetd.config.fragments import ConfigError, Input, one_line
from rcnetd.core.settings import (
    REGIONS,
    Backend,
    GatewaySettings,
    Manage,
    PublicInterface,
    PublicIPv6,
    ServiceNetSettings,
    Settings,
)

MAX_DURATION = 366 * 86400.0  # seconds


def settings(inputs: Mapping[str, Input]) -> Settings:
    """The settings that the merged *inputs* mean. Raises `ConfigError`."""
    values: dict[str, Any] = {}
    for key, given in inputs.items():
        try:
            value = READERS[key](given)
        except ValueError as error:
            text = one_line(f"{key}: {error}")
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


def _duration(*, zero: bool) -> Callable[[Input], float]:
    def read(given: Input) -> float:
        text = _text(given, "a length of time such as 90s, 5min or 1h")
        seconds = read_duration(text)
        if seconds > MAX_DURATION or (seconds == 0 and not zero):
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
    text = text.removesuffix("/v1")  # as in all URLs of the API page
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
        "gateway.recheck_interval": _duration(zero=True),
        "manage": _choice(Manage),
        "public_interface": _choice(PublicInterface),
        "public_ipv6": _choice(PublicIPv6),
        "public_routes": _public_routes,
        "persist": _choice(Backend),
        "requests_per_minute": _number(5, 30),
        "fallback_after": _duration(zero=False),
        "deploy_timeout": _duration(zero=False),
    }.items()
}
GROUPS = ("servicenet", "gateway")
assert {field.name for field in fields(Settings)} == {key.partition(".")[0] for key in READERS}
