"""Puts stand-ins in the place of named functions of the product, wherever they were imported to.

Nothing in `src` knows of this. In a process of its own a bent program starts as

    python -m adversary.bending NAME=STAND_IN ... -- ARGUMENTS OF TACIT

where both are dotted names, `module:attribute` or `module:Class.attribute`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

StandIn = str | Callable[..., Any]
"""What takes a function's place: a dotted name, or in this process the function itself."""


def resolve(dotted: str) -> tuple[Any, str, Any]:
    """The holder, the attribute's name and its value; raises `LookupError` where the name leads nowhere."""
    module_name, _, path = dotted.partition(":")
    try:
        holder: Any = importlib.import_module(module_name)
        *outer, last = path.split(".")
        for name in outer:
            holder = getattr(holder, name)
        return holder, last, vars(holder)[last]
    except (ImportError, AttributeError, KeyError) as error:
        raise LookupError(f"{dotted} leads nowhere: {error}") from None


def places(original: Any) -> Iterator[tuple[Any, str]]:
    """Every module attribute of the product that is this very object, also where it was imported to."""
    for name, module in list(sys.modules.items()):
        if name == "tacit" or name.startswith("tacit."):
            for attribute, value in list(vars(module).items()):
                if value is original:
                    yield module, attribute


def bend(pairs: Mapping[str, StandIn], *, everywhere: bool = True) -> Callable[[], None]:
    """Apply stand-ins, by name or as they are; returns what undoes it. Not `everywhere`: in the named place alone."""
    undo: list[tuple[Any, str, Any]] = []
    for target in pairs:
        resolve(target)  # all of them, or nothing is bent
    for target, stand_in in pairs.items():
        holder, name, original = resolve(target)
        replacement = resolve(stand_in)[2] if isinstance(stand_in, str) else stand_in
        make = getattr(replacement, "wraps_original", None)
        new = replacement(original) if make else replacement
        for where, attribute in {(holder, name): None, **dict.fromkeys(places(original) if everywhere else ())}:
            undo.append((where, attribute, vars(where)[attribute]))
            setattr(where, attribute, new)

    def restore() -> None:
        for where, attribute, value in reversed(undo):
            setattr(where, attribute, value)

    return restore


@contextmanager
def bent(pairs: Mapping[str, StandIn], *, everywhere: bool = True) -> Iterator[None]:
    """The stand-ins for as long as the block runs."""
    restore = bend(pairs, everywhere=everywhere)
    try:
        yield
    finally:
        restore()


def wraps_original(function: Any) -> Any:
    """Mark a stand-in that is made from the original: it is called with it once and returns the stand-in."""
    function.wraps_original = True
    return function


def command(pairs: Mapping[str, str]) -> tuple[str, ...]:
    """How a bent process of the product is started."""
    named = [f"{target}={stand_in}" for target, stand_in in pairs.items()]
    return (sys.executable, "-m", "adversary.bending", *named, "--")


def run(arguments: list[str]) -> None:
    """Start the product with stand-ins."""
    split = arguments.index("--")
    bend(dict(argument.split("=", 1) for argument in arguments[:split]))
    sys.argv = ["tacit", *arguments[split + 1 :]]
    from tacit.__main__ import main

    main()


if __name__ == "__main__":
    run(sys.argv[1:])
