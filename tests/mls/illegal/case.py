"""What a case is: something legal, the same with one thing wrong, and the check that stands between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from adversary.bending import bent
from mls.illegal.without import removed
from tacit import errors


@dataclass(frozen=True)
class Attempt:
    """Something on its way: what its receiver keeps, and what happens when it arrives."""

    kept: Any
    arrive: Callable[[], object]


@dataclass(frozen=True)
class Case:
    """A rule by which something is refused.

    `refusal` is the error's own text, of the check that is removed. Where more than one stands for the rule, `also` has
    the others' texts. `instead` are stand-ins for functions, where what follows needs what the check asked for; `final`
    says why nothing can follow without it.
    """

    name: str
    attempt: Callable[[bool], Attempt]
    refusal: str
    error: type[errors.TacitError]
    also: tuple[str, ...] = ()
    instead: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    final: str = ""

    @contextmanager
    def unchecked(self) -> Iterator[None]:
        """The engine without the check: the sender's always, and once the receiver's."""
        texts = self.also if self.instead or self.final else (self.refusal, *self.also)
        with bent(self.instead), removed(*texts):
            yield

    def illegal(self) -> Attempt:
        """What is to be refused, made by a member whose own engine does not check."""
        self.attempt(False)  # the groups that it starts from are made by an engine that checks
        with self.unchecked():
            return self.attempt(True)


CASES: Final[dict[str, Case]] = {}


def case(
    refusal: str,
    *,
    error: type[errors.TacitError] = errors.InvalidGroupMessage,
    also: tuple[str, ...] = (),
    instead: Mapping[str, Callable[..., Any]] | None = None,
    final: str = "",
) -> Callable[[Callable[[bool], Attempt]], Callable[[bool], Attempt]]:
    """Notes a case by its function's name; the function makes the legal thing of False, the illegal one of True."""

    def noted(attempt: Callable[[bool], Attempt]) -> Callable[[bool], Attempt]:
        name = attempt.__name__
        assert name not in CASES, name
        CASES[name] = Case(name, attempt, refusal, error, also, instead or {}, final)
        return attempt

    return noted
