"""Where the public test vectors are."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


def vectors(*parts: str) -> Path:
    """A file or folder of the vectors: under `TACIT_VECTORS`, else ../shared/vectors beside the checkout.

    Skips by name where there is none; with TACIT_NO_SKIP=1 a skip is a failure (conftest.py).
    """
    named = os.environ.get("TACIT_VECTORS")
    folder = Path(named) if named else ROOT.parent / "shared" / "vectors"
    path = folder.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"the vectors {'/'.join(parts)} are not here: set TACIT_VECTORS", allow_module_level=True)
    return path


def load(*parts: str) -> Any:
    """The content of a JSON file of vectors."""
    return json.loads(vectors(*parts).read_text(encoding="utf-8"))
