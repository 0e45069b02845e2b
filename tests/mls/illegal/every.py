"""All cases: to import this is to note them."""

from __future__ import annotations

from typing import Final

from mls.illegal import framing, joining, leaves, paths, proposals, trees
from mls.illegal.case import CASES

MODULES: Final = (framing, joining, leaves, paths, proposals, trees)

__all__ = ["CASES", "MODULES"]
