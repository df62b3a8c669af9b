"""The addresses and routes of keyfiles."""

from __future__ import annotations

import pytest

from rcnetd.hostconfig.renderers.keyfile_fields import canonical, parse_fields, parse_gateway


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("route1=10.0.0.0/8,192.0.2.1", ("route", "10.0.0.0/8,192.0.2.1")),
        ("routes2=0.0.0.0;0;192.0.2.1;0;", ("route", "0.0.0.0/0,192.0.2.1,0")),
        ("route=0.0.0.0/0,,5", ("route", "0.0.0.0/0,0.0.0.0,5")),
        ("route3=::/0,5", ("route", "::/0,::,5")),
        ("routes2_options=table=7,mtu=1400", ("route_options", "mtu=1400,table=7")),
        ("addresses1=192.0.2.2;24;192.0.2.1;", ("address", "192.0.2.2/24,192.0.2.1")),
        ("address1=x", ("address", "x")),
        ("gateway=192.0.2.1", ("gateway", "192.0.2.1")),
    ],
)
def test_one_form_of_each_value(line: str, expected: tuple[str, str]) -> None:
    """NetworkManager reads several, and writes this one."""
    key, _, value = line.partition("=")
    assert canonical(key, value) == expected


@pytest.mark.parametrize(
    ("value", "prefix"),
    [
        ("192.0.2.0/25", 25),
        ("192.0.2.0", 24),
        ("192.0.2.0/33", 24),
        ("192.0.2.0//192.0.2.1", 24),
        ("2001:db8::", 64),
        ("2001:db8::/0", 0),
    ],
)
def test_prefix_lengths(value: str, prefix: int) -> None:
    """One that is missing or too large is the default."""
    fields = parse_fields(value, "ipv6" if ":" in value else "ipv4")
    assert fields is not None
    assert fields.prefix == prefix


@pytest.mark.parametrize("value", ["", "x", "192.0.2.0/24 ", "192.0.2.0/24,x", "1/2,192.0.2.1,3,4"])
def test_what_networkmanager_ignores(value: str) -> None:
    """A value with anything else in it is none."""
    assert parse_fields(value, "ipv4") is None


def test_zeros_are_no_gateway() -> None:
    """An old NetworkManager wrote them where there was none."""
    assert parse_gateway("0.0.0.0", "ipv4") is None
    assert parse_gateway("::", "ipv6") is None
    assert str(parse_gateway("192.0.2.1", "ipv4")) == "192.0.2.1"
