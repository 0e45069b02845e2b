"""The engine with one of its checks removed, named by the text that it refuses with: nothing in `src` knows of it.

An `if` that does nothing but refuse is taken out of the function's source, and the function runs without it. So what is
shown to be accepted then was held up by this check and by no other.
"""

from __future__ import annotations

import ast
import functools
import importlib
import pkgutil
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Final

import tacit.mls

_MODULES: Final = tuple(
    f"tacit.mls.{each.name}" for each in pkgutil.iter_modules(tacit.mls.__path__) if "conformance" not in each.name
)
_OF_RULES: Final = ("InvalidGroupMessage", "BadSignature", "ProposalMissing", "PskMissing")


def _says(node: ast.stmt, text: str) -> bool:
    """Whether a statement raises an error with this text, or of this class where it has none."""
    if not isinstance(node, ast.Raise) or not isinstance(node.exc, ast.Call):
        return False
    if not node.exc.args:
        return isinstance(node.exc.func, ast.Attribute) and node.exc.func.attr == text
    match node.exc.args[0]:
        case ast.Constant(value=str(said)):
            return said == text
        case ast.JoinedStr(values=values):
            pattern = "".join(re.escape(str(each.value)) if isinstance(each, ast.Constant) else ".+" for each in values)
            return re.fullmatch(pattern, text) is not None
    return False


class _Removing(ast.NodeTransformer):
    """Takes out what refuses with one of these texts, and notes in which functions."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        self.texts = texts
        self.inside: list[str] = []
        self.found: set[str] = set()

    def _within(self, node: Any) -> Any:
        self.inside.append(node.name)
        self.generic_visit(node)
        self.inside.pop()
        return node

    visit_FunctionDef = visit_ClassDef = _within

    def _says(self, node: ast.stmt) -> bool:
        return any(_says(node, text) for text in self.texts)

    def _gone(self, node: ast.stmt) -> ast.stmt:
        self.found.add(".".join(self.inside))
        return ast.copy_location(ast.Pass(), node)

    def visit_If(self, node: ast.If) -> Any:
        if len(node.body) == 1 and not node.orelse and self._says(node.body[0]):
            return self._gone(node)
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> Any:
        return self._gone(node) if self._says(node) else node


def _codes(code: CodeType) -> Iterator[CodeType]:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each
            yield from _codes(each)


@functools.cache
def _refusals() -> tuple[tuple[str, tuple[ast.Raise, ...]], ...]:
    """The modules' own statements that raise, by module."""
    found = []
    for name in _MODULES:
        tree = ast.parse(_path(name).read_text(encoding="utf-8"))
        found.append((name, tuple(each for each in ast.walk(tree) if isinstance(each, ast.Raise))))
    return tuple(found)


def unshown(texts: Iterable[str]) -> set[str]:
    """The texts with which the engine refuses what breaks a rule, but for these."""
    shown, found = tuple(texts), set[str]()
    for _, refusals in _refusals():
        for each in refusals:
            exc = each.exc
            of_rules = isinstance(exc, ast.Call) and ast.unparse(exc.func).removeprefix("errors.") in _OF_RULES
            if of_rules and not any(_says(each, text) for text in shown):
                found.add(ast.unparse(each).partition("(")[2].lstrip("f").strip("'\")"))
    return found


def _path(name: str) -> Path:
    return Path(str(importlib.import_module(name).__file__))


@functools.cache
def _changed(texts: tuple[str, ...]) -> tuple[tuple[FunctionType, CodeType], ...]:
    """The functions that refuse with these texts, each with its code without that."""
    refusing = {text: {name for name, each in _refusals() if any(_says(one, text) for one in each)} for text in texts}
    for text, names in refusing.items():
        if not names:
            raise LookupError(f"nothing refuses with {text!r}")
    changed = []
    for name in sorted(set().union(*refusing.values())):
        removing = _Removing(texts)
        tree = removing.visit(ast.parse(_path(name).read_text(encoding="utf-8")))
        code = compile(tree, str(_path(name)), "exec", dont_inherit=True)
        codes = {each.co_qualname: each for each in _codes(code)}
        for qualified in removing.found:
            holder: Any = importlib.import_module(name)
            for part in qualified.split("."):
                holder = getattr(holder, part)
            changed.append((getattr(holder, "__func__", holder), codes[qualified]))
    return tuple(changed)


@contextmanager
def removed(*texts: str) -> Iterator[None]:
    """The engine without the checks that refuse with these texts; raises `LookupError` for one that there is not."""
    changed = [(function, function.__code__, code) for function, code in _changed(texts)]
    for function, _, code in changed:
        function.__code__ = code
    try:
        yield
    finally:
        for function, code, _ in changed:
            function.__code__ = code
