"""Each command in a process against a real server, as a person and as a script sees them."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import pytest

from cli.nursery import CHEAP, Nursery
from tacit.cli.stage import PROGRAM, Person, Stage, end

SECONDS = 120
EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eevil\u2028x"


@dataclass(frozen=True, slots=True)
class Done:
    """What a process did."""

    code: int
    out: str
    err: str


class House:
    """A server and the people who use it, by name."""

    def __init__(self, folder: Path, program: Sequence[str] = PROGRAM) -> None:
        self.stage = Stage(folder, program)
        self.stage.open()
        self.people: dict[str, Person] = {}

    def register(self, *names: str) -> None:
        for name in names:
            self.people[name] = self.stage.person(name)
        people = [self.people[name] for name in names]
        self.stage.run_each(people, "register", "{name}", "--server", self.stage.url)

    def ask(self, name: str, *arguments: str) -> list[dict[str, Any]]:
        """A command as a script gives it."""
        return self.stage.run(self.people[name], *arguments)

    def say(self, who: str | Person, *arguments: str, typed: bytes = b"", pass_fds: tuple[int, ...] = ()) -> Done:
        """A command as a person gives it."""
        person = self.people[who] if isinstance(who, str) else who
        with self.stage.started(person, *arguments, pass_fds=pass_fds) as process:
            out, err = process.communicate(typed, SECONDS)
        assert b"Traceback" not in err, err.decode()
        return Done(process.returncode, out.decode(), err.decode())


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """Where the processes of most commands come from: each test would else wait for Python longer than for tacit."""
    with Nursery(CHEAP) as nursery:
        yield nursery


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house"), nursery.command)
    try:
        house.register("alice", "bob", "carol")
        yield house
    finally:
        house.stage.close()


def tacit(*arguments: str, **options: Any) -> Done:
    """A command without any account."""
    done = subprocess.run(
        [*PROGRAM, *arguments], capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL, **options
    )
    assert "Traceback" not in done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def refused(done: Done, code: str) -> str:
    """The text of an error that a person reads: what happened, what to do, the code."""
    assert done.code == 1
    assert done.out == ""
    lines = done.err.splitlines()
    assert lines[0].startswith("error: ")
    assert lines[-2].startswith("  what to do: ")
    assert lines[-1] == f"  code: {code}"
    return lines[0]


# --- accounts ----------------------------------------------------------------------------


def test_registering_shows_the_words_once_and_nothing_of_the_password(house: House) -> None:
    dora = house.stage.person("dora")
    done = house.say(dora, "register", "dora", "--server", house.stage.url)
    assert done.code == 0, done.err
    assert f"dora is registered at {house.stage.url}; the keys are in {dora.home}." in done.out
    assert [int(number) for number in re.findall(r"\b(\d+)\. [a-z]+", done.out)] == list(range(1, 25))
    assert dora.password not in done.out + done.err
    again = house.say(dora, "register", "dora", "--server", house.stage.url)
    assert f"{dora.home} holds an account already" in refused(again, "invalid_argument")
    taken = house.say(
        Person("other", dora.home.with_name("other"), "pw"), "register", "dora", "--server", house.stage.url
    )
    refused(taken, "account_exists")


def test_a_folder_is_only_opened_by_its_own_account_and_password(house: House) -> None:
    alice = house.people["alice"]
    wrong = Person("alice", alice.home, "a wrong password")
    assert "does not open with this password" in refused(house.say(wrong, "conversations"), "store_locked")
    stranger = house.say("alice", "login", "bob", "--server", house.stage.url)
    assert "it belongs to another account" in refused(stranger, "store_locked")
    assert house.say("alice", "login", "alice", "--server", house.stage.url).out == (
        f"signed in as alice at {house.stage.url}\n"
    )
    nobody = Person("nobody", alice.home.with_name("nobody"), "pw")
    assert "try `tacit register`" in refused(house.say(nobody, "conversations"), "not_signed_in")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://192.0.2.1:8080", "not_loopback"),
        ("http://127.0.0.1:9", "unreachable"),
        ("chat.example.org", "invalid_argument"),
        ("https://127.0.0.1:9", "unreachable"),
    ],
)
def test_a_server_that_cannot_be_used_is_told(house: House, url: str, code: str) -> None:
    refused(house.say(Person("eve", house.stage.folder / "eve", "pw"), "register", "eve", "--server", url), code)


def test_a_server_that_is_gone_is_told_and_what_was_written_is_sent_later(tmp_path: Path) -> None:
    house = House(tmp_path)
    try:
        house.register("alice")
        house.ask("alice", "create", "team")
    finally:
        house.stage.close()
    refused(house.say("alice", "send", "team", "hello"), "unreachable")


# --- passwords ---------------------------------------------------------------------------


def test_a_password_is_never_an_argument(house: House) -> None:
    done = tacit("conversations", "--password", "secret")
    assert done.code == 2
    assert "No such option" in done.err


def test_without_a_terminal_a_password_is_asked_for_by_descriptor(house: House) -> None:
    done = tacit("conversations", "--home", str(house.people["alice"].home), start_new_session=True)
    assert done.code == 2
    assert "give --password-fd" in done.err


def test_a_descriptor_that_gives_no_password_is_told(house: House) -> None:
    home = str(house.people["alice"].home)
    assert "cannot be read" in refused(
        tacit("conversations", "--home", home, "--password-fd", "77"), "invalid_argument"
    )
    assert "no password" in refused(tacit("conversations", "--home", home, "--password-fd", "0"), "invalid_argument")


def test_a_terminal_is_asked_and_does_not_echo(house: House) -> None:
    alice = house.people["alice"]
    with Terminal("conversations", "--home", str(alice.home)) as terminal:
        terminal.wait_for("Password: ")
        terminal.type(alice.password + "\n")
        assert terminal.ends() == 0
    assert alice.password not in terminal.text


def test_a_folder_is_asked_for_where_there_is_no_home() -> None:
    done = tacit("conversations", env={**os.environ, "HOME": "", "TACIT_HOME": "", "XDG_DATA_HOME": ""})
    assert done.code == 2
    assert "give --home, or set TACIT_HOME" in done.err


# --- conversations -----------------------------------------------------------------------


def test_a_conversation_says_how_it_is_protected_and_who_is_in_it(house: House) -> None:
    made = house.say("alice", "create", "protected", "bob")
    assert made.out == (
        "protected\n"
        "  end-to-end encrypted, protocol envelope, profile standard, epoch 1\n"
        "  members: alice (admin), bob\n"
    )
    assert made.out in house.say("bob", "conversations").out
    (found,) = [each for each in house.ask("bob", "conversations") if each["name"] == "protected"]
    assert (found["encrypted"], found["protocol"], found["profile"], found["epoch"], found["blocked"]) == (
        (True, "envelope", "standard", 1, "")
    )
    assert [(each["userId"], each["role"]) for each in found["members"]] == [("alice", "admin"), ("bob", "member")]


def test_whoever_has_no_conversation_is_told_how_to_start_one(house: House) -> None:
    house.register("newcomer")
    assert "no conversations yet; start one with `tacit create" in house.say("newcomer", "conversations").out
    assert house.ask("newcomer", "conversations") == []


def test_names_that_lead_nowhere_are_told(house: House) -> None:
    assert "nobody" in refused(house.say("alice", "create", "x", "nobody"), "no_such_account")
    for command in (["send", "nowhere", "x"], ["read", "nowhere"], ["chat", "nowhere"], ["members", "list", "nowhere"]):
        done = house.say("alice", *command)
        refused(done, "conversation_not_found")
        assert "tacit conversations" in done.err
    refused(house.say("alice", "create", ""), "invalid_argument")


def test_a_text_goes_from_one_to_the_other(house: House) -> None:
    house.ask("alice", "create", "talk", "bob")
    assert house.say("alice", "send", "talk", "hello bob").out == "sent to talk as message 3\n"
    assert house.say("bob", "send", "talk", "-", typed="several\nlines ✓".encode()).code == 0
    lines = house.say("alice", "read", "talk").out.splitlines()
    assert re.fullmatch(r"\d\d:\d\d · alice: hello bob", lines[0])
    assert re.fullmatch(r"\d\d:\d\d · bob: several", lines[1])
    assert lines[2] == "        lines ✓"
    found = [(each["seq"], each["sender"], each["text"], each["trust"]) for each in house.ask("bob", "read", "talk")]
    assert found == [(3, "alice", "hello bob", "pinned"), (4, "bob", "several\nlines ✓", "pinned")]
    refused(house.say("alice", "send", "talk", "-", typed=b"\xff\xfe"), "invalid_argument")
    refused(house.say("alice", "send", "talk", "-", typed=b"a" * 70_000), "too_large")


def test_a_password_and_a_text_come_the_same_way(house: House) -> None:
    alice = house.people["alice"]
    house.ask("alice", "create", "piped")
    command = [*PROGRAM, "send", "piped", "-", "--home", str(alice.home), "--password-fd", "0"]
    subprocess.run(command, input=f"{alice.password}\nthe text".encode(), check=True, capture_output=True)
    assert [each["text"] for each in house.ask("alice", "read", "piped")] == ["the text"]


def test_what_others_write_does_not_steer_the_terminal(house: House) -> None:
    house.ask("alice", "create", f"n{EVIL}\nfake", "bob")
    (made,) = [each for each in house.ask("bob", "conversations") if each["name"].startswith("n\x1b")]
    house.ask("alice", "send", made["conversationId"], f"{EVIL}\n12:00 ✓ bob: I never said this\t.")
    (sent,) = house.ask("bob", "read", made["conversationId"])
    assert sent["text"].startswith(EVIL)
    for command in (["conversations"], ["read", made["conversationId"]], ["chat", made["conversationId"]]):
        done = house.say("bob", *command)
        assert not set("\x1b\x07\x9b\u202e\u2028") & set(done.out + done.err)
        assert not re.search(r"^(fake|12:00)", done.out, re.MULTILINE)
    assert "\n        12:00 ✓ bob: I never said this    ." in house.say("bob", "read", made["conversationId"]).out


def test_a_user_id_does_not_steer_the_terminal(house: House) -> None:
    name = "mal\x1b[2Jlory\nx"
    mallory = house.people[name] = Person(name, house.stage.folder / "mallory", "pw")
    assert "\x1b" not in house.say(mallory, "register", name, "--server", house.stage.url).out
    house.ask(name, "create", "odd", "bob")
    house.ask(name, "send", "odd", "hello")
    for command in (["members", "list", "odd"], ["read", "odd"]):
        done = house.say("bob", *command)
        assert "mal�[2Jlory�x" in done.out
        assert "\x1b" not in done.out


def test_a_reader_who_has_enough_ends_it_quietly(house: House) -> None:
    house.ask("alice", "create", "long")
    with house.stage.started(house.people["alice"], "conversations") as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(timeout=SECONDS)
    assert err == b""
    assert process.returncode == 1


def test_a_terminal_that_lacks_a_letter_shows_the_rest(house: House) -> None:
    alice = house.people["alice"]
    house.ask("alice", "create", "plain")
    house.ask("alice", "send", "plain", "déjà vu ✓")
    command = [*PROGRAM, "read", "plain", "--home", str(alice.home), "--password-fd", "0"]
    env = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(command, input=alice.password.encode(), capture_output=True, env=env, timeout=SECONDS)
    assert "alice: déjà vu ?" in done.stdout.decode("latin-1")


# --- members and keys --------------------------------------------------------------------


def test_who_joins_is_told_once_that_what_was_before_stays_closed(house: House) -> None:
    house.ask("alice", "create", "grow", "bob")
    for text in ("one", "two"):
        house.ask("bob", "send", "grow", text)
    refused(house.say("bob", "members", "add", "grow", "carol"), "no_right")
    assert "bob is a member already" in refused(house.say("alice", "members", "add", "grow", "bob"), "invalid_argument")
    added = house.say("alice", "members", "add", "grow", "carol")
    assert added.out.startswith("carol added; end-to-end encrypted, protocol envelope, profile standard, epoch 2\n")
    house.ask("alice", "send", "grow", "welcome")
    first, second = house.say("carol", "read", "grow").out.splitlines()
    assert "3 earlier messages are closed to you: no_grant." in first
    assert second.endswith("· alice: welcome")
    *closed, last = house.ask("carol", "read", "grow")
    assert [(each["seq"], each["cause"], each["text"]) for each in closed] == [
        (2, "no_grant", ""),
        (3, "no_grant", ""),
        (4, "no_grant", ""),
    ]
    assert last["text"] == "welcome"


def test_who_is_removed_keeps_the_past_and_sends_nothing(house: House) -> None:
    house.ask("alice", "create", "shrink", "bob", "carol")
    house.ask("alice", "send", "shrink", "before")
    house.ask("bob", "read", "shrink")
    assert "dave is not a member" in refused(
        house.say("alice", "members", "remove", "shrink", "dave"), "invalid_argument"
    )
    removed = house.say("alice", "members", "remove", "shrink", "bob")
    assert removed.out == (
        "bob removed; end-to-end encrypted, protocol envelope, profile standard, epoch 2\n  alice (admin), carol\n"
    )
    house.ask("alice", "send", "shrink", "after")
    assert [each["text"] for each in house.ask("bob", "read", "shrink")] == ["before"]
    assert "not a member" in refused(house.say("bob", "send", "shrink", "still here"), "sending_blocked")
    (listed,) = house.ask("carol", "members", "list", "shrink")
    assert [each["userId"] for each in listed["members"]] == ["alice", "carol"]


def test_the_last_admin_appoints_another_and_leaves(house: House) -> None:
    house.ask("alice", "create", "ferry", "bob", "carol")
    assert "appoints another first" in refused(house.say("alice", "members", "leave", "ferry"), "invalid_argument")
    done = house.say("alice", "members", "role", "ferry", "bob", "admin")
    assert (done.code, done.out) == (0, "bob is admin now\n  alice (admin), bob (admin), carol\n")
    assert house.say("alice", "members", "leave", "ferry").code == 0
    assert "you asked to leave" in refused(house.say("alice", "send", "ferry", "once more"), "sending_blocked")
    house.ask("carol", "send", "ferry", "bye, alice")
    (members,) = house.ask("bob", "members", "list", "ferry")
    assert [each["userId"] for each in members["members"]] == ["bob", "carol"]
    refused(house.say("carol", "members", "role", "ferry", "carol", "admin"), "no_right")


def test_where_nothing_waits_nothing_is_accepted(house: House) -> None:
    house.ask("alice", "create", "quay", "bob")
    assert house.say("alice", "members", "pending", "quay").out == "nothing waits for you\n"
    assert house.ask("alice", "members", "pending", "quay") == []
    refused(house.say("alice", "members", "accept", "quay", "0" * 64), "record_missing")
    refused(house.say("alice", "members", "accept", "quay", "nonsense"), "invalid_argument")


def test_a_new_key_protects_what_follows(house: House) -> None:
    house.ask("alice", "create", "turn", "bob")
    rotated = house.say("bob", "keys", "rotate", "turn")
    assert rotated.out == (
        "a new key protects turn: end-to-end encrypted, protocol envelope, profile standard, epoch 2\n"
    )
    house.ask("alice", "send", "turn", "hello")
    assert [(each["text"], each["epoch"]) for each in house.ask("bob", "read", "turn")] == [("hello", 2)]


# --- profiles ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def profiled(house: House) -> House:
    """With somebody of each other profile."""
    for name, profile in (("cora", "compat"), ("fred", "fips")):
        house.people[name] = house.stage.person(name)
        house.ask(name, "register", name, "--server", house.stage.url, "--profile", profile)
    return house


def test_an_account_has_the_profile_that_it_registers_with(profiled: House) -> None:
    for name, profile in (("alice", "standard"), ("cora", "compat"), ("fred", "fips")):
        profiled.ask(name, "create", f"notes of {name}")
        done = profiled.say(name, "members", "list", f"notes of {name}")
        assert f"protocol envelope, profile {profile}, epoch 1" in done.out
    login = profiled.say("cora", "login", "cora", "--server", profiled.stage.url, "--profile", "fips")
    assert refused(login, "profile_mismatch").endswith(" compat, not fips")
    unknown = profiled.say("fred", "register", "fred", "--server", profiled.stage.url, "--profile", "plain")
    assert unknown.code == 2
    assert "'plain' is not one of 'standard', 'fips', 'compat'" in unknown.err


def test_a_compat_conversation_takes_standard_accounts_and_is_raised_once_all_can_follow(profiled: House) -> None:
    too_high = refused(profiled.say("alice", "create", "mixed", "cora", "bob"), "cannot_follow")
    assert "cora: profile compat. A conversation of the profile standard" in too_high
    stranger = refused(profiled.say("alice", "create", "mixed", "fred", "--profile", "compat"), "cannot_follow")
    assert "fred: profile fips" in stranger
    assert "cora: profile compat" in refused(
        profiled.say("cora", "create", "mixed", "--profile", "standard"), "cannot_follow"
    )
    made = profiled.say("alice", "create", "mixed", "cora", "bob", "--profile", "compat")
    assert (made.code, "profile compat, epoch 1" in made.out) == (0, True), made.err
    profiled.ask("cora", "send", "mixed", "hello")
    assert [each["text"] for each in profiled.ask("bob", "read", "mixed")] == ["hello"]
    assert "cora: profile compat" in refused(profiled.say("alice", "keys", "raise-profile", "mixed"), "cannot_follow")
    refused(profiled.say("bob", "keys", "raise-profile", "mixed"), "no_right")
    profiled.ask("alice", "members", "remove", "mixed", "cora")
    raised = profiled.say("alice", "keys", "raise-profile", "mixed")
    assert raised.out == "mixed: end-to-end encrypted, protocol envelope, profile standard, epoch 3\n"
    assert "cora" in refused(profiled.say("alice", "members", "add", "mixed", "cora"), "cannot_follow")


def test_what_is_not_compat_is_not_raised(profiled: House) -> None:
    profiled.ask("fred", "create", "alone")
    done = profiled.say("fred", "keys", "raise-profile", "alone")
    assert "goes from compat to standard, not from fips to standard" in refused(done, "invalid_argument")


# --- chat --------------------------------------------------------------------------------


def interruptible() -> None:
    """As at a terminal: who started the tests in the background may have had interrupts ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """A command at a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [*PROGRAM, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=interruptible,
        )
        os.close(slave)
        self.text = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        end(self.process)
        os.close(self._master)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait_for(self, pattern: str) -> None:
        """Read until the pattern was printed."""
        limit = time.monotonic() + SECONDS
        while not re.search(pattern, self.text) and time.monotonic() < limit:
            if select.select([self._master], [], [], 0.1)[0]:
                self.text += os.read(self._master, 65536).decode(errors="replace")
        assert re.search(pattern, self.text), self.text

    def ends(self) -> int:
        """Wait for the process's end, reading what it says."""
        limit = time.monotonic() + SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < limit, self.text
            if select.select([self._master], [], [], 0.1)[0]:
                self._read_rest()
        return self.process.returncode

    def _read_rest(self) -> None:
        try:
            self.text += os.read(self._master, 65536).decode(errors="replace")
        except OSError:  # the other side is closed
            self.process.wait(SECONDS)


