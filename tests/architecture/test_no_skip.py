"""TACIT_NO_SKIP=1 turns every kind of skip into a failure."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SKIPS = {
    "mark": "import pytest\n@pytest.mark.skip(reason='why')\ndef test_it(): pass\n",
    "call": "import pytest\ndef test_it(): pytest.skip('why')\n",
    "fixture": "import pytest\n@pytest.fixture\ndef it(): pytest.skip('why')\ndef test_it(it): pass\n",
    "module": "import pytest\npytest.skip('why', allow_module_level=True)\n",
    "import": "import pytest\npytest.importorskip('no_such_module_why')\ndef test_it(): pass\n",
}


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    return tmp_path


def run(suite: Path, no_skip: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rfEs",
        "--continue-on-collection-errors",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        ".",
    ]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "TACIT_"))}
    environment |= {"TACIT_NO_SKIP": no_skip, "COLUMNS": "200"}
    return subprocess.run(command, cwd=suite, env=environment, capture_output=True, text=True, check=False)


def test_a_skip_is_a_failure_where_nothing_may_be_missing(suite: Path) -> None:
    for kind, text in SKIPS.items():
        (suite / f"test_{kind}.py").write_text(text, encoding="utf-8")
    strict = run(suite, "1")
    assert strict.returncode in (1, 2), strict.stdout
    for kind in SKIPS:
        assert re.search(rf"^(FAILED|ERROR) test_{kind}\.py.* - .*why", strict.stdout, re.MULTILINE), strict.stdout
    assert not re.search(r"\d (skipped|passed)", strict.stdout)
    lax = run(suite, "")
    assert lax.returncode == 0, lax.stdout
    assert f"{len(SKIPS)} skipped" in lax.stdout


def test_an_expected_failure_is_no_skip(suite: Path) -> None:
    text = "import pytest\n@pytest.mark.xfail\ndef test_it(): assert False\n"
    (suite / "test_xfail.py").write_text(text, encoding="utf-8")
    assert run(suite, "1").returncode == 0
