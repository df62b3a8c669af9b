"""The metrics and alerts in Debian's own Prometheus and node_exporter."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rcnetd.daemon.metrics import Tally, render
from rcnetd.daemon.status import document
from rcnetd.store.paths import Paths
from rcnetd.store.runtime import RuntimeFiles
from tests.support.playbook import ASSIGNED, DEPLOYED, FAILED, MANAGED, boot
from tests.support.prometheus import tool

RULES = Path(__file__).parents[2] / "packaging/prometheus/rcnetd.rules.yml"
LONG = 60.0  # seconds; nothing here takes that long unless it is broken


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


class Monitoring:
    """The two programs; the daemon's run directory is linked into the collector's."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        node, self._port = free_port(), free_port()
        self.paths = Paths(folder / "run", folder / "state")
        collector = folder / "textfile"
        for one in (self.paths.run, collector, folder / "data"):
            one.mkdir()
        (collector / "rcnetd.prom").symlink_to(self.paths.metrics)
        shutil.copy(RULES, folder)
        target = {"job_name": "node", "static_configs": [{"targets": [f"127.0.0.1:{node}"]}]}
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [RULES.name],
            "scrape_configs": [target],
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))
        self._start(stack, folder, tool("prometheus-node-exporter"), "--collector.disable-defaults",
                    "--collector.textfile", f"--collector.textfile.directory={collector}",
                    f"--web.listen-address=127.0.0.1:{node}")  # fmt: skip
        self._start(stack, folder, tool("prometheus"), f"--config.file={folder}/prometheus.yml",
                    f"--storage.tsdb.path={folder}/data",
                    f"--web.listen-address=127.0.0.1:{self._port}")  # fmt: skip

    def _start(self, stack: ExitStack, folder: Path, *command: str) -> None:
        with (folder / f"{Path(command[0]).name}.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        stack.callback(process.wait)
        stack.callback(process.terminate)

    def write(self, *answers: Any) -> None:
        """As the daemon writes its metrics after these answers of the API."""
        book = boot(*answers)
        content = document(book.machine.snapshot(book.now), pid=os.getpid(), answers={})
        text = render(content, Tally(0.0), now=book.now, clock=time.time())
        RuntimeFiles(self.paths).metrics(text)

    def firing(self) -> dict[str, Any]:
        """The alerts that fire, by name."""
        url = f"http://127.0.0.1:{self._port}/api/v1/alerts"
        with urllib.request.urlopen(url, timeout=5) as answer:
            alerts = json.loads(answer.read())["data"]["alerts"]
        return {one["labels"]["alertname"]: one for one in alerts if one["state"] == "firing"}

    def value(self, query: str) -> str | None:
        """The value of a query with one series."""
        url = f"http://127.0.0.1:{self._port}/api/v1/query?query={query}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            result = json.loads(answer.read())["data"]["result"]
        return str(result[0]["value"][1]) if result else None

    def until(self, name: str, *, fires: bool) -> dict[str, Any]:
        """Wait until an alert fires, or does no longer."""
        end = time.monotonic() + LONG
        while True:
            try:
                found = self.firing()
                if (name in found) is fires:
                    return found
            except OSError:  # it has not started yet
                pass
            assert time.monotonic() < end, f"{name} did not {'fire' if fires else 'resolve'}"
            time.sleep(0.2)


@pytest.fixture
def monitoring(tmp_path: Path) -> Iterator[Monitoring]:
    """Running until the test is over."""
    with ExitStack() as stack:
        yield Monitoring(tmp_path, stack)


def test_an_alert_fires_and_resolves(monitoring: Monitoring) -> None:
    """From the daemon's document through both programs, and back."""
    monitoring.write(MANAGED, ASSIGNED, FAILED)
    alert = monitoring.until("RcnetdAutomationFailed", fires=True)["RcnetdAutomationFailed"]

    assert "FAILED" == alert["labels"]["status"]
    assert "1" == monitoring.value("rcnetd_route_in_effect")
    assert "0" == monitoring.value("node_textfile_scrape_error")

    monitoring.write(MANAGED, ASSIGNED, DEPLOYED)
    assert {} == monitoring.until("RcnetdAutomationFailed", fires=False)


def test_a_daemon_that_is_gone(monitoring: Monitoring) -> None:
    """It leaves its file; only the file's age tells."""
    monitoring.write(MANAGED, ASSIGNED, DEPLOYED)
    old = time.time() - 600
    os.utime(monitoring.paths.metrics, (old, old))
    monitoring.until("RcnetdGone", fires=True)

    monitoring.write(MANAGED, ASSIGNED, DEPLOYED)
    monitoring.until("RcnetdGone", fires=False)
