"""Every error code has a test that provokes it, and a line in the documentation."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from tools import error_table

from tacit import errors

ROOT = Path(__file__).resolve().parents[2]


def provoked(sources: Iterable[str]) -> set[str]:
    """The codes that tests expect: by class in a `raises`, or by the code itself as a whole string."""
    known = errors.concrete()
    classes = {cls.__name__: code for code, cls in known.items()}
    found: set[str] = set()
    for source in sources:
        tree = ast.parse(source)
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and node.value in known and id(node) not in docstrings:
                found.add(str(node.value))
            if isinstance(node, ast.Attribute) and node.attr in classes:
                found.add(classes[node.attr])
            if isinstance(node, ast.Name) and node.id in classes:
                found.add(classes[node.id])
    return found


def test_every_code_is_provoked_by_a_test() -> None:
    here = Path(__file__)
    paths = [path for path in (ROOT / "tests").rglob("test_*.py") if path != here]
    missing = set(errors.concrete()) - provoked(path.read_text(encoding="utf-8") for path in paths)
    assert not missing, f"no test provokes: {', '.join(sorted(missing))}"


def test_a_code_that_only_a_docstring_names_is_not_provoked() -> None:
    assert provoked(['"""malformed"""\n']) == set()
    assert provoked(["def test_it():\n    'malformed'\n"]) == set()
    assert provoked(["with raises(errors.Malformed): pass"]) == {"malformed"}
    assert provoked(["assert answer.code == 'no_right'"]) == {"no_right"}


def test_the_table_of_codes_is_complete_and_fresh() -> None:
    assert error_table.faults() == []