def line_with(stream: IO[bytes] | None, text: str) -> str:
    """The next line of a pipe that has the text in it."""
    assert stream is not None
    for raw in stream:
        line = raw.decode()
        if text in line:
            return line
    raise AssertionError(f"{text!r} was not printed")


def test_two_people_chat_through_pipes(house: House) -> None:
    house.ask("alice", "create", "chat", "bob")
    house.ask("alice", "send", "chat", "earlier")
    stage, people = house.stage, house.people
    with stage.started(people["alice"], "chat", "chat") as alice, stage.started(people["bob"], "chat", "chat") as bob:
        assert alice.stdin is not None
        assert bob.stdin is not None
        assert line_with(bob.stdout, "end-to-end encrypted, protocol envelope, profile standard, epoch 1")
        assert line_with(bob.stdout, "members: alice (admin), bob")
        for process in (alice, bob):
            assert line_with(process.stdout, "alice: earlier")
        alice.stdin.write(b"hello\n")
        alice.stdin.flush()
        assert line_with(bob.stdout, "alice: hello")
        bob.stdin.write("déjà vu\n".encode())
        bob.stdin.flush()
        assert line_with(alice.stdout, "bob: déjà vu")
        house.ask("alice", "members", "add", "chat", "carol")
        assert line_with(bob.stderr, "-- members: alice (admin), bob, carol")
        assert line_with(bob.stderr, "epoch 2")
        alice.stdin.write(b"/quit\n")
        alice.stdin.flush()
        bob.stdin.close()
        bob.stdin = None
        for process in (alice, bob):
            out, err = process.communicate(timeout=SECONDS)
            assert process.returncode == 0, err
            assert b"earlier" not in out


