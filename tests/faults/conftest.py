"""Files on a disk, wherever the other tests' are."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder on a disk: in memory a commit is so fast that a server which tells too early would lose nothing."""
    with tempfile.TemporaryDirectory(prefix="tacit-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
