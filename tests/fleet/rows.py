"""Servers as rows of Nova's databases: ten thousand in two seconds, where the API takes hours."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

STATUS_KEY = "rackconnect_automation_status"
FEATURE = "rackconnect_automation_feature_configure_network_stack"
CREATED = "2026-11-27 06:00:00.000000"  # Nova needs the fraction, or its markers repeat
FLAVOR = {
    "id": 1, "name": "general1-1", "memory_mb": 1024, "vcpus": 1, "root_gb": 20, "swap": 0,
    "ephemeral_gb": 0, "flavorid": "general1-1", "rxtx_factor": 1.0, "vcpu_weight": 0,
    "disabled": False, "is_public": True, "extra_specs": {}, "description": None,
    "created_at": None, "updated_at": None, "deleted_at": None, "deleted": False,
}  # fmt: skip


def server_id(number: int) -> str:
    """The id of one of the servers."""
    return str(uuid.UUID(int=number, version=4))


def _object(name: str, version: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "nova_object.name": name,
        "nova_object.namespace": "nova",
        "nova_object.version": version,
        "nova_object.data": data,
    }


def _network(label: str, address: str, network: str) -> dict[str, Any]:
    one = {"address": address, "type": "fixed", "version": 4, "meta": {}, "floating_ips": []}
    subnet: dict[str, Any] = {
        "cidr": network, "dns": [], "gateway": None, "ips": [one], "routes": [], "version": 4,
        "meta": {},
    }  # fmt: skip
    return {
        "id": label, "address": "fa:16:3e:00:00:01", "type": "bridge", "details": {}, "meta": {},
        "network": {"id": label, "bridge": None, "label": label, "subnets": [subnet], "meta": {}},
        "profile": {}, "devname": None, "ovs_interfaceid": None, "qbh_params": None,
        "qbg_params": None, "active": True, "vnic_type": "normal", "preserve_on_delete": False,
        "delegate_create": True,
    }  # fmt: skip


def _insert(database: sqlite3.Connection, table: str, rows: Iterable[dict[str, Any]]) -> None:
    for row in rows:
        marks = ", ".join("?" * len(row))
        database.execute(
            f"insert into {table} ({', '.join(row)}) values ({marks})", [*row.values()]
        )


def fill(tree: Path, project: str, statuses: Iterable[str | None]) -> None:
    """Replace all servers: one for each status, None for a server without the key."""
    data = tree / "var/lib/nova"
    listed = list(enumerate(statuses, 1))
    with closing(sqlite3.connect(data / "nova_cell1.db", timeout=30)) as cell, cell:
        for table in ("instance_metadata", "instance_extra", "instance_info_caches", "instances"):
            cell.execute(f"delete from {table}")
        for number, status in listed:
            _add(cell, number, project, status)
    with closing(sqlite3.connect(data / "nova_api.db", timeout=30)) as api, api:
        api.execute("delete from instance_mappings")
        ((cell_id,),) = api.execute("select id from cell_mappings where name = 'cell1'")
        rows = (
            {
                "created_at": CREATED, "id": number, "instance_uuid": server_id(number),
                "cell_id": cell_id, "project_id": project, "queued_for_delete": 0, "user_id": "u",
            }
            for number, _ in listed
        )  # fmt: skip
        _insert(api, "instance_mappings", rows)


def _add(cell: sqlite3.Connection, number: int, project: str, status: str | None) -> None:
    own, address = server_id(number), f"{number // 250 % 250}.{number % 250 + 1}"
    common = {"created_at": CREATED, "deleted": 0}
    server = {
        **common, "id": number, "updated_at": CREATED, "uuid": own, "user_id": "u",
        "project_id": project, "image_ref": "", "power_state": 1, "vm_state": "active",
        "memory_mb": 1024, "vcpus": 1, "root_gb": 20, "ephemeral_gb": 0, "instance_type_id": 1,
        "hostname": f"web-{number}", "display_name": f"web-{number}", "host": "compute1",
        "node": "compute1", "launched_at": CREATED, "locked": 0, "access_ip_v4": f"203.0.{address}",
        "progress": 0, "config_drive": "", "hidden": 0, "cleaned": 0, "launch_index": 0,
        "root_device_name": "/dev/vda", "key_name": None,
    }  # fmt: skip
    _insert(cell, "instances", [server])
    flavor = {"cur": _object("Flavor", "1.2", FLAVOR), "old": None, "new": None}
    extra = {**common, "id": number, "instance_uuid": own, "flavor": json.dumps(flavor)}
    _insert(cell, "instance_extra", [extra])
    networks = [
        _network("public", f"198.51.{address}", "198.51.0.0/16"),
        _network("private", f"10.180.{address}", "10.180.0.0/16"),
    ]
    cache = {**common, "id": number, "instance_uuid": own, "network_info": json.dumps(networks)}
    _insert(cell, "instance_info_caches", [cache])
    metadata = {FEATURE: "ENABLED", **({STATUS_KEY: status} if status else {})}
    _insert(
        cell, "instance_metadata",
        ({**common, "key": key, "value": value, "instance_uuid": own}
         for key, value in metadata.items()),
    )  # fmt: skip


def change(tree: Path, statuses: dict[int, str], now: str) -> None:
    """Set the status of some servers at once, as RackConnect's automation does."""
    with closing(sqlite3.connect(tree / "var/lib/nova/nova_cell1.db", timeout=60)) as cell, cell:
        for number, status in statuses.items():
            cell.execute(
                "update instance_metadata set value = ? where instance_uuid = ? and key = ?",
                (status, server_id(number), STATUS_KEY),
            )
            cell.execute("update instances set updated_at = ? where id = ?", (now, number))


def delete(tree: Path, number: int, now: str) -> None:
    """Delete a server as Nova does: the rows stay, marked."""
    with closing(sqlite3.connect(tree / "var/lib/nova/nova_cell1.db", timeout=60)) as cell, cell:
        cell.execute(
            "update instances set deleted = id, deleted_at = ?, updated_at = ?, vm_state = ?"
            " where id = ?",
            (now, now, "deleted", number),
        )
