"""What every failure to decrypt must be: the one error, without a word on why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tacit import errors


@contextmanager
def silent_failure() -> Iterator[None]:
    with pytest.raises(errors.DecryptionError) as raised:
        yield
    error = raised.value
    assert type(error) is errors.DecryptionError
    assert (error.detail, error.facts, error.args) == ("", {}, ("",))
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__
