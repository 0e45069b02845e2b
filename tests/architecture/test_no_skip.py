"""TACIT_NO_SKIP=1 turns every kind of skip into a failure."""

from __future__ import annotations

import os
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
    command = [sys.executable, "-m", "pytest", "-q", "-rfs", "-p", "no:cacheprovider", "-p", "no:randomly", "."]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "TACIT_"))}
    environment["TACIT_NO_SKIP"] = no_skip
    return subprocess.run(command, cwd=suite, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("kind", SKIPS)
def test_a_skip_is_a_failure_where_nothing_may_be_missing(suite: Path, kind: str) -> None:
    (suite / "test_skip.py").write_text(SKIPS[kind], encoding="utf-8")
    strict = run(suite, "1")
    assert strict.returncode in (1, 2), strict.stdout
    assert "why" in strict.stdout
    assert run(suite, "").returncode in (0, 5)


def test_an_expected_failure_is_no_skip(suite: Path) -> None:
    text = "import pytest\n@pytest.mark.xfail\ndef test_it(): assert False\n"
    (suite / "test_xfail.py").write_text(text, encoding="utf-8")
    assert run(suite, "1").returncode == 0
