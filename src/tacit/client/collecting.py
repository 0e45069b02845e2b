"""Leaving the garbage collector out of work that makes many objects and no cycle."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no cycles meanwhile: a walk through all accounts and records for some thousand new objects each.

    For work of less than a second; what ends is freed as ever. With two at once it begins again after the first.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
