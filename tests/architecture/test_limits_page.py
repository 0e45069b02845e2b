"""The table of limits is what the code says, and names a test for each."""

from __future__ import annotations

import pytest
from tools import limits_table

from tacit.server import config


def test_the_table_of_limits_is_complete_and_fresh() -> None:
    assert limits_table.faults() == []


def test_a_limit_that_changes_makes_it_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    row = limits_table.ROWS[0]._replace(value="7", test="server/test_gate.py::test_nothing_of_the_kind", setting="none")
    monkeypatch.setattr(limits_table, "ROWS", (row, *limits_table.ROWS[1:]))
    assert len(limits_table.faults()) == 4


@pytest.mark.parametrize("kind", [config.ConnectionLimits, config.HandshakeLimits, config.RateLimits])
def test_every_limit_of_the_configuration_has_a_row(kind: type) -> None:
    source = (limits_table.ROOT / "tools" / "limits_table.py").read_text(encoding="utf-8")
    for field in kind.__dataclass_fields__:  # type: ignore[attr-defined]
        assert f".{field}" in source or (kind, field) == (config.ConnectionLimits, "most")
