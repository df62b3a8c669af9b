"""The clouds of clouds.yaml and OS_*, their login, and the Cloud Servers API of each region.

The door to openstacksdk (configuration), keystoneauth (login, session) and requests (bodies). None
of the SDK's objects is used: they cost 13 to 37 s of CPU for 10,000 servers.
"""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import requests
import yaml
from keystoneauth1 import exceptions as ksa

from rcnetd.basic.dataclass import dataclass
from rcnetd.basic.text import plain
from rcnetd.fleet.failures import Failure, retry_after
from rcnetd.fleet.reader import Answer

with warnings.catch_warnings():  # old SDKs on a new Python, new ones on an old
    warnings.simplefilter("ignore")
    from openstack import config as sdk
    from openstack.exceptions import SDKException

TIMEOUT = (10.0, 60.0)  # seconds to connect, and between two pieces of an answer
MAX_TIME = 180.0  # seconds for one answer as a whole; Nova needs up to 36 for ten pages
MAX_BODY = 64 * 2**20  # bytes
CHUNK = 2**18
FIRST_GENERATION = "/v1.0/"  # Rackspace's old API has the same service type
# Warnings are collected for the whole process: one cloud after the other, without the network.
CONFIGURING = threading.Lock()
# What the SDK raises for values in clouds.yaml that it did not expect.
WRONG_VALUES = (TypeError, ValueError, KeyError, AttributeError, yaml.YAMLError, OSError)


@dataclass(frozen=True)
class Region:
    """The Cloud Servers API of one region of a cloud, ready to be asked."""

    cloud: str
    name: str
    get: Callable[[str, Mapping[str, str]], Answer]


class Cloud:
    """A cloud by its name in clouds.yaml; None: the one that OS_* or clouds.yaml imply."""

    def __init__(self, name: str | None) -> None:
        self._given = name
        self.name = name or os.environ.get("OS_CLOUD") or "OS_*"
        self._config: Any = None
        self._session: Any = None

    def regions(self, wanted: tuple[str, ...]) -> list[Region]:
        """Log in; the regions of the catalog, or those of them that are *wanted* (in any case).

        Raises `Failure`.
        """
        try:
            if self._session is None:
                self._configure()
            catalog = self._session.auth.get_access(self._session).service_catalog
            endpoints = self._endpoints(catalog)
        except ksa.ClientException as error:
            raise explain(error) from None
        known = {name.upper(): name for name in endpoints}
        for name in wanted:
            if name.upper() not in known:
                raise Failure(
                    f"the account has no Cloud Servers in region '{plain(name, 40)}'; it has"
                    f" {', '.join(sorted(endpoints)) or 'none'}",
                    os.EX_CONFIG,
                )
        chosen = [known[name.upper()] for name in dict.fromkeys(wanted)] or sorted(endpoints)
        if not chosen:
            raise Failure("its catalog has no Cloud Servers API (service type compute)", 78)
        return [Region(self.name, name, self._getter(endpoints[name])) for name in chosen]

    def _configure(self) -> None:
        with CONFIGURING, warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                self._config = sdk.OpenStackConfig().get_one(self._given)
                self._session = self._config.get_session()
            except (SDKException, ksa.ClientException, *WRONG_VALUES) as error:
                raise _not_configured(error, [str(one.message) for one in told]) from None
        self.name = self._config.name or self.name
        self._session.timeout = TIMEOUT[1]  # of the login; none by default

    def _endpoints(self, catalog: Any) -> dict[str, str]:
        """The URL of each region; an override in clouds.yaml wins."""
        interface = self._config.get_interface("compute") or "public"
        listed = catalog.get_endpoints_data(
            service_type="compute",
            interface=interface,
            service_name=self._config.get_service_name("compute"),
        )
        found = {
            one.region_name: one.url
            for endpoints in listed.values()
            for one in endpoints
            if one.region_name and one.url and FIRST_GENERATION not in f"{one.url}/"
        }
        override = self._config.config.get("compute_endpoint_override")
        if override:
            return {self._config.get_region_name("compute") or "default": override}
        return found

    def _getter(self, url: str) -> Callable[[str, Mapping[str, str]], Answer]:
        def get(path: str, params: Mapping[str, str]) -> Answer:
            return self._get(url, path, params)

        return get

    def _get(self, url: str, path: str, params: Mapping[str, str]) -> Answer:
        """One GET; a token that has expired is renewed once (keystoneauth's own rule)."""
        end = time.monotonic() + MAX_TIME
        try:
            response = self._session.request(
                f"{url.rstrip('/')}{path}", "GET", authenticated=True, raise_exc=False,
                redirect=False, log=False, timeout=TIMEOUT, stream=True, params=dict(params),
                headers={"Accept": "application/json"},
            )  # fmt: skip
            with response:
                return Answer(response.status_code, response.headers, _body(response, end))
        except ksa.ClientException as error:
            raise explain(error) from None
        except (requests.RequestException, OSError) as error:
            raise Failure(f"the connection broke: {cause(error)}", transient=True) from None


