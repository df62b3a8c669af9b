"""clouds.yaml, login and regions, with the real SDK against a cloud on loopback."""

from __future__ import annotations

import importlib.util
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from rcnetd.fleet.clouds import Cloud, Region
from rcnetd.fleet.failures import Failure
from tests.support.openstack import OpenStack, half, says, server, write_clouds
from tests.support.openstack import Region as Servers
from tests.unit.fleet.conftest import Serve

needs_rackspaceauth = pytest.mark.skipif(
    importlib.util.find_spec("rackspaceauth") is None, reason="no distribution has rackspaceauth"
)


def listed(region: Region) -> int:
    """The status of one list."""
    return region.get("/servers/detail", {}).status


def test_the_regions_are_those_of_the_catalog(serve: Serve) -> None:
    """One login for all of them, and it serves their lists."""
    cloud = serve(ORD=Servers([server(1)]), DFW=Servers([]))
    regions = Cloud("lab").regions(())

    assert ["DFW", "ORD"] == [one.name for one in regions]
    assert [200, 200] == [listed(one) for one in regions]
    assert 1 == cloud.logins


@pytest.mark.parametrize("name", ["ord", "ORD", "Ord"])
def test_a_region_in_any_case(serve: Serve, name: str) -> None:
    """Rackspace's are upper case; people are not."""
    serve(ORD=Servers([]), DFW=Servers([]))

    assert ["ORD"] == [one.name for one in Cloud("lab").regions((name,))]


def test_an_unknown_region_names_those_that_are_there(serve: Serve) -> None:
    """Exit code 78."""
    serve(ORD=Servers([]), DFW=Servers([]))

    with pytest.raises(Failure, match="'lon'; it has DFW, ORD") as caught:
        Cloud("lab").regions(("lon",))
    assert 78 == caught.value.code


@needs_rackspaceauth
def test_rackspaces_api_key(serve: Serve, tmp_path: Path) -> None:
    """Its vendor profile, Identity v2, and not the API of the first generation."""
    cloud = serve(ORD=Servers([server(1)]))
    write_clouds(tmp_path / "clouds.yaml", {"rax": cloud.rackspace()})
    regions = Cloud("rax").regions(())

    assert ["ORD"] == [one.name for one in regions]
    assert 200 == listed(regions[0])


@needs_rackspaceauth
def test_a_wrong_api_key(serve: Serve, tmp_path: Path) -> None:
    """Exit code 77."""
    cloud = serve(ORD=Servers([]))
    write_clouds(tmp_path / "clouds.yaml", {"rax": cloud.rackspace(key="other")})

    with pytest.raises(Failure, match="not authorised") as caught:
        Cloud("rax").regions(())
    assert 77 == caught.value.code


def test_a_cloud_by_the_environment(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """OS_*, as an openrc file sets them."""
    cloud = serve(ORD=Servers([]))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", "/nonexistent/clouds.yaml")
    for key, value in cloud.settings()["auth"].items():
        monkeypatch.setenv(f"OS_{key.upper()}", value)
    monkeypatch.setenv("OS_IDENTITY_API_VERSION", "3")

    assert ["ORD"] == [one.name for one in Cloud(None).regions(())]


def test_an_expired_token_is_renewed_once(serve: Serve) -> None:
    """In the middle of a wait; then it is a failure."""
    cloud = serve(ORD=Servers([server(1)]))
    (region,) = Cloud("lab").regions(())
    cloud.expire_tokens()

    assert 200 == listed(region)
    assert 2 == cloud.logins

    assert cloud.regions["ORD"] is not None
    cloud.regions["ORD"].faults.extend([says(401), says(401)])
    assert 401 == listed(region)
    assert 3 == cloud.logins


@pytest.mark.parametrize(
    ("settings", "text", "code"),
    [
        ({"auth": {}}, "settings", 78),
        ({"auth": {"auth_url": "http://127.0.0.1:1/v3", "username": "u", "password": "p",
                   "project_name": "p"}}, "connection refused", 75),
        ({"auth": 5}, "settings", 78),
        ({"auth_type": "nonsense", "auth": {}}, "nonsense", 78),
        ({"profile": "nonsense"}, "nonsense", 78),
        ({"profile": "rackspace", "auth": {"username": "u", "api_key": "k"}}, "rackspace_apikey",
         78),
        ([], "settings", 78),
        (None, "settings", 78),
        ("x", "settings", 78),
    ],
)  # fmt: skip
def test_wrong_settings_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any, text: str, code: int
) -> None:
    """Whatever the SDK makes of them."""
    write_clouds(tmp_path / "clouds.yaml", {"lab": settings})
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))

    with pytest.raises(Failure, match=text) as caught:
        Cloud("lab").regions(())
    assert code == caught.value.code
    assert "\n" not in caught.value.reason


