"""The checks of `rcnetctl preflight`: what an image must have before its snapshot. Pure.

The contract is that of Rackspace's own `preflight.sh`: lines that begin with PASS, WARNING or FAIL,
warnings and failures on stderr, and only a FAIL makes the exit code other than 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum

from rcnetd.basic.dataclass import dataclass, field
from rcnetd.core.settings import PublicIPv6, Settings
from rcnetd.ctl.access import Obstacle

MIN_PYTHON = (3, 9)
# What the supported distributions ship: Debian 11 and Enterprise Linux 9, and later ones.
MIN_LIBRARIES = {
    "pyroute2": (0, 5, 14),
    "requests": (2, 25),
    "PyYAML": (5, 3),
    "systemd-python": (234,),
}
UNITS = ("rcnetd.service", "rcnetd-deployed.service", "rcnetd-wait-online.service")
MANAGERS = {
    "systemd-networkd.service": "systemd-networkd",
    "NetworkManager.service": "NetworkManager",
    "networking.service": "ifupdown",
}
TIME_SYNC = (
    "systemd-timesyncd.service", "chrony.service", "chronyd.service", "ntp.service",
    "ntpd.service", "ntpsec.service", "openntpd.service",
)  # fmt: skip
ENABLED = ("enabled", "enabled-runtime", "static", "alias", "generated", "indirect")


class Level(Enum):
    """How bad the result of a check is."""

    PASS = "PASS"
    WARNING = "WARNING"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Result:
    """One line of the output."""

    level: Level
    check: str  # a stable word for programs
    text: str


@dataclass(frozen=True)
class Image:
    """What the image contains. None: it could not be looked at; *hidden* says why, by check."""

    python: tuple[int, ...] | None = ()  # None: there is no python3
    libraries: dict[str, str | None] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)  # what `systemctl is-enabled` says
    settings: Settings | None = None
    settings_error: str = ""
    unreadable: tuple[Obstacle, ...] = ()  # settings, or what they name
    region_of_platform: str | None = None
    machine_id: str | None = None  # "" where it is empty, as it should be
    dbus_machine_id: bool = False  # a copy of its own, not a link
    state: tuple[str, ...] | None = ()  # files that are bound to this machine
    persisted: bool | None = False  # the network configuration contains this server's route
    cloud_init: bool = False
    cloud_init_network: bool = True  # it configures the network
    nova_agent: bool = False
    lost_routes: tuple[str, ...] = ()  # files that set routes by route(8), which is not there
    dependents: tuple[str, ...] = ()  # units that require the daemon itself
    authorities: str | None = None  # the bundle that was found
    name_service: str = ""  # what is wrong with it
    ipv6_default: str | None = None  # its link; None if there is none, or not looked at
    hidden: dict[str, str] = field(default_factory=dict)


def judge(image: Image) -> list[Result]:
    """Run all checks; return the results in the order in which they are shown."""
    results: list[Result] = []
    for check in (
        _python, _libraries, _units, _settings, _region, _dependents, _machine_bound, _managers,
        _cloud_init, _lost_routes, _time, _authorities, _name_service, _ipv6,
    ):  # fmt: skip
        results += check(image)
    for name, why in image.hidden.items():
        results.append(Result(Level.WARNING, name, f"could not check '{name}': {why}"))
    return results


def _python(image: Image) -> Iterator[Result]:
    if image.python is None:
        if "python" not in image.hidden:
            yield Result(Level.FAIL, "python", "python3 is not installed; Python 3.9 is required")
        return
    version = ".".join(map(str, image.python))
    if image.python[:2] >= MIN_PYTHON:
        yield Result(Level.PASS, "python", f"Python {version}")
    else:
        yield Result(Level.FAIL, "python", f"Python {version} is older than 3.9")


def _libraries(image: Image) -> Iterator[Result]:
    for name, least in MIN_LIBRARIES.items():
        version, wanted = image.libraries.get(name), ".".join(map(str, least))
        if version is None:
            text = f"{name} is not installed; {wanted} or later is required"
            yield Result(Level.FAIL, "libraries", text)
        elif _parts(version) < least:
            text = f"{name} {version} is older than {wanted}"
            yield Result(Level.FAIL, "libraries", text)
        else:
            yield Result(Level.PASS, "libraries", f"{name} {version}".rstrip())


def _parts(version: str) -> tuple[int, ...]:
    numbers = []
    for part in version.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers) or (10**6,)  # there, and of an unknown version


def _units(image: Image) -> Iterator[Result]:
    for unit in UNITS:
        state = image.units.get(unit, "")
        if state in ENABLED:
            yield Result(Level.PASS, "units", f"{unit} is enabled")
        else:
            # Nothing works without the daemon; the other units only wait for it.
            level = Level.FAIL if unit == UNITS[0] else Level.WARNING
            yield Result(level, "units", f"{unit} is {_remedy(unit, state)}")


def _remedy(unit: str, state: str) -> str:
    if state in ("", "not-found"):  # depends on systemd's version
        return "not installed; install the package rcnetd"
    command = "unmask" if state.startswith("masked") else "enable"
    return f"{state}; 'systemctl {command} {unit}'"


def _settings(image: Image) -> Iterator[Result]:
    if image.settings_error:
        yield Result(Level.FAIL, "settings", image.settings_error)
    elif image.settings is not None:
        yield Result(Level.PASS, "settings", "the settings are valid")
        if image.settings.endpoint_is_plain:
            text = "'endpoint' is http: anyone on the path can forge the answers; use https"
            yield Result(Level.WARNING, "settings", text)
    for file in image.unreadable:
        mode = "o+rx" if file.is_directory else "o+r"
        text = (
            f"the user rcnetd cannot read '{file.path}' (mode {file.mode:04o}): the daemon would"
            f" fail; 'chmod {mode} {file.path}'"
        )
        yield Result(Level.FAIL, "settings-access", text)


def _region(image: Image) -> Iterator[Result]:
    settings = image.settings
    if settings is None:
        return
    if settings.endpoint is not None or settings.region is not None:
        yield Result(Level.PASS, "region", f"region {settings.region or settings.endpoint}")
    elif image.region_of_platform is not None:
        yield Result(Level.PASS, "region", f"region {image.region_of_platform}, from the platform")
    else:
        text = (
            "no region is set: rcnetd relies on the platform to name it at boot ('rcnetctl"
            " metadata'); if it does not, set 'region' in /etc/rcnetd/rcnetd.yaml"
        )
        yield Result(Level.WARNING, "region", text)


def _dependents(image: Image) -> Iterator[Result]:
    for unit in image.dependents:
        text = (
            f"{unit} requires rcnetd.service: it restarts whenever rcnetd does, and a late DEPLOYED"
            " does not start it; make it require rcnetd-deployed.service instead"
        )
        yield Result(Level.WARNING, "dependents", text)


def _machine_bound(image: Image) -> Iterator[Result]:
    if image.state:
        names = ", ".join(f"'{name}'" for name in image.state)
        text = f"{names}: bound to this machine; 'rcnetctl clean' removes them"
        yield Result(Level.WARNING, "machine-bound", text)
    elif image.state is not None:
        yield Result(Level.PASS, "machine-bound", "no file of rcnetd is bound to this machine")
    if image.persisted:
        text = (
            "the network configuration contains this server's route; 'rcnetctl revert' removes it"
        )
        yield Result(Level.FAIL, "persisted", text)
    if image.machine_id:
        text = "/etc/machine-id is not empty: servers of this image would share it; empty it"
        yield Result(Level.WARNING, "machine-bound", text)
    if image.dbus_machine_id:
        text = "/var/lib/dbus/machine-id is a copy; replace it with a link to /etc/machine-id"
        yield Result(Level.WARNING, "machine-bound", text)


def _managers(image: Image) -> Iterator[Result]:
    names = [name for unit, name in MANAGERS.items() if image.units.get(unit) in ENABLED[:2]]
    if len(names) > 1:
        text = f"{' and '.join(names)} are both enabled; enable only one"
        yield Result(Level.WARNING, "network-manager", text)
    elif names:
        yield Result(Level.PASS, "network-manager", f"{names[0]} configures the network")
    else:
        text = "none of systemd-networkd, NetworkManager and ifupdown is enabled"
        yield Result(Level.WARNING, "network-manager", text)


def _cloud_init(image: Image) -> Iterator[Result]:
    if image.cloud_init and image.cloud_init_network:
        text = (
            "cloud-init may rewrite the network configuration at each boot; to prevent it, put"
            " 'network: {config: disabled}' into a file in /etc/cloud/cloud.cfg.d/"
        )
        yield Result(Level.WARNING, "cloud-init", text)
    elif image.cloud_init:
        yield Result(Level.PASS, "cloud-init", "cloud-init does not configure the network")
    if image.nova_agent:
        text = (
            "nova-agent rewrites the network configuration when a network is attached or reset;"
            " rcnetd restores the route, but run 'rcnetctl persist' again after that"
        )
        yield Result(Level.WARNING, "nova-agent", text)


def _lost_routes(image: Image) -> Iterator[Result]:
    for path in image.lost_routes:
        text = (
            f"'{path}' sets routes with the command 'route', which is not installed: they do not"
            " come up, and nothing fails; install net-tools"
        )
        yield Result(Level.WARNING, "lost-routes", text)


def _time(image: Image) -> Iterator[Result]:
    found = [unit for unit in TIME_SYNC if image.units.get(unit) in ENABLED]
    if found:
        yield Result(Level.PASS, "time", f"{found[0]} sets the clock")
    else:
        text = (
            "no time synchronisation is enabled; a wrong clock makes the API's certificate invalid"
        )
        yield Result(Level.WARNING, "time", text)


def _authorities(image: Image) -> Iterator[Result]:
    if image.authorities is not None:
        yield Result(Level.PASS, "authorities", f"CA bundle: {image.authorities}")
    elif image.settings is not None and image.settings.ca_file is not None:
        text = f"no system CA bundle; only 'ca_file' {image.settings.ca_file} is trusted"
        yield Result(Level.WARNING, "authorities", text)
    else:
        text = "no CA bundle: the API's certificate cannot be verified; install ca-certificates"
        yield Result(Level.FAIL, "authorities", text)


def _name_service(image: Image) -> Iterator[Result]:
    pinned = image.settings is not None and image.settings.api_address is not None
    if not image.name_service:
        yield Result(Level.PASS, "name-service", "names can be resolved")
    elif pinned:
        text = f"{image.name_service}; 'api_address' is set"
        yield Result(Level.PASS, "name-service", text)
    else:
        text = f"{image.name_service}: the API's name may not be resolved"
        yield Result(Level.WARNING, "name-service", text)


def _ipv6(image: Image) -> Iterator[Result]:
    keeps = image.settings is None or image.settings.public_ipv6 is PublicIPv6.KEEP
    if image.ipv6_default is not None and keeps:
        text = (
            f"an IPv6 default route on '{image.ipv6_default}' bypasses the RackConnect firewall;"
            " 'public_ipv6: no-default' removes it"
        )
        yield Result(Level.WARNING, "ipv6", text)
