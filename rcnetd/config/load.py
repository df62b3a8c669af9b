"""The settings, and the endpoint that they mean: what `rcnetd` and `rcnetctl` both begin with."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from rcnetd.config import fragments, validate
from rcnetd.config.fragments import ConfigError
from rcnetd.core.settings import Metadata, Settings


class NoRegion(ConfigError):
    """Neither a setting nor the platform names the region, or an endpoint."""


def load(
    config_files: Sequence[Path] = (),
    *,
    environ: Mapping[str, str],
    root: Path = Path("/"),
) -> Settings:
    """Read and validate the settings. Raises `ConfigError`.

    *config_files* are read instead of those in the usual directories (`fragments.find`), in order.
    Below a foreign *root* nothing leads out of it. A key in a later file wins over the same key in
    an earlier one. Without any file all settings have their defaults.
    """
    tree = None
    if root != Path("/") and not config_files:
        from rcnetd.basic.chroot_files import Chroot

        tree = Chroot(root)
    inputs: dict[str, fragments.Input] = {}
    for path in config_files or fragments.find(environ, tree):
        inputs.update(fragments.read(path, validate.READERS, validate.GROUPS, tree))
    return validate.settings(inputs)


def endpoint(settings: Settings, metadata: Metadata) -> str:
    """The base URL of the API: the setting, else the region's.

    Raises `NoRegion` that names the three ways to set it when no region is known.
    """
    if settings.endpoint is not None:
        return settings.endpoint
    region = settings.region or metadata.region
    if region is None:
        raise NoRegion(
            "no region is known: set 'region' in /etc/rcnetd/rcnetd.yaml, or 'endpoint' there, or"
            " have the platform name it (xenstore vm-data/provider_data/region, or the config"
            " drive)"
        )
    # "Use the endpoint that matches the region where your cloud server resides." (the API page)
    return f"https://{region}.api.rackconnect.rackspace.com"


def configuration(files: Sequence[Path], metadata: Metadata) -> tuple[Settings, str]:
    """The settings and the endpoint that they mean ("": none is needed). Raises `ConfigError`."""
    settings = load(files, environ=os.environ)
    return settings, "" if metadata.is_rackconnect_v3 else endpoint(settings, metadata)
