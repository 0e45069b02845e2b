"""An account and its conversations: unlocking, opening an epoch, revoking a device, a new device's first messages."""

from __future__ import annotations

import benchmarks.account_history as history
import benchmarks.account_opening as opening
import benchmarks.account_revocation as revocation
import benchmarks.account_unlocking as unlocking
from benchmarks.harness import Report

NAME = "account"


def run(report: Report) -> None:
    """All four, one after the other; rivals are timed in turn within each."""
    for part in (unlocking, opening, revocation, history):
        part.run(report)
