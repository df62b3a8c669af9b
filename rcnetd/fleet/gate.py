"""Whether a wait for DEPLOYED is over, and the exit code. Pure.

0   all servers, or as many as `--at-least` says, are DEPLOYED
69  that is no longer possible: some FAILED
76  that is no longer possible: some are UNPROCESSABLE
78  there is nothing to wait for: no server is selected, or none is RackConnected
"""

from __future__ import annotations

import os
import re
from math import ceil

from rcnetd.basic.dataclass import dataclass
from rcnetd.fleet.servers import Automation, Counts

UNPROCESSABLE = 76  # EX_PROTOCOL


@dataclass(frozen=True)
class Share:
    """How many servers have to be DEPLOYED: a number, or a percentage of those that count."""

    amount: float = 100.0
    percent: bool = True

    def of(self, counted: int) -> int:
        """The number of servers, of *counted*."""
        # Rounded first: 95 % of 20 is 19, whatever binary fractions make of it.
        return ceil(round(counted * self.amount / 100, 6)) if self.percent else int(self.amount)


def read_share(text: str) -> Share:
    """`95%` or `40`. Raises `ValueError`."""
    match = re.fullmatch(r"(\d{1,3}(?:\.\d{1,3})?)%|(\d{1,7})", text.strip())
    if match is None or float(match[1] or 0) > 100 or float(match[1] or match[2]) == 0:
        raise ValueError(f"'{text}' is not a share of the servers; use 95% or a number")
    return Share(float(match[1]), True) if match[1] else Share(float(match[2]), False)


@dataclass(frozen=True)
class Goal:
    """What is waited for. *expect*: servers without the key count, it will come."""

    share: Share = Share()
    expect: bool = False

    def counted(self, counts: Counts) -> int:
        """How many servers count."""
        without = 0 if self.expect else counts[Automation.NOT_RACKCONNECTED]
        return counts.total - without


@dataclass(frozen=True)
class Verdict:
    """How a wait ended: the exit code, and a line on why if it is not 0."""

    code: int
    reason: str = ""


def evaluate(counts: Counts, goal: Goal, *, complete: bool) -> Verdict | None:
    """How the wait ends with these servers; None while it is open.

    *complete*: all regions have answered; otherwise servers may be missing from *counts*.
    """
    counted, deployed = goal.counted(counts), counts[Automation.DEPLOYED]
    failed, unprocessable = counts[Automation.FAILED], counts[Automation.UNPROCESSABLE]
    if counted == 0:
        return _nothing(counts) if complete and not goal.expect else None
    need = goal.share.of(counted)
    if complete and deployed >= need:
        return Verdict(0)
    lost = failed + unprocessable
    everything = goal.share == Share()
    if lost and counted - lost < need and (complete or everything):
        words = [f"{failed} FAILED"] * (failed > 0)
        words += [f"{unprocessable} UNPROCESSABLE"] * (unprocessable > 0)
        code = os.EX_UNAVAILABLE if failed else UNPROCESSABLE
        return Verdict(code, f"{' and '.join(words)} of {counted}, at least {need} are needed")
    if complete and not goal.share.percent and need > counted and not goal.expect:
        return Verdict(78, f"only {counted} servers count, --at-least asks for {need}")
    return None


def pending(counts: Counts, goal: Goal) -> int:
    """How many servers may still become DEPLOYED."""
    decided = (Automation.DEPLOYED, Automation.FAILED, Automation.UNPROCESSABLE)
    return goal.counted(counts) - sum(counts[one] for one in decided)


def _nothing(counts: Counts) -> Verdict:
    if counts.total == 0:
        return Verdict(os.EX_CONFIG, "no server is selected")
    return Verdict(
        os.EX_CONFIG,
        f"none of {counts.total} servers is RackConnected; --expect if the key will come",
    )