def test_a_chat_without_an_end_of_line_sends_the_last_one(house: House) -> None:
    house.ask("alice", "create", "short")
    assert house.say("alice", "chat", "short", typed=b"first\n\nlast").code == 0
    assert [each["text"] for each in house.ask("alice", "read", "short")] == ["first", "last"]


def test_a_script_gets_each_message_of_a_chat_once(house: House) -> None:
    house.ask("alice", "create", "lines")
    house.ask("alice", "send", "lines", "earlier")
    with house.stage.started(house.people["alice"], "chat", "lines", "--json") as process:
        assert process.stdin is not None
        assert json.loads(line_with(process.stdout, "earlier"))["seq"] == 3
        process.stdin.write(b"later\n")
        process.stdin.flush()
        assert json.loads(line_with(process.stdout, "later"))["seq"] == 4
        out, err = process.communicate(b"/quit\n", SECONDS)
    assert (out, err, process.returncode) == (b"", b"", 0)


def test_a_chat_at_a_terminal_is_interrupted(house: House) -> None:
    alice = house.people["alice"]
    house.ask("alice", "create", "tty")
    with Terminal("chat", "tty", "--home", str(alice.home)) as terminal:
        terminal.wait_for("Password: ")
        terminal.type(alice.password + "\n")
        terminal.wait_for("/quit ends")
        terminal.type("typed here\n")
        terminal.wait_for(r"\d\d:\d\d · alice: typed here")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.ends() == 130
    assert "Traceback" not in terminal.text


