"""Reading the settings: every mistake is one line that says where, what, and what to do."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnetd.options import Manage, Persist, PublicInterface, PublicIPv6, Settings
from rcnetd.settings import ConfigError, load, read_duration
from tests.fuzzing import fuzz


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
gateway: {onlink: yes, check: off, recheck: 1h}
manage: never
public_interface: down
public_ipv6: no-default
persist: network-manager
requests_per_minute: 10
trust_after: 30
deploy_timeout: 2.5min
""",
    )

    assert (read.region, read.endpoint) == ("lon", "https://api.example.net:8443")
    assert (read.ca_file, read.api_address) == ("/etc/ssl/lab.pem", IPv4Address("10.208.0.10"))
    assert (read.servicenet.mac, read.servicenet.name) == ("bc:76:4e:20:6c:5b", None)
    assert read.servicenet.networks == (IPv4Network("192.168.0.0/16"),)
    assert read.servicenet.timeout == 90
    assert (read.gateway.onlink, read.gateway.check, read.gateway.recheck) == (True, False, 3600)
    assert read.manage is Manage.NEVER
    assert read.public_interface is PublicInterface.DOWN
    assert read.public_ipv6 is PublicIPv6.NO_DEFAULT
    assert read.persist is Persist.NETWORK_MANAGER
    assert (read.requests_per_minute, read.trust_after, read.deploy_timeout) == (10, 30, 150)


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
        ("gateway: {recheck: 9999h}", "line 1: gateway.recheck: '9999h' is out of range; use 0"
         " to a year"),
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


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xfe", "is not UTF-8"),
        (b"#" * 70_000, "is larger than"),
        (b"[" * 9000, "rcnetd.yaml"),
    ],
)
def test_a_file_that_is_no_settings_file(tmp_path: Path, data: bytes, message: str) -> None:
    """Binary, huge or endlessly nested: refused in one line."""
    path = tmp_path / "rcnetd.yaml"
    path.write_bytes(data)

    with pytest.raises(ConfigError, match=message) as caught:
        load([path], environ={})
    assert "\n" not in str(caught.value)


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    """`--config` is a promise; a directory is no file."""
    with pytest.raises(ConfigError, match="No such file"):
        load([tmp_path / "missing.yaml"], environ={})
    with pytest.raises(ConfigError, match=r"Failed to read|not a regular file"):
        load([tmp_path], environ={})


def test_files_are_merged_key_by_key(tmp_path: Path) -> None:
    """A later file wins where it says something, also inside a group."""
    (tmp_path / "a.yaml").write_text("region: dfw\ngateway: {onlink: true, check: false}\n")
    (tmp_path / "b.yaml").write_text("gateway: {check: true}\n")
    read = load([tmp_path / "a.yaml", tmp_path / "b.yaml"], environ={})

    assert (read.region, read.gateway.onlink, read.gateway.check) == ("dfw", True, True)


def put(root: Path, name: str, text: str) -> None:
    """A file below *root*."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_directories_as_systemd_has_them(tmp_path: Path) -> None:
    """/etc hides /run hides /usr/lib, by file name; drop-ins come after, in order of names."""
    put(tmp_path, "usr/lib/rcnetd/rcnetd.yaml", "region: hkg\nmanage: never\n")
    put(tmp_path, "etc/rcnetd/rcnetd.yaml", "region: dfw\n")
    put(tmp_path, "usr/lib/rcnetd/conf.d/20-b.yaml", "region: lon\n")
    put(tmp_path, "run/rcnetd/conf.d/10-a.yaml", "region: syd\npersist: none\n")
    put(tmp_path, "usr/lib/rcnetd/conf.d/30-c.yaml", "trust_after: 1\n")
    put(tmp_path, "etc/rcnetd/conf.d/30-c.yaml", "trust_after: 2\n")
    put(tmp_path, "usr/lib/rcnetd/conf.d/40-d.yaml", "requests_per_minute: 5\n")
    (tmp_path / "etc/rcnetd/conf.d/40-d.yaml").symlink_to("/dev/null")
    put(tmp_path, "etc/rcnetd/conf.d/ignored.txt", "nonsense: true\n")

    read = load(environ={}, root=tmp_path)

    assert (read.region, read.manage, read.persist) == ("lon", Manage.AUTO, Persist.NONE)
    assert (read.trust_after, read.requests_per_minute) == (2.0, 18)


def test_systemd_names_the_directories(tmp_path: Path) -> None:
    """So that it runs anywhere without root's directories."""
    put(tmp_path, "here/rcnetd.yaml", "region: dfw\n")
    put(tmp_path, "there/conf.d/a.yaml", "manage: always\n")
    environ = {"CONFIGURATION_DIRECTORY": "/here:/x", "RUNTIME_DIRECTORY": "/there"}

    read = load(environ=environ, root=tmp_path)

    assert (read.region, read.manage) == ("dfw", Manage.ALWAYS)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("5min", 300), ("1h", 3600), ("250ms", 0.25), ("2.5", 2.5), ("1 d", 86400)],
)
def test_lengths_of_time(text: str, seconds: float) -> None:
    """As people and systemd write them."""
    assert seconds == read_duration(text)


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
