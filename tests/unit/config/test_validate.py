"""Reading the settings: every mistake is one line that says where, what, and what to do."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnetd.config.fragments import ConfigError
from rcnetd.config.load import load
from rcnetd.core.settings import Backend, Manage, PublicInterface, PublicIPv6, Settings
from tests.support.fuzzing import fuzz


def from_text(tmp_path: Path, text: str) -> Settings:
    """The settings in a file with this text."""
    path = tmp_path / "rcnetd.yaml"
    path.write_text(text)
    return load([path], environ={})


def mistake(tmp_path: Path, text: str) -> str:
    """The message for a file with this text, without the file's name."""
    with pytest.raises(ConfigError) as caught:
        from_text(tmp_path, text)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"'{tmp_path / 'rcnetd.yaml'}' ", "")


def test_no_file_means_the_defaults(tmp_path: Path) -> None:
    """A golden image need not carry one."""
    assert load(environ={}, root=tmp_path) == Settings()
    assert from_text(tmp_path, "") == Settings()
    assert from_text(tmp_path, "# only a comment\nservicenet:\n") == Settings()


def test_every_setting(tmp_path: Path) -> None:
    """Each is read in its form."""
    read = from_text(
        tmp_path,
        """
region: LON
endpoint: https://api.example.net:8443/
ca_file: /etc/ssl/lab.pem
api_address: 10.208.0.10
servicenet:
  interface: BC-76-4E-20-6C-5B
  networks: [192.168.0.0/16]
  timeout: 90s
gateway: {onlink: yes, check: off, recheck_interval: 1h}
manage: never
public_interface: down
public_ipv6: no-default
persist: network-manager
requests_per_minute: 10
fallback_after: 30
deploy_timeout: 2.5min
""",
    )

    assert (read.region, read.endpoint) == ("lon", "https://api.example.net:8443")
    assert (read.ca_file, read.api_address) == ("/etc/ssl/lab.pem", IPv4Address("10.208.0.10"))
    assert (read.servicenet.mac, read.servicenet.name) == ("bc:76:4e:20:6c:5b", None)
    assert read.servicenet.networks == (IPv4Network("192.168.0.0/16"),)
    assert read.servicenet.timeout == 90
    assert (read.gateway.onlink, read.gateway.check, read.gateway.recheck_interval) == (
        True,
        False,
        3600,
    )
    assert read.manage is Manage.NEVER
    assert read.public_interface is PublicInterface.DOWN
    assert read.public_ipv6 is PublicIPv6.NO_DEFAULT
    assert read.persist is Backend.NETWORK_MANAGER
    assert (read.requests_per_minute, read.fallback_after, read.deploy_timeout) == (10, 30, 150)


