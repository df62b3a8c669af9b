"""Who configures a link: what each manager says, and when nobody can say yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from rcnetd.core.model import Link
from rcnetd.core.settings import Backend
from rcnetd.hostconfig import detect
from rcnetd.hostconfig.detect import SERVICES, LinkManagers, Run, ask, manager, run
from rcnetd.hostconfig.renderers.model import CannotPersist, NotYet

ETH1 = Link(3, "eth1", "00:00:00:00:00:03")
NETPLAN_UNIT = "/run/systemd/network/10-netplan-eth1.network"
PROFILE = "/etc/NetworkManager/system-connections/eth1.nmconnection"
NETWORKD, NETWORK_MANAGER, IFUPDOWN = SERVICES


@pytest.mark.parametrize(
    ("managed", "kind"),
    [
        (LinkManagers(networkd=NETPLAN_UNIT), Backend.NETPLAN),
        (LinkManagers(networkd="/etc/systemd/network/10-eth1.network"), Backend.NETWORKD),
        (LinkManagers(network_manager="/run/NetworkManager/system-connections/netplan-eth1"),
         Backend.NETPLAN),
        (LinkManagers(network_manager=PROFILE), Backend.NETWORK_MANAGER),
        (LinkManagers(network_manager="/etc/sysconfig/network-scripts/ifcfg-eth1"), Backend.IFCFG),
        (LinkManagers(ifupdown=True), Backend.IFUPDOWN),
        (LinkManagers(ifupdown=True, starting=(NETWORK_MANAGER,)), Backend.IFUPDOWN),
    ],
)  # fmt: skip
def test_auto_is_whoever_manages_the_link(managed: LinkManagers, kind: Backend) -> None:
    """The file decides; netplan's are known by their names."""
    assert kind is manager(managed, "eth1")


def test_nobody_is_an_answer_only_when_all_have_started() -> None:
    """Before that, the refusal passes; after it, it says what to set."""
    with pytest.raises(CannotPersist, match="configures eth1; set 'persist'") as refused:
        manager(LinkManagers(), "eth1")
    assert not isinstance(refused.value, NotYet)
    with pytest.raises(NotYet, match=r"NetworkManager.service may still configure eth1"):
        manager(LinkManagers(starting=(NETWORK_MANAGER,)), "eth1")


def services(networkd: str, network_manager: str, ifupdown: str) -> str:
    """What systemctl prints; a plus sign is a job that waits."""
    states = zip(SERVICES, (networkd, network_manager, ifupdown))
    return "\n".join(
        f"Id={name}\nActiveState={state.rstrip('+')}\n{'Job=7' * state.endswith('+')}\n"
        for name, state in states
    )


STOPPED = services("inactive", "inactive", "inactive")
NM_RUNS = services("inactive", "active", "inactive")
SHOWN = "lo:/x\neth1:/etc/NetworkManager/a\\:b c.nmconnection\n"