def test_who_is_removed_during_a_chat_is_told(house: House) -> None:
    house.ask("alice", "create", "out", "bob")
    with house.stage.started(house.people["bob"], "chat", "out") as bob:
        assert bob.stdin is not None
        assert line_with(bob.stdout, "/quit ends")
        house.ask("alice", "members", "remove", "out", "bob")
        assert line_with(bob.stderr, "-- sending is blocked: you are not a member any more")
        bob.stdin.write(b"am I here?\n")
        bob.stdin.flush()
        assert line_with(bob.stderr, "code: sending_blocked")
        bob.communicate(b"/quit\n", SECONDS)
    assert bob.returncode == 0


def test_a_chat_outlives_its_server(tmp_path: Path, nursery: Nursery) -> None:
    house = House(tmp_path, nursery.command)
    try:
        house.register("alice")
        house.ask("alice", "create", "team")
        with house.stage.started(house.people["alice"], "chat", "team") as alice:
            assert alice.stdin is not None
            assert line_with(alice.stdout, "/quit ends")
            house.stage.close()
            alice.stdin.write(b"while it is gone\n")
            alice.stdin.flush()
            assert line_with(alice.stderr, "code: unreachable")
            port = house.stage.url.rpartition(":")[2]
            with serving("--port", port, "--database", str(house.stage.server_folder / "chat.db")):
                assert line_with(alice.stdout, "alice: while it is gone")
                alice.communicate(b"/quit\n", SECONDS)
        assert alice.returncode == 0
    finally:
        house.stage.close()


