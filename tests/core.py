"""The modules of the pure core; `python -m tests.core` prints their paths for coverage."""

from __future__ import annotations

CORE = frozenset(
    {
        "actions", "asking", "budget", "events", "facts", "guard", "machine", "memory", "model",
        "options", "pacing", "routes", "servicenet", "states", "values",
    }
)  # fmt: skip

if __name__ == "__main__":
    print(",".join(f"rcnetd/{name}.py" for name in sorted(CORE)))
