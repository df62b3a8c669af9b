"""`automation_features` is dead for ever: exec to the route in the kernel, and what decides."""

from __future__ import annotations

import contextlib
import json
import time
from typing import NamedTuple

from tests.bench.figures import Figure, Measure
from tests.bench.lab import Lab, Options
from tests.bench.netlink import Routes
from tests.netns.daemons import Daemon

FAULTS = ("http-500", "not-found", "html", "empty")
PATIENCE = 200.0  # seconds
KEY = "configure_network_stack"  # xenstore's, in metadata.json


class Boot(NamedTuple):
    """A server with this fault."""

    daemon: Daemon
    routes: Routes


def measure(_: Options) -> list[Measure]:
    """All faults at the same time, each on its server, and one where xenstore knows better."""
    with contextlib.ExitStack() as stack:
        begin = time.time_ns()
        boots = {fault: _boot(stack, fault) for fault in FAULTS}
        hands_off = _boot(stack, FAULTS[0], {"region": "dfw", KEY: "ENABLED"})
        took = [(boot.routes.came(PATIENCE) - begin) / 1e9 for boot in boots.values()]
        hands_off.daemon.until_state("WAITING_UNMANAGED")
        reason = str(hands_off.daemon.status["configured_by_reason"])
        present = hands_off.daemon.status["route"]["present"]
    figures = [Figure(f"rcnetd: {fault}", [one], "s") for fault, one in zip(boots, took)]
    word = f"{reason}; route {'set' if present else 'not touched'}"
    return [
        Measure(
            "'automation_features' is dead for ever: exec to the route",
            "at most 135 s: 'fallback_after' and some polls",
            [*figures, Figure("rcnetd: xenstore says that RackConnect configures", text=word)],
        )
    ]


def _boot(
    stack: contextlib.ExitStack, fault: str, metadata: dict[str, object] | None = None
) -> Boot:
    timeline = (
        "limit: 1000000\nservers: [{timeline: [{at: 0, gateway: 10.180.31.254},"
        f" {{at: 0, fault: {{name: {fault}, on: automation_features}}}}]}}]"
    )
    lab = Lab(stack, timeline)
    lab.reset()
    routes = Routes(lab.server)
    stack.callback(routes.close)
    if metadata is not None:
        (lab.directory / "metadata.json").write_text(json.dumps(metadata))
    daemon = lab.daemon(RCNETD_METADATA=str(lab.directory / "metadata.json"))
    return Boot(daemon, routes)