def test_auto_and_null_are_the_defaults(tmp_path: Path) -> None:
    """What is written out as in the manual changes nothing."""
    text = "region: auto\nendpoint: null\nservicenet: {interface: auto}\ngateway: null\n"

    assert from_text(tmp_path, text) == Settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("regoin: dfw", "line 1: regoin: is not a setting; did you mean 'region'?"),
        (
            "region: dfw\ngateway:\n  onlnk: true",
            "line 3: gateway.onlnk: is not a setting; did you mean 'gateway.onlink'?",
        ),
        ("onlink: true", "line 1: onlink: is not a setting; did you mean 'gateway.onlink'?"),
        ("x: 1", "line 1: x: is not a setting; rcnetd.yaml(5) lists them"),
        ("region: dwf", "line 1: region: 'dwf' is not known; did you mean 'dfw'?"),
        ("manage: no", "line 1: manage: 'no' is not known; use one of auto, always, never"),
        ("persist: netpaln", "line 1: persist: 'netpaln' is not known; did you mean 'netplan'?"),
        ("region: [dfw]", "line 1: region: must be one of auto, dfw, hkg, iad, lon, ord, syd"),
        ("region: dfw\nregion: ord", "line 2: region: is set twice; remove one"),
        ("gateway: 5", "line 1: gateway: must be a mapping of keys to values"),
        ("- a", "line 1: must be a mapping of keys to values"),
        (
            "gateway: {check: maybe}",
            "line 1: gateway.check: 'maybe' is not a truth value; use true or false",
        ),
        (
            "gateway: {check: 'yes'}",
            "line 1: gateway.check: 'yes' is not a truth value; use true or false",
        ),
        (
            "deploy_timeout: 60minutes",
            "line 1: deploy_timeout: '60minutes' is not a length of time; use 90s, 5min, 1h or"
            " seconds",
        ),
        (
            "deploy_timeout: 0",
            "line 1: deploy_timeout: '0' is out of range; use more than 0 to a year",
        ),
        (
            "gateway: {recheck_interval: 9999h}",
            "line 1: gateway.recheck_interval: '9999h' is out of range; use 0 to a year",
        ),
        (
            "requests_per_minute: 31",
            "line 1: requests_per_minute: '31' is out of range; use a whole number from 5 to 30",
        ),
        (
            "requests_per_minute: 4",
            "line 1: requests_per_minute: '4' is out of range; use a whole number from 5 to 30",
        ),
        (
            "endpoint: ftp://x",
            "line 1: endpoint: 'ftp://x' is not a base URL; use https://HOST or https://HOST:PORT",
        ),
        (
            "endpoint: https://u:p@x",
            "line 1: endpoint: 'https://u:p@x' is not a base URL; use https://HOST or"
            " https://HOST:PORT",
        ),
        (
            "endpoint: https://x:99999",
            "line 1: endpoint: 'https://x:99999' is not a base URL; use https://HOST or"
            " https://HOST:PORT",
        ),
        ("ca_file: lab.pem", "line 1: ca_file: 'lab.pem' must be an absolute path"),
        ("api_address: ::1", "line 1: api_address: '::1' is not an IPv4 address"),
        (
            "servicenet: {interface: a/b}",
            "line 1: servicenet.interface: 'a/b' is neither an interface's name nor a MAC",
        ),
        (
            "servicenet: {networks: 10.0.0.0/8}",
            "line 1: servicenet.networks: must be a list of networks such as [10.176.0.0/12,"
            " 10.208.0.0/12]",
        ),
        ("region: {a: b}", "line 1: region: must be a value or a list of values"),
        ("region: dfw\na: [b", "line 2: is not YAML: expected ',' or ']', but got '<stream end>'"),
        ("? [a]\n: b", "line 1: ?: is not a setting; rcnetd.yaml(5) lists them"),
        ("endpoint: [a]", "line 1: endpoint: must be a base URL such as https://api.example.net"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    """File, line, key, what is wrong, and what to do."""
    assert message == mistake(tmp_path, text)


def test_a_network_with_host_bits_is_named(tmp_path: Path) -> None:
    """The library's own reason is passed on."""
    message = mistake(tmp_path, "servicenet: {networks: [10.176.0.1/12]}")

    assert "servicenet.networks: '10.176.0.1/12' is not an IPv4 network" in message


@fuzz(500)
@given(st.text(max_size=80) | st.builds(
    "{}: {}".format, st.sampled_from(["region", "gateway", "endpoint", "servicenet", "manage"]),
    st.text(max_size=30),
))  # fmt: skip
def test_no_text_breaks_it(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Settings, or one line: nothing else comes of any text."""
    path = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    said = ""
    try:
        load([path], environ={})
    except ConfigError as error:
        said = str(error)
    assert "\n" not in said


def test_the_endpoint_as_the_api_page_has_it(tmp_path: Path) -> None:
    """All its URLs begin with /v1, which people copy."""
    read = from_text(tmp_path, "endpoint: https://dfw.api.rackconnect.rackspace.com/v1/")

    assert read.endpoint == "https://dfw.api.rackconnect.rackspace.com"