@pytest.mark.parametrize(
    ("said", "files", "managed"),
    [
        ({}, {}, LinkManagers()),
        ({"systemctl": STOPPED}, {}, LinkManagers()),
        # networkd, without any bus
        ({}, {"systemd/netif/links/3": f"ADMIN_STATE=configured\nNETWORK_FILE={NETPLAN_UNIT}\n"},
         LinkManagers(networkd=NETPLAN_UNIT)),
        ({}, {"systemd/netif/links/3": f"ADMIN_STATE=configuring\nNETWORK_FILE={NETPLAN_UNIT}\n"},
         LinkManagers(networkd=NETPLAN_UNIT)),
        ({}, {"systemd/netif/links/3": "ADMIN_STATE=unmanaged\n"}, LinkManagers()),
        ({}, {"systemd/netif/links/3": "ADMIN_STATE=pending\n"},
         LinkManagers(starting=(NETWORKD,))),
        ({}, {"systemd/netif/links/2": f"ADMIN_STATE=configured\nNETWORK_FILE={NETPLAN_UNIT}\n"},
         LinkManagers()),
        # what it has left when it was stopped
        ({"systemctl": STOPPED},
         {"systemd/netif/links/3": f"ADMIN_STATE=configured\nNETWORK_FILE={NETPLAN_UNIT}\n"},
         LinkManagers()),
        ({"systemctl": STOPPED.replace("=inactive\n", "=inactive\nJob=\n")}, {}, LinkManagers()),
        # early at boot
        ({"systemctl": services("activating", "inactive+", "failed")}, {},
         LinkManagers(starting=(NETWORKD, NETWORK_MANAGER))),
        ({"systemctl": services("inactive", "inactive", "activating")}, {},
         LinkManagers(starting=(IFUPDOWN,))),
        # NetworkManager
        ({"systemctl": NM_RUNS, "nmcli device": "eth1:connected\n", "nmcli connection": SHOWN}, {},
         LinkManagers(network_manager="/etc/NetworkManager/a:b c.nmconnection")),
        ({"systemctl": NM_RUNS, "nmcli device": "eth1:connected (externally)\n",
          "nmcli connection": SHOWN}, {}, LinkManagers()),
        ({"systemctl": NM_RUNS, "nmcli device": "eth1:connecting (getting IP configuration)\n"}, {},
         LinkManagers(starting=(NETWORK_MANAGER,))),
        ({"systemctl": NM_RUNS, "nmcli device": "eth1:unmanaged\n"}, {}, LinkManagers()),
        # ifupdown and ifupdown-ng
        ({}, {"network/ifstate": "lo=lo\neth1=home\n"}, LinkManagers(ifupdown=True)),
        ({}, {"network/ifstate": "eth10=eth1\n"}, LinkManagers()),
        ({}, {"ifstate": "eth1 1\n"}, LinkManagers(ifupdown=True)),
    ],
)  # fmt: skip
def test_asks_each(
    tmp_path: Path, said: dict[str, str | None], files: dict[str, str], managed: LinkManagers
) -> None:
    """Each in its own words, and by its own files."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    assert managed == ask(ETH1, answers(said), tmp_path)


def answers(said: dict[str, str | None]) -> Run:
    """Programs that print this; any other is not installed."""

    def answer(*command: str) -> str | None:
        key = next((f"nmcli {word}" for word in ("device", "connection") if word in command), "")
        return said.get(key if command[0] == "nmcli" else command[0], "")

    return answer


SILENT = "some service (systemd gives no answer)"


@pytest.mark.parametrize(
    ("said", "booted", "starting"),
    [
        # The bus has just started, or NetworkManager is busy: that is not "nobody".
        ({"systemctl": NM_RUNS, "nmcli device": None}, True, (NETWORK_MANAGER,)),
        ({"systemctl": NM_RUNS, "nmcli device": "eth1:connected\n", "nmcli connection": None}, True,
         (NETWORK_MANAGER,)),
        ({"systemctl": None}, True, (SILENT,)),
        ({"systemctl": None, "nmcli device": None}, True, (SILENT,)),
        # No systemd has booted this machine; NetworkManager says that it is not running.
        ({"systemctl": None, "nmcli device": None}, False, ()),
        ({"systemctl": STOPPED, "nmcli device": None}, True, ()),
    ],
)  # fmt: skip
def test_no_answer_is_not_nobody(
    tmp_path: Path, said: dict[str, str | None], booted: bool, starting: tuple[str, ...]
) -> None:
    """It is asked for again, and nothing is refused for good meanwhile."""
    if booted:
        (tmp_path / "systemd/system").mkdir(parents=True)

    assert LinkManagers(starting=starting) == ask(ETH1, answers(said), tmp_path)


@pytest.mark.parametrize(
    ("stanza", "managed"),
    [
        ("auto eth1\niface eth1 inet static\n\taddress 10.180.1.2/19\n", True),
        ("iface eth1\n", True),
        ("iface eth1.5 inet static\n", False),
        ("", False),
    ],
)
def test_asks_ifupdown2_in_its_own_way(stanza: str, managed: bool) -> None:
    """Its ifquery has no `--state`."""

    def run(*command: str) -> str:
        return stanza if command == ("ifquery", "--print-savedstate", "eth1") else ""

    assert LinkManagers(ifupdown=managed) == ask(ETH1, run, Path("/none"))


def test_runs_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not there has nothing to say; what fails, or takes too long, has not said it yet."""
    assert "x\n" == run("echo", "x")
    assert "" == run("no-such-program-here")
    assert run("false") is None
    monkeypatch.setattr(detect, "TIMEOUT", 0.01)
    assert run("sleep", "60") is None
