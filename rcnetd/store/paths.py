"""Where the daemon's files are: systemd's directories if it named them, else the usual ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rcnetd.basic.dataclass import dataclass


@dataclass(frozen=True)
class Paths:
    """The files of one daemon. *run* goes with a reboot, *state* stays."""

    run: Path
    state: Path
    metadata: Path = Path("/run/rcnetd-metadata/metadata.json")

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Paths:
        """The paths that systemd names in RUNTIME_DIRECTORY and STATE_DIRECTORY (first entry).

        RCNETD_METADATA names another instance file, for labs.
        """
        return cls(
            run=Path(_first(environ, "RUNTIME_DIRECTORY", "/run/rcnetd")),
            state=Path(_first(environ, "STATE_DIRECTORY", "/var/lib/rcnetd")),
            metadata=Path(environ.get("RCNETD_METADATA") or "/run/rcnetd-metadata/metadata.json"),
        )

    def below(self, root: Path) -> Paths:
        """The same in the tree of an image."""
        if root == Path("/"):
            return self
        return Paths(
            *(root / str(path).lstrip("/") for path in (self.run, self.state, self.metadata))
        )

    @property
    def status(self) -> Path:
        """The present state, readable by all."""
        return self.run / "status.json"

    @property
    def metrics(self) -> Path:
        """The present state for Prometheus, readable by all: node_exporter's form and ending."""
        return self.run / "rcnetd.prom"

    @property
    def ready(self) -> Path:
        """Written when READY is reported: what `rcnetd-deployed.path` watches."""
        return self.run / "ready.json"

    @property
    def public(self) -> Path:
        """Which link is the public interface, as decided before anything was changed."""
        return self.run / "public.json"

    @property
    def last_good(self) -> Path:
        """What outlives a reboot: the gateway that worked."""
        return self.state / "gateway.json"

    @property
    def route(self) -> Path:
        """The default route in effect: what to persist."""
        return self.run / "route.json"

    @property
    def removed(self) -> Path:
        """Routes and links that were taken away since boot: what to put back."""
        return self.run / "removed.json"

    @property
    def persisted(self) -> Path:
        """How the last writing of the host's own configuration went; readable by all."""
        return self.run.with_name(f"{self.run.name}-persist") / "persist.json"

    @property
    def undo(self) -> Path:
        """Root's alone: what that configuration was before rcnetd edited it."""
        return self.state.with_name(f"{self.state.name}-persist")

    @property
    def requests(self) -> Path:
        """The ledger of the request budget."""
        return self.run / "requests"

    @property
    def timeline(self) -> Path:
        """What happened since boot."""
        return self.run / "timeline.jsonl"

    @property
    def lock(self) -> Path:
        """Held by the daemon while it runs."""
        return self.run / "lock"

    @property
    def bound_to_this_machine(self) -> tuple[Path, ...]:
        """What must not be in an image of which other servers are made."""
        return (
            self.last_good,
            self.requests,
            self.timeline,
            self.removed,
            self.public,
            self.route,
            self.ready,
            self.status,
            self.metrics,
            self.persisted,
            self.metadata,
        )


def _first(environ: Mapping[str, str], name: str, default: str) -> str:
    return (environ.get(name) or default).split(":")[0]
