"""The demo holds what it claims, and says so when one of its claims does not hold."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from adversary.bending import command
from cli.nursery import ADDRESS, CHEAP, Nursery
from tacit.cli.claims import CLAIMS

TESTS = Path(__file__).parents[1]
NAME = "cli.sabotage:"
IN_PROCESSES = {
    "members-read": {"tacit.client.view:history": "hide_bob_from_the_phone"},
    "offline-catches-up": {"tacit.server.messages:stored_page": "withhold_until_bob_writes"},
    "removed-keeps-past": {"tacit.client.view:history": "forget_when_removed"},
    "removed-not-served": {"tacit.server.store.messages:page": "serve_the_removed"},
    "removed-cannot-read": {"tacit.conversation.keys:ConversationKey.generate": "one_key_until_a_revocation"},
    "new-device-reads": {"tacit.client.view:history": "hide_from_the_laptop"},
    "revoked-not-served": {"tacit.server.store.accounts:device": "let_the_revoked_in"},
    "revoked-cannot-read": {"tacit.identity.changes:revoke": "keep_the_outer_key"},
    "recovery-reads": {"tacit.client.view:history": "hide_from_the_tablet"},
    "placeholder": {"tacit.server.store.messages:insert": "say_something_else"},
    "no-plaintext": {"tacit.client.queue:enqueue": "text_for_name"},
    "no-password": {"tacit.identity.unlockers:new_password": "password_for_salt"},
    "no-key": {"tacit.client.queue:enqueue": "key_for_name"},
    "devices-sealed": {"tacit.client.keystore:SecureKeyStore._write": "key_beside_the_store"},
}
"""For each claim, what its sabotage puts in the place of what in the demo's server and clients."""
IN_THE_DEMO = {"canaries": {"tacit.cli.needles:forms": "raw_only"}}
"""And in the demo's own process."""
SABOTAGED_IN = {
    "members-read": (0, 1),
    "offline-catches-up": (0, 2),
    "removed-keeps-past": (0, 3),  # hides what the next one shows
    "removed-not-served": (1, 2),
    "removed-cannot-read": (4, 5),
    "new-device-reads": (1, 3),
    "revoked-not-served": (0, 4),
    "revoked-cannot-read": (1, 5),
    "recovery-reads": (2, 4),
    "placeholder": (3, 4),
    "no-plaintext": (0, 5),
    "no-password": (1, 4),
    "no-key": (2, 3),
    "devices-sealed": (3, 5),
}
"""The two runs of the demo in which a claim is sabotaged: no other claim is in the same two."""


def environment(folder: Path, nursery: Nursery | None = None) -> dict[str, str]:
    """No home, and a folder for temporary files that has a space in its name."""
    place = folder / "a place"
    place.mkdir()
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    address = nursery.address if nursery else ""
    return {**os.environ, "HOME": "", "TMPDIR": str(place), "PYTHONPATH": path, ADDRESS: address}


def named(pairs: dict[str, str]) -> dict[str, str]:
    """The pairs as the harness takes them."""
    return {target: NAME + stand_in for target, stand_in in pairs.items()}


def play(
    folder: Path, *options: str, demo: dict[str, str] | None = None, nursery: Nursery | None = None
) -> subprocess.CompletedProcess[str]:
    """The demo to its end, its output in pipes; it leaves neither a process nor a folder."""
    env = environment(folder, nursery)
    bent = named(demo or {})
    if nursery:
        bent["tacit.cli.stage:PROGRAM"] = f"{NAME}PROGRAM"
    program = command(bent) if bent else (sys.executable, "-m", "tacit")
    done = subprocess.run(
        [*program, "demo", *options], capture_output=True, text=True, env=env, cwd=env["TMPDIR"], timeout=300
    )
    assert processes_in(folder) == []
    assert list(Path(env["TMPDIR"]).iterdir()) == [] or "--keep" in options
    return done


