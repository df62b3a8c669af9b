"""The servers for people and programs: table, json, csv, names and Prometheus. Pure.

All text from the API is on one line and free of control characters (`servers.parse`).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from rcnetd.basic.dataclass import dataclass, field
from rcnetd.fleet.collect import Trouble
from rcnetd.fleet.servers import WORDS, Automation, Counts, Server, count

MAX_COLUMN = 40  # characters of one cell of the table
COLUMNS = (
    "name", "id", "cloud", "region", "server_status", "automation_status", "since",
    "access_address", "servicenet_address", "features",
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """One region of a cloud, and whether its list is the present one."""

    cloud: str
    region: str
    answered: bool


@dataclass(frozen=True)
class Report:
    """All that is shown. *since*: by server id, when its status was first seen (POSIX)."""

    servers: Sequence[Server]
    at: float
    places: Sequence[Place] = ()
    troubles: Sequence[Trouble] = ()
    since: dict[str, float] = field(default_factory=dict)

    @property
    def counts(self) -> Counts:
        """The numbers of the servers in each status."""
        return count(self.servers)


def table(report: Report, *, every: bool = False) -> str:
    """The counts, then the servers that are not DEPLOYED, or *every* one."""
    lines = [str(report.counts)]
    shown = [one for one in report.servers if every or one.automation is not Automation.DEPLOYED]
    order = {automation: index for index, automation in enumerate(Automation)}
    shown.sort(key=lambda one: (order[one.automation], one.cloud, one.region, one.name))
    if shown:
        head = ("NAME", "ID", "REGION", "SERVER", "AUTOMATION", "SINCE", "ACCESS", "SERVICENET")
        lines += ["", *_aligned([head, *(_row(report, one) for one in shown)])]
    return "\n".join(lines) + "\n"


def _row(report: Report, server: Server) -> tuple[str, ...]:
    since = report.since.get(server.id)
    return (
        server.name,
        server.id,
        server.region,
        server.server_status,
        status_text(server),
        _time(since)[11:19] if since else "-",
        server.access_address or "-",
        server.servicenet_address or "-",
    )


def status_text(server: Server) -> str:
    """The automation status for people."""
    if server.automation is Automation.UNKNOWN:
        return f"unknown: {server.word}"
    return WORDS[server.automation]


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    cut = [tuple(cell[:MAX_COLUMN] for cell in row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cut)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cut]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _record(report: Report, server: Server) -> dict[str, Any]:
    since = report.since.get(server.id)
    return {
        "name": server.name,
        "id": server.id,
        "cloud": server.cloud,
        "region": server.region,
        "server_status": server.server_status,
        "automation_status": server.word or None,
        "since": _time(since) if since else None,
        "access_address": server.access_address,
        "servicenet_address": server.servicenet_address,
        "features": dict(server.features),
    }


def as_json(report: Report) -> str:
    """An object, form version 1: rcnetctl-fleet(8)."""
    content: dict[str, Any] = {
        "version": 1,
        "at": _time(report.at),
        "complete": not report.troubles,
        "counts": {one.value: report.counts[one] for one in Automation},
        "regions": [
            {"cloud": one.cloud, "region": one.region, "answered": one.answered}
            for one in report.places
        ],
        "failures": [
            {"cloud": one.cloud, "region": one.region, "reason": one.failure.reason}
            for one in report.troubles
        ],
    }
    # A server on each line: with indentation json takes ten times as long.
    rows = ",\n  ".join(json.dumps(_record(report, server)) for server in report.servers)
    return f'{json.dumps(content, indent=1)[:-2]},\n "servers": [{rows}]\n}}\n'


def as_csv(report: Report) -> str:
    """A heading and a row for each server; features as `name=value` words."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for server in report.servers:
        record = _record(report, server)
        record["features"] = " ".join(f"{key}={value}" for key, value in server.features.items())
        writer.writerow([record[column] or "" for column in COLUMNS])
    return text.getvalue()


def names(report: Report) -> str:
    """A name on each line."""
    return "".join(f"{server.name}\n" for server in report.servers)


def prometheus(report: Report) -> str:
    """Metrics for a textfile collector. Their names are none of the daemon's."""
    lines = _family("rcnetd_fleet_servers", "Servers by RackConnect automation status.")
    for place in report.places:
        counts = count(
            one for one in report.servers if (one.cloud, one.region) == (place.cloud, place.region)
        )
        for one in Automation:
            labels = _labels(cloud=place.cloud, region=place.region, status=one.value)
            lines.append(f"rcnetd_fleet_servers{labels} {counts[one]}")
    lines += _family("rcnetd_fleet_region_answered", "Whether the region answered (1) or not (0).")
    for place in report.places:
        labels = _labels(cloud=place.cloud, region=place.region)
        lines.append(f"rcnetd_fleet_region_answered{labels} {int(place.answered)}")
    lines += _family("rcnetd_fleet_complete", "Whether all clouds and regions answered (1).")
    lines.append(f"rcnetd_fleet_complete {int(not report.troubles)}")
    lines += _family("rcnetd_fleet_timestamp_seconds", "When the servers were listed.")
    lines.append(f"rcnetd_fleet_timestamp_seconds {report.at:.0f}")
    return "\n".join(lines) + "\n"


def _family(name: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} gauge"]


def _labels(**labels: str) -> str:
    escaped = (
        (name, value.replace("\\", r"\\").replace('"', r"\"")) for name, value in labels.items()
    )
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped) + "}"
