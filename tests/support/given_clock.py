"""rcnetd with clocks that a test holds: what it would only wait for is skipped.

    python given_clock.py CLOCKS [ARGUMENTS OF rcnetd]

CLOCKS is a file that both processes map (`Clocks`). While a request is under way, time passes as it
does; otherwise the daemon's next deadline comes as soon as nothing is left to be handled, up to the
point that the test allows. So a week passes in a minute, with every length of time as it is in the
field. The fetcher has the machine's clock: what it is given is how long it may take.
"""

from __future__ import annotations

import mmap
import struct
import sys
import time
from pathlib import Path

FORM = struct.Struct("d")  # written as a whole
AT_REST = 0.01  # seconds between two looks at whether more is allowed
HOUR = 3600.0  # seconds

_monotonic, _clock_gettime = time.monotonic, time.clock_gettime


class Clocks:
    """CLOCK_MONOTONIC and CLOCK_BOOTTIME of a daemon; each field has one writer.

    *skipped* and *asleep* are seconds that the machine's clocks do not have, *limit* is a point of
    the daemon's CLOCK_MONOTONIC, *rests* counts how often it had nothing to do there.
    """

    FIELDS = ("skipped", "rests", "asleep", "limit")

    def __init__(self, path: Path) -> None:
        size = len(self.FIELDS) * FORM.size
        if not path.exists():
            path.write_bytes(bytes(size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), size)

    def get(self, name: str) -> float:
        """The value of a field."""
        seconds: float = FORM.unpack_from(self._map, self.FIELDS.index(name) * FORM.size)[0]
        return seconds

    def set(self, name: str, seconds: float) -> None:
        """Set a field."""
        FORM.pack_into(self._map, self.FIELDS.index(name) * FORM.size, seconds)

    def monotonic(self) -> float:
        """The daemon's CLOCK_MONOTONIC, which stands still in a suspend."""
        return _monotonic() + self.get("skipped")

    def boottime(self) -> float:
        """The daemon's CLOCK_BOOTTIME, which does not."""
        ahead = self.get("skipped") + self.get("asleep")
        return _clock_gettime(time.CLOCK_BOOTTIME) + ahead

    def clock_gettime(self, clock: int) -> float:
        """In the place of `time.clock_gettime`."""
        return self.boottime() if clock == time.CLOCK_BOOTTIME else _clock_gettime(clock)

    def skip(self, seconds: float) -> float:
        """Nothing will happen for so long; returns what of it is left to be waited for."""
        allowed = min(seconds, self.get("limit") - self.monotonic())
        if allowed <= 0:
            self.set("rests", self.get("rests") + 1)
            return min(seconds, AT_REST)
        self.set("skipped", self.get("skipped") + allowed)
        return 0.0


def main(path: Path) -> int:
    """Run the daemon."""
    clocks = Clocks(path)
    time.monotonic, time.clock_gettime = clocks.monotonic, clocks.clock_gettime

    from rcnetd.daemon import loop
    from rcnetd.daemon.main import main as run

    class Hurried(loop.Daemon):
        """Does not wait, unless it is for an answer."""

        def _time_left(self) -> float:
            left = super()._time_left()
            if self._requests.deadline_at is not None or self._selector.select(0):
                return left
            return clocks.skip(left)

    loop.Daemon = Hurried  # type: ignore[misc] # where `main` looks for it
    return run()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv.pop(1))))
