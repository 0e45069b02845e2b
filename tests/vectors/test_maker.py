"""The known answers are what their maker makes, and the maker knows nothing of tacit."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

from vectors.known import FOLDER

HERE = Path(__file__).parent
TESTS = HERE.parent
OWN = {"vectors": HERE, "crypto": TESTS / "crypto"}


def imported(path: Path) -> set[str]:
    """The first names of what a file imports."""
    tree = ast.parse(path.read_text())
    found = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    found |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return found


def reached(path: Path) -> dict[Path, set[str]]:
    """What a file imports, and what those of its imports that are files of the tests import in turn."""
    waiting, found = [path], {}
    while waiting:
        each = waiting.pop()
        if each in found:
            continue
        found[each] = imported(each)
        for name in found[each]:
            for file in (TESTS / f"{name.replace('.', '/')}.py", *(TESTS / name.replace(".", "/")).glob("*.py")):
                if file.exists() and name.partition(".")[0] in OWN:
                    waiting.append(file)
    return found


def test_the_maker_imports_cryptography_and_the_standard_library_only() -> None:
    files = reached(HERE / "make.py")
    assert len(files) > 8
    for path, names in files.items():
        tops = {name.partition(".")[0] for name in names} - {"cryptography", "__future__"} - set(OWN)
        assert tops <= sys.stdlib_module_names, (path, tops - sys.stdlib_module_names)


def test_the_maker_makes_the_same_again() -> None:
    done = subprocess.run([sys.executable, HERE / "make.py", "--check"], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "the same\n"), done.stdout + done.stderr


def test_a_case_says_what_it_expects() -> None:
    count = 0
    for path in FOLDER.glob("*.json"):
        content = json.loads(path.read_text())
        assert content["about"], path
        for group in content.values():
            for case in group if isinstance(group, list) else []:
                assert case["comment"], path
                assert case["valid"] == ("cause" not in case), case["comment"]
                count += 1
    assert count > 1000


def test_no_two_cases_of_a_group_have_one_comment() -> None:
    for path in FOLDER.glob("*.json"):
        for name, group in json.loads(path.read_text()).items():
            comments = [case["comment"] for case in group] if isinstance(group, list) else []
            assert len(comments) == len(set(comments)), (path.name, name)


def test_the_readme_names_every_file_and_group() -> None:
    text = (FOLDER / "README.md").read_text()
    for path in FOLDER.glob("*.json"):
        assert f"## {path.name}" in text
        section = text.partition(f"## {path.name}")[2].partition("\n## ")[0]
        for group in set(json.loads(path.read_text())) - {"about"}:
            assert f"`{group}`" in section, (path.name, group)
