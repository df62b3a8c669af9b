"""The inventory, also as Ansible itself reads it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rcnetd.fleet.ansible import host, inventory
from rcnetd.fleet.servers import Server, parse
from tests.support.openstack import server

BIN = Path(sys.executable).parent


def made(number: int, word: str | None = "DEPLOYED", **more: Any) -> Server:
    """A server."""
    found = parse(server(number, word, **more), "rax", "ORD")
    assert found is not None
    return found


def test_groups_and_variables() -> None:
    """By status, region, cloud and metadata; the access address is the host's."""
    content = json.loads(inventory([made(1), made(2, "FAILED"), made(3, None, accessIPv4="")]))

    assert ["web-1"] == content["rackconnect_deployed"]["hosts"]
    assert ["web-3"] == content["rackconnect_not_rackconnected"]["hosts"]
    assert ["web-1", "web-2", "web-3"] == content["region_ORD"]["hosts"]
    assert ["web-2"] == content["meta_rackconnect_automation_status_FAILED"]["hosts"]
    variables = content["_meta"]["hostvars"]
    assert "203.0.0.1" == variables["web-1"]["ansible_host"]
    assert "ansible_host" not in variables["web-3"]


@pytest.mark.parametrize("name", ["", "web:1", "a,b", "!a", "*", "a[1:3]", "~x", "{{ x }}", "a b"])
def test_a_name_that_would_be_a_pattern_is_an_id(name: str) -> None:
    """Otherwise it would select other hosts than it names."""
    content = json.loads(inventory([made(1, name=name)]))

    assert [server(1)["id"]] == content["all"]["hosts"]


def test_names_that_are_not_unique_are_ids() -> None:
    """No server hides another."""
    content = json.loads(inventory([made(1, name="web"), made(2, name="web")]))

    assert [server(1)["id"], server(2)["id"]] == content["all"]["hosts"]


def test_one_host() -> None:
    """As `--host` asks; a host that is not there has no variables."""
    assert "203.0.0.1" == json.loads(host([made(1)], "web-1"))["ansible_host"]
    assert {} == json.loads(host([made(1)], "web-2"))


@pytest.fixture
def ansible(tmp_path: Path) -> Path:
    """A script inventory with a hostile server in it."""
    if shutil.which("ansible-inventory", path=BIN) is None:
        pytest.skip("ansible-core is not installed")
    servers = [made(1), made(2, "FAILED"), made(3, metadata={"note": "{{ 6 * 7 }}"})]
    (tmp_path / "inventory.json").write_text(inventory(servers))
    script = tmp_path / "fleet"
    script.write_text(f"#!/bin/sh\nexec cat {tmp_path}/inventory.json\n")
    script.chmod(0o755)
    return script


def run(*command: str) -> str:
    """One of Ansible's programs."""
    done = subprocess.run(
        [BIN / command[0], *command[1:]], capture_output=True, text=True, check=False,
        env={"PATH": f"{BIN}:/usr/bin:/bin", "HOME": "/nonexistent", "ANSIBLE_LOCAL_TEMP": "/tmp",
             "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1"},
    )  # fmt: skip
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


def test_ansible_reads_it(ansible: Path) -> None:
    """Groups and addresses as they are meant."""
    content = json.loads(run("ansible-inventory", "-i", str(ansible), "--list"))

    assert ["web-1", "web-2"][1:] == content["rackconnect_failed"]["hosts"]
    assert "203.0.0.1" == content["_meta"]["hostvars"]["web-1"]["ansible_host"]


def test_metadata_is_no_template(ansible: Path) -> None:
    """Whoever may write metadata runs no code where the playbook runs."""
    shown = run(
        "ansible", "-i", str(ansible), "web-3", "-c", "local", "-m", "debug",
        "-a", "msg=note-{{ rackconnect.metadata.note }}",
    )  # fmt: skip

    assert "note-{{ 6 * 7 }}" in shown
    assert "42" not in shown
