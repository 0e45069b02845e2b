"""A process from a nursery is one of its own, and to its starter no other than the program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from adversary.bending import wraps_original
from cli.nursery import Nursery

SECONDS = 60


@wraps_original
def say_who(original: object) -> object:
    """In place of a command's body: what a process can tell of itself, and then what it was asked to do."""
    del original

    def probe(conversation: str, **_: object) -> int:
        print(os.getpid(), Path.cwd(), os.environ.get("PROBE"), sys.argv[1:], sep="|")
        if conversation == "copy":
            print(sys.stdin.read() + os.read(int(os.environ["EXTRA"]), 10).decode(), file=sys.stderr)
        if conversation == "wait":
            signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number + 1))
            print("waiting", flush=True)
            time.sleep(SECONDS)
        if conversation == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        return 7

    return probe


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery("tacit.cli.keys:rotate.callback=cli.test_nursery:say_who") as nursery:
        yield nursery


@pytest.mark.parametrize("what", ["copy", "again"])
def test_it_has_its_own_arguments_environment_folder_and_descriptors(
    nursery: Nursery, what: str, tmp_path: Path
) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"extra")
    os.close(writing)
    done = subprocess.run(
        [*nursery.command, "keys", "rotate", what, "--home", "x"],
        input="typed, ",
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PROBE": what, "EXTRA": str(reading)},
        pass_fds=(reading,),
        timeout=SECONDS,
    )
    os.close(reading)
    pid, *said = done.stdout.strip().split("|")
    assert int(pid) != os.getpid()
    assert said == [str(tmp_path), what, str(["keys", "rotate", what, "--home", "x"])]
    assert done.stderr == ("typed, extra\n" if what == "copy" else "")
    assert done.returncode == 7


def test_a_signal_is_passed_on_and_a_death_is_told(nursery: Nursery) -> None:
    command = [*nursery.command, "keys", "rotate"]
    with subprocess.Popen([*command, "wait"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "wait" in process.stdout.readline()
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == signal.SIGTERM + 1
    died = subprocess.run([*command, "die"], capture_output=True, timeout=SECONDS)
    assert died.returncode == -signal.SIGKILL


def test_who_is_left_when_it_closes_goes_with_it() -> None:
    with Nursery() as nursery:
        process = subprocess.Popen(
            [*nursery.command, "serve", "--port", "0", "--database", nursery.address + ".db"], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert b"serves" in process.stdout.readline()
    assert process.wait(SECONDS) == 1
    assert process.stdout.read() == b""  # nobody holds the other end any more
    process.stdout.close()


def test_a_stand_in_that_leads_nowhere_is_told() -> None:
    with pytest.raises(AssertionError, match="did not start"):
        Nursery("tacit.cli.keys:no_such=cli.test_nursery:say_who")
