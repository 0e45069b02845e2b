"""The Node with ts-mls in place, or the reason why not."""

from __future__ import annotations

import pytest

from interop.install import Node, Unavailable, ready


@pytest.fixture(scope="session")
def node() -> Node:
    try:
        return ready()
    except Unavailable as error:
        pytest.skip(str(error))