# --- the server --------------------------------------------------------------------------


class serving:
    """A server for as long as the block runs; `said` is the line with which it starts."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen([*PROGRAM, "serve", *arguments], stdout=subprocess.PIPE)

    def __enter__(self) -> Self:
        self.said = line_with(self.process.stdout, " serves ")
        return self

    def __exit__(self, *_: object) -> None:
        end(self.process)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_says_where_it_is_and_ends_by_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    database = tmp_path / "a place" / "chat.db"
    database.parent.mkdir()
    options = ["--port", "0", "--database", str(database), "--name", "chat.example.org", "--host", "localhost"]
    with serving(*options) as server:
        assert re.fullmatch(r"tacit serves chat\.example\.org at http://localhost:\d+\n", server.said)
        server.process.send_signal(number)
        assert server.process.wait(SECONDS) == 0
    assert database.exists()


def test_a_server_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    database = str(tmp_path / "chat.db")
    refused(tacit("serve", "--host", "0.0.0.0", "--database", database), "not_loopback")
    refused(tacit("serve", "--host", "no.such.host.invalid", "--database", database), "invalid_argument")
    (tmp_path / "text").write_text("this is not a database, but it is long enough to be mistaken for one")
    assert "text" in refused(tacit("serve", "--port", "0", "--database", str(tmp_path / "text")), "internal")
    with serving("--port", "0", "--database", database) as server:
        port = server.said.strip().rpartition(":")[2]
        done = tacit("serve", "--port", port, "--database", str(tmp_path / "other.db"))
        assert f"port {port} cannot be listened on" in refused(done, "invalid_argument")
    assert tacit("serve", "--port", "70000").code == 2


# --- the whole ---------------------------------------------------------------------------


def test_the_commands_that_no_walk_takes_in_processes_that_load_them(tmp_path: Path) -> None:
    """The demo, the README and the page of keys take the others."""
    house = House(tmp_path)
    try:
        house.register("alice")
        house.ask("alice", "create", "notes")
        assert house.say("alice", "login", "alice", "--server", house.stage.url).code == 0
        assert "epoch 2" in house.say("alice", "keys", "rotate", "notes").out
        assert "notes\n" in house.say("alice", "conversations").out
        assert house.say("alice", "chat", "notes", typed=b"hello\n").code == 0
        assert "alice (admin)" in house.say("alice", "members", "list", "notes").out
    finally:
        house.stage.close()


def test_help_names_every_command_and_loads_none() -> None:
    code = "import sys; from tacit.cli.main import main\ntry: main(['--help'])\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS)
    for command in ("serve", "demo", "register", "login", "conversations", "create", "members", "send", "read", "chat"):
        assert f"\n  {command} " in done.stdout
    assert "\n  keys " in done.stdout
    assert "tacit.client" not in done.stdout.split()
    assert tacit("nonsense").code == 2