@pytest.mark.parametrize("text", ["clouds: [", "clouds: 5", "- x", "", "clouds: {lab: {auth: *x}}"])
def test_a_broken_file_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Not YAML, not of its form, or without the cloud."""
    (tmp_path / "clouds.yaml").write_text(text)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))

    with pytest.raises(Failure, match="settings") as caught:
        Cloud("lab").regions(())
    assert 78 == caught.value.code


@pytest.mark.parametrize(
    ("fault", "text", "code", "transient"),
    [
        (says(413, Retry_After="7"), "413", 75, True),
        (says(429), "429", 75, True),
        (says(503), "503", 75, True),
        (says(500), "500", 75, True),
        (says(403), "403", 77, False),
        (says(404), "404", 78, False),
        (says(201, b"<html>"), "login", 78, False),
    ],
)
def test_a_login_that_fails(
    serve: Serve, fault: Any, text: str, code: int, transient: bool
) -> None:
    """keystoneauth never repeats it; whether we may is said."""
    cloud = serve(ORD=Servers([]))
    cloud.login_faults.append(fault)
    logins = Cloud("lab")

    with pytest.raises(Failure, match=text) as caught:
        logins.regions(())
    assert (code, transient) == (caught.value.code, caught.value.transient)
    if transient:
        assert ["ORD"] == [one.name for one in logins.regions(())]
    if "413" in text:
        assert 7.0 == caught.value.retry_after


def test_an_untrusted_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Says that it is the certificate, and what helps."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    served = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    served.handle_error = lambda *_: None  # type: ignore[method-assign] # the client hangs up
    served.socket = context.wrap_socket(served.socket, server_side=True)
    threading.Thread(target=served.serve_forever, args=(0.02,), daemon=True).start()
    url = f"https://localhost:{served.server_address[1]}/v3"
    auth = {"auth_url": url, "username": "u", "password": "p", "project_name": "p"}
    write_clouds(tmp_path / "clouds.yaml", {"lab": {"auth": auth}})
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    try:
        with pytest.raises(Failure, match="authority is unknown; 'cacert' names it"):
            Cloud("lab").regions(())
    finally:
        served.shutdown()
        served.server_close()


def test_nothing_of_a_page_is_taken_from_half_an_answer(serve: Serve) -> None:
    """The connection ends before the body does: a failure that may pass."""
    cloud = serve(ORD=Servers([]))
    (region,) = Cloud("lab").regions(())
    assert cloud.regions["ORD"] is not None
    cloud.regions["ORD"].faults.append(half)

    with pytest.raises(Failure, match="half of the answer is missing") as caught:
        listed(region)
    assert caught.value.transient


def test_regions_share_a_session_between_threads(serve: Serve) -> None:
    """Many lists at once, one login."""
    cloud = serve(**{name: Servers([server(1)]) for name in ("A", "B", "C", "D")})
    regions = Cloud("lab").regions(())
    cloud.expire_tokens()
    threads = [threading.Thread(target=listed, args=(one,)) for one in regions * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert [200] * 4 == [listed(one) for one in regions]


def test_an_endpoint_of_clouds_yaml_wins(serve: Serve) -> None:
    """As with every OpenStack client."""
    other = OpenStack({"X": Servers([server(1)])})
    try:
        serve(settings={"compute_endpoint_override": other.place("X")}, ORD=Servers([]))
        (region,) = Cloud("lab").regions(())
        assert 401 == listed(region)  # it is asked, and does not know the token
    finally:
        other.stop()