def processes_in(folder: Path) -> list[str]:
    """The command lines of running processes that name the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found


def test_every_claim_holds_and_is_counted(tmp_path: Path) -> None:
    with Nursery() as nursery:
        done = play(tmp_path, nursery=nursery)
    assert done.returncode == 0, done.stdout + done.stderr
    *lines, last = done.stdout.splitlines()
    assert re.fullmatch(rf"{len(CLAIMS)} of {len(CLAIMS)} claims hold \(27 client processes, [\d.]+ s\)", last)
    for claim in CLAIMS:
        assert any(line.startswith(f"holds  {claim.id} ") for line in lines)
    assert sum("reads  reads  reads  reads" in line for line in lines) == 5
    assert sum("reads  reads  cannot reads" in line for line in lines) == 2
    assert sum("reads  reads  cannot cannot" in line for line in lines) == 3
    assert "carol is handed" in done.stderr
    assert "the lost phone every row since" in done.stderr


@pytest.mark.parametrize("profile", ["fips", "compat"])
def test_every_claim_holds_in_the_other_profiles(profile: str, tmp_path: Path) -> None:
    with Nursery(CHEAP) as nursery:
        done = play(tmp_path, "--json", "--profile", profile, nursery=nursery)
    assert done.returncode == 0, done.stdout + done.stderr
    *claims, last = map(json.loads, done.stdout.splitlines())
    assert [claim["claim"] for claim in claims] == [claim.id for claim in CLAIMS]
    assert (last["hold"], last["of"]) == (len(CLAIMS), len(CLAIMS))


def test_a_script_gets_each_claim_as_json_and_the_files_on_demand(tmp_path: Path) -> None:
    """And with it the sabotage of the search itself."""
    with Nursery(CHEAP) as nursery:
        done = play(tmp_path, "--json", "--keep", demo=IN_THE_DEMO["canaries"], nursery=nursery)
    assert done.returncode == 1, done.stdout + done.stderr
    *claims, last = map(json.loads, done.stdout.splitlines())
    assert [claim["claim"] for claim in claims] == [claim.id for claim in CLAIMS]
    wrong = {claim["claim"]: claim["wrong"] for claim in claims if not claim["holds"]}
    assert wrong == {"canaries": "an account record's hash was not found as hex"}
    assert (last["hold"], last["of"]) == (len(CLAIMS) - 1, len(CLAIMS))
    (kept,) = (tmp_path / "a place").iterdir()
    assert f"everything is kept in {kept}" in done.stderr
    assert (kept / "server" / "chat.db").exists()


def test_there_is_a_sabotage_for_each_claim() -> None:
    assert {claim.id for claim in CLAIMS} == IN_PROCESSES.keys() | IN_THE_DEMO.keys()
    assert SABOTAGED_IN.keys() == IN_PROCESSES.keys()
    assert len(set(SABOTAGED_IN.values())) == len(IN_PROCESSES)


@pytest.mark.parametrize("run", range(6))
def test_a_claim_that_does_not_hold_is_named(run: int, tmp_path: Path) -> None:
    """Exactly those that were sabotaged fail: each claim sees what the others do not.

    One that failed by another's sabotage would fail in both of that one's runs, and it is sabotaged in at most one.
    """
    claims = [claim for claim in IN_PROCESSES if run in SABOTAGED_IN[claim]]
    pairs = [f"{target}={stand_in}" for claim in claims for target, stand_in in named(IN_PROCESSES[claim]).items()]
    with Nursery(CHEAP, *pairs) as nursery:
        done = play(tmp_path, nursery=nursery)
    assert done.returncode == 1, done.stdout + done.stderr
    assert sorted(re.findall(r"^FAILS  (\S+)", done.stdout, re.MULTILINE)) == sorted(claims), done.stdout
    assert f"\n{len(CLAIMS) - len(claims)} of {len(CLAIMS)} claims hold" in done.stdout


def test_a_server_that_does_not_start_is_told_with_what_it_said(tmp_path: Path) -> None:
    done = play(tmp_path, demo={"tacit.cli.stage:PROGRAM": "FAILING"})
    assert done.returncode == 1
    assert "the server ended with 1 before it served:\nthere is no room on the disk" in done.stderr
    assert "Traceback" not in done.stderr
    assert "claims hold" not in done.stdout


def test_a_server_that_hangs_is_not_waited_for_long(tmp_path: Path) -> None:
    bent = {"tacit.cli.stage:PROGRAM": "SILENT", "tacit.cli.stage:START_SECONDS": "MOMENT"}
    done = play(tmp_path, demo=bent)
    assert done.returncode == 1
    assert "the server did not serve within 0.5 s" in done.stderr


def test_a_step_that_hangs_is_not_waited_for_long(tmp_path: Path) -> None:
    done = play(tmp_path, demo={"tacit.cli.stage:STEP_SECONDS": "MOMENT"})
    assert done.returncode == 1
    assert "`tacit register` as alice did not end within 0.5 s" in done.stderr


def test_a_demo_that_is_ended_takes_its_processes_and_its_folder_with_it(tmp_path: Path) -> None:
    env = environment(tmp_path)
    with subprocess.Popen([sys.executable, "-m", "tacit", "demo"], stderr=subprocess.PIPE, text=True, env=env) as demo:
        assert demo.stderr is not None
        while "register" not in (line := demo.stderr.readline()):
            assert line, "it ended by itself"
        assert processes_in(tmp_path)
        demo.send_signal(signal.SIGTERM)
        demo.communicate(timeout=60)
    assert demo.returncode == 128 + signal.SIGTERM
    end = time.monotonic() + 60
    while processes_in(tmp_path) and time.monotonic() < end:
        time.sleep(0.05)
    assert processes_in(tmp_path) == []
    assert list((tmp_path / "a place").iterdir()) == []