def _body(response: Any, end: float) -> bytes:
    parts, size = [], 0
    for chunk in response.iter_content(CHUNK):
        parts.append(chunk)
        size += len(chunk)
        if size > MAX_BODY:
            raise Failure(f"its answer is larger than {MAX_BODY >> 20} MiB")
        if time.monotonic() > end:
            raise Failure(f"its answer was not complete after {MAX_TIME:.0f}s", transient=True)
    return b"".join(parts)


def _not_configured(error: Exception, warned: list[str]) -> Failure:
    if isinstance(error, ksa.NoMatchingPlugin):
        if error.name.startswith("rackspace"):
            return Failure("the Python package rackspaceauth is missing: pip install it", 78)
        return Failure(f"its auth_type '{plain(error.name, 40)}' is not known here", 78)
    if isinstance(error, TypeError) and "api_key" in str(error):
        return Failure("an api_key needs 'auth_type: rackspace_apikey' in clouds.yaml", 78)
    # A vendor profile that does not exist is only a warning, and a cloud without a URL follows.
    missing = next((plain(text, 160) for text in warned if "vendor profile" in text), None)
    return Failure(f"its settings (clouds.yaml, OS_*) are wrong: {missing or cause(error)}", 78)


# The first that fits holds: subclasses before their bases.
NOT_AUTHORISED = "not authorised: check the user name and the password or API key"
REASONS: tuple[tuple[type[Exception], str, int, bool], ...] = (
    (ksa.Unauthorized, NOT_AUTHORISED, os.EX_NOPERM, False),
    (ksa.Forbidden, "this user may not log in (403)", os.EX_NOPERM, False),
    (ksa.NotFound, "its auth_url is not an Identity API (404)", os.EX_CONFIG, False),
    (ksa.EndpointNotFound, "its catalog has no such service", os.EX_CONFIG, False),
    (ksa.EmptyCatalog, "its catalog is empty: is a project given?", os.EX_CONFIG, False),
    (ksa.MissingRequiredOptions, "credentials are missing", os.EX_CONFIG, False),
    (ksa.SSLError, "TLS failed", os.EX_TEMPFAIL, False),
    (ksa.ConnectTimeout, "it does not answer in time", os.EX_TEMPFAIL, True),
    (ksa.ConnectFailure, "it cannot be reached", os.EX_TEMPFAIL, True),
    (ksa.UnknownConnectionError, "the connection broke", os.EX_TEMPFAIL, True),
    (ksa.DiscoveryFailure, "its Identity API was not found", os.EX_TEMPFAIL, True),
)
DETAILED = (ksa.SSLError, ksa.ConnectFailure, ksa.MissingRequiredOptions)


def explain(error: Exception) -> Failure:
    """One plain line for what keystoneauth raised, and whether asking again may help."""
    for kind, reason, code, transient in REASONS:
        if isinstance(error, kind):
            detail = f" ({cause(error)})" if isinstance(error, DETAILED) else ""
            unreachable = isinstance(error, (ksa.ConnectFailure, ksa.ConnectTimeout))
            return Failure(f"{reason}{detail}", code, transient=transient, unreachable=unreachable)
    if isinstance(error, ksa.HttpError):
        status, response = error.http_status, error.response
        headers = response.headers if response is not None else {}
        busy = status in (413, 429) or status >= 500
        return Failure(
            f"the login is answered with {status}",
            transient=busy,
            retry_after=retry_after(headers.get("Retry-After")),
        )
    return Failure(f"the login failed: {cause(error)}", os.EX_CONFIG)


def cause(error: Exception) -> str:
    """The innermost reason in a few words: "Connection refused", "certificate has expired"."""
    text = plain(str(error), 600)
    for known, told in CAUSES:
        if known in text:
            return told
    return plain(text or type(error).__name__, 160)


CAUSES = (
    ("certificate has expired", "its certificate has expired, or this clock is wrong"),
    ("certificate is not yet valid", "its certificate is not valid yet, or this clock is wrong"),
    ("self-signed certificate", "its certificate is self-signed; 'cacert' names its authority"),
    ("self signed certificate", "its certificate is self-signed; 'cacert' names its authority"),
    ("unable to get local issuer", "its certificate's authority is unknown; 'cacert' names it"),
    ("ostname", "its certificate is for another name, or its name is unknown"),
    ("Connection refused", "connection refused"),
    ("Name or service not known", "its name cannot be resolved"),
    ("name resolution", "its name cannot be resolved"),
    ("Network is unreachable", "the network is unreachable"),
    ("No route to host", "no route to host"),
    ("timed out", "no answer in time"),
    ("Connection reset", "connection reset"),
    ("Connection aborted", "the connection was closed"),
    ("IncompleteRead", "half of the answer is missing"),
)
