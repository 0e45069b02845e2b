"""What every test has: a reproducible hypothesis, files in memory, and no silent skip where nothing may be missing."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("default", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", parent=settings.get_profile("default"), derandomize=False, max_examples=400)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

MEMORY = Path("/dev/shm")
ROOM = 4 << 30
"""Bytes that have to be free there; a run needs less than one."""


def pytest_configure() -> None:
    """Temporary files are in memory where the caller names no other place: thousands of commits would wait for a disk.

    Not those of `faults`, which need a commit to take its time.
    """
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < ROOM:
        return
    if not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:  # some tests run scripts that they write
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What is loaded by now stays to the end: looking through it again and again took a third of some rooms' time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def memory_is_not_wiped() -> Generator[None, None, None]:
    """SQLCipher's wiping is nine tenths of what a new store costs; the processes that tests start have it as ever.

    Once it is on in a process it stays on, so this is for every room.
    """
    store = sys.modules.get("tacit.client.store")  # loaded by now where any test opens one
    if store is None:
        yield
        return
    wiping = "PRAGMA cipher_memory_security = ON"
    assert wiping in store.SETTINGS
    with mock.patch.object(store, "SETTINGS", tuple(each for each in store.SETTINGS if each != wiping)):
        yield


def _refuse(report: pytest.TestReport | pytest.CollectReport) -> None:
    """With TACIT_NO_SKIP=1 a skip is a failure: on such a machine everything is there to run with."""
    if os.environ.get("TACIT_NO_SKIP") != "1" or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    report.outcome = "failed"
    report.longrepr = f"TACIT_NO_SKIP=1, and this was skipped: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse(report)
    return report
