"""The garbage collector is left as it was found."""

from __future__ import annotations

import gc

import pytest

from tacit.client.collecting import uncollected


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_left_as_it_was_found(enabled: bool) -> None:
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        with uncollected():
            assert not gc.isenabled()
        assert gc.isenabled() is enabled
        with pytest.raises(ValueError, match="work"), uncollected():
            raise ValueError("work")
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()
