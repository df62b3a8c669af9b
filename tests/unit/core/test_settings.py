"""The defaults of the settings are the documented ones."""

from __future__ import annotations

from ipaddress import IPv4Network

from rcnetd.core.settings import Backend, Manage, PublicInterface, PublicIPv6, Settings


def test_the_defaults() -> None:
    """As in rcnetd.yaml(5)."""
    settings = Settings()

    assert [None] * 4 == [
        settings.region,
        settings.endpoint,
        settings.ca_file,
        settings.api_address,
    ]
    assert (None, None) == (settings.servicenet.name, settings.servicenet.mac)
    assert settings.servicenet.networks == (
        IPv4Network("10.176.0.0/12"),
        IPv4Network("10.208.0.0/12"),
    )
    assert settings.servicenet.timeout == 300
    assert not settings.gateway.onlink
    assert settings.gateway.check
    assert settings.gateway.recheck_interval == 900
    assert settings.manage is Manage.AUTO
    assert settings.public_interface is PublicInterface.NO_DEFAULT
    assert settings.public_ipv6 is PublicIPv6.KEEP
    assert settings.persist is Backend.AUTO
    assert settings.requests_per_minute == 18
    assert (settings.fallback_after, settings.deploy_timeout) == (120, 3600)


def test_a_plain_endpoint_is_known() -> None:
    """`http://` is worth a warning."""
    assert Settings(endpoint="http://10.0.0.1:8080").endpoint_is_plain
    assert not Settings(endpoint="https://10.0.0.1").endpoint_is_plain
    assert not Settings().endpoint_is_plain
