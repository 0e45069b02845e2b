from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import tacit
from tacit.signed import labels

SOURCES = sorted(Path(tacit.__file__).parent.rglob("*.py"))
NAMES = {name: value for name, value in vars(labels).items() if name.isupper()}
LABELS = {name: value for name, value in NAMES.items() if name not in ("PREFIX", "REQUEST_TAG")}


@cache
def trees() -> dict[Path, ast.Module]:
    """Parsed when a test asks for them: all of them take a second, and are much for the garbage collector."""
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}


def test_no_two_purposes_share_a_label() -> None:
    assert len(LABELS) > 30
    assert len(set(LABELS.values())) == len(LABELS)


def test_every_label_names_the_protocol_and_its_version() -> None:
    assert labels.PREFIX == "tacit/1 "
    for label in LABELS.values():
        assert label.startswith(labels.PREFIX)
        assert label.isascii()
        assert label == label.strip()
        assert len(label.encode()) < 64  # one byte of length, as the vectors have it


def test_the_tag_of_a_request_is_no_label() -> None:
    assert labels.REQUEST_TAG == "tacit/1"


def test_every_label_is_used() -> None:
    used = {
        node.attr
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "labels"
    }
    assert used == set(NAMES)


def test_no_other_module_writes_a_label_down() -> None:
    elsewhere = [
        (path.name, node.value)
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(labels.PREFIX)
        if path != Path(labels.__file__)
    ]
    assert elsewhere == []
