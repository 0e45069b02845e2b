"""The account's own commands in processes: devices, password, recovery key, reset, notices, contacts."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.nursery import CHEAP, Nursery
from cli.test_commands import SECONDS, Done, House, Terminal, refused
from tacit import errors
from tacit.cli.devices import find_device
from tacit.cli.lines import account_text, called
from tacit.cli.notices import described
from tacit.cli.stage import Person
from tacit.client.accountchange import Notice
from tacit.client.accountview import AccountView, DeviceView


class Town(House):
    """A house whose people have several devices, each a person of its own with the same name."""

    def __init__(self, folder: Path, program: Sequence[str]) -> None:
        super().__init__(folder, program)
        self.words: dict[str, list[str]] = {}

    def join(self, name: str) -> None:
        """Register, with a device that is called phone."""
        person = self.people[name] = self.stage.person(name)
        (told,) = self.stage.run(person, "register", name, "--server", self.stage.url, "--device", "phone")
        self.words[name] = told["recoveryWords"]

    def device(self, name: str, label: str, password: str = "") -> Person:
        """Another folder of the same person."""
        owner = self.people[name]
        return Person(name, owner.home.with_name(f"{name} {label}"), password or owner.password)

    def add(self, name: str, label: str) -> Person:
        """Another device, signed in by the password."""
        made = self.device(name, label)
        self.stage.run(made, "devices", "add", name, "--server", self.stage.url, "--device", label, "--yes")
        return made


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with Nursery(CHEAP) as nursery:
        town = Town(tmp_path_factory.mktemp("town"), nursery.command)
        try:
            yield town
        finally:
            town.stage.close()


def descriptor(text: str) -> int:
    """A file descriptor that gives a line to the next process."""
    here, there = os.pipe()
    os.write(there, text.encode() + b"\n")
    os.close(there)
    return here


def say(town: Town, who: Person, *arguments: str, typed: str = "", **given: str) -> Done:
    """A command with further secrets by descriptors, such as new_password_fd="..."."""
    options: list[str] = []
    descriptors = [descriptor(text) for text in given.values()]
    for option, number in zip(given, descriptors, strict=True):
        options += [f"--{option.replace('_', '-')}", str(number)]
    try:
        return town.say(who, *arguments, *options, typed=typed.encode(), pass_fds=tuple(descriptors))
    finally:
        for number in descriptors:
            os.close(number)


def devices_of(town: Town, who: Person) -> dict[str, Any]:
    (found,) = town.stage.run(who, "devices")
    return found


# --- devices -----------------------------------------------------------------------------


def test_a_new_device_is_shown_the_account_and_reads_what_was_written(town: Town) -> None:
    town.join("ada")
    town.ask("ada", "create", "diary")
    town.ask("ada", "send", "diary", "before the tablet")
    tablet = town.device("ada", "tablet")
    add = ("devices", "add", "ada", "--server", town.stage.url, "--device", "tablet")
    nobody = say(town, tablet, *add)
    assert nobody.code == 2
    assert "give --yes" in nobody.err
    no = say(town, tablet, *add, typed="n\n")
    assert no.code == 1
    assert "code: not_confirmed" in no.err
    assert not (tablet.home / "profile.json").exists()
    done = say(town, tablet, *add, typed="y\n")
    assert done.code == 0, done.err
    assert re.search(
        r"ada: version 1, profile standard\n  vault written \d{4}-\d\d-\d\d \d\d:\d\d by phone \([0-9a-f]{16}\)\n",
        done.err,
    )
    assert "Is this the account as you know it?" in done.err
    assert "this is a device of ada now, named tablet" in done.out
    (line,) = town.stage.run(tablet, "read", "diary")
    assert line["text"] == "before the tablet"
    found = devices_of(town, tablet)
    assert {(each["name"], each["this"]) for each in found["devices"]} == {("phone", False), ("tablet", True)}
    assert found["version"] == 2
    again = say(town, tablet, *add, "--yes")
    assert "holds an account already" in refused(again, "invalid_argument")


def test_wrong_secrets_open_no_account(town: Town) -> None:
    town.join("amy")
    add = ("devices", "add", "amy", "--server", town.stage.url, "--yes")
    thief = town.device("amy", "of a thief", "a guess")
    refused(say(town, thief, *add), "sign_in_refused")
    words = town.words["amy"]
    wrong = [*words[:2], "nonsense", *words[3:22], "x", words[23]]
    done = say(town, thief, *add, new_password_fd="a new one", words_fd=" ".join(wrong))
    assert "no such word at position 3, 23" in refused(done, "invalid_argument")
    assert "nonsense" not in done.err
    turned = [words[1], words[0], *words[2:]] if words[0] != words[1] else words[::-1]
    done = say(town, thief, *add, new_password_fd="a new one", words_fd=" ".join(turned))
    assert "checksum wrong" in refused(done, "invalid_argument")
    done = say(town, thief, *add, new_password_fd="a new one", words_fd=" ".join(words[:23]))
    assert "24 words, not 23" in refused(done, "invalid_argument")
    assert list(thief.home.glob("state.db*")) == []
    unmet = replace(thief, password=town.people["amy"].password)
    refused(say(town, unmet, *add, "--profile", "compat"), "profile_mismatch")


def test_words_alone_bring_the_account_back_under_a_new_password(town: Town) -> None:
    town.join("ann")
    tablet = town.device("ann", "tablet", "the new one")
    add = ("devices", "add", "ann", "--server", town.stage.url, "--yes")
    done = say(town, tablet, *add, new_password_fd="the new one", words_fd=" ".join(town.words["ann"]))
    assert done.code == 0, done.err
    assert "the account has the new password" in done.out
    assert len(devices_of(town, tablet)["devices"]) == 2
    refused(say(town, town.device("ann", "laptop"), *add), "sign_in_refused")


def test_words_are_asked_for_row_by_row_and_not_shown(town: Town) -> None:
    town.join("ava")
    words = town.words["ava"]
    home = town.device("ava", "tablet").home
    arguments = ("devices", "add", "ava", "--server", town.stage.url, "--words", "--home", str(home))
    with Terminal(*arguments) as terminal:
        terminal.wait_for("Words 1 to 6 of 24")
        terminal.type(" ".join([*words[:4], "nonsense", words[5]]) + "\n")
        terminal.wait_for("(?s)no such word at position 5: type this row once more.*Words 1 to 6 of 24 .*: ")
        terminal.type(" ".join(words[:6]).upper() + "\n")
        terminal.wait_for("Words 7 to 12 of 24")
        terminal.type(" ".join(words[6:]) + "\n")
        terminal.wait_for("New password: ")
        terminal.type("the new one\n")
        terminal.wait_for("Repeat for confirmation: ")
        terminal.type("the new one\n")
        terminal.wait_for(r"\[y/N\]")
        terminal.type("y\n")
        assert terminal.ends() == 0
    for secret in ("nonsense", "the new one", " ".join(words[:2]), " ".join(words[:2]).upper(), " ".join(words[6:8])):
        assert secret not in terminal.text


def test_a_device_is_named_and_found_by_name_and_id(town: Town) -> None:
    town.join("abe")
    abe = town.people["abe"]
    (device,) = devices_of(town, abe)["devices"]
    assert town.say("abe", "devices", "name", device["deviceId"][:8], "old phone").out.endswith(
        "is called old phone now\n"
    )
    tablet = town.add("abe", "tablet")
    assert "old phone, since version 1" in town.say(tablet, "devices", "list").out
    assert "tablet, this one, since version 2" in town.say(tablet, "devices").out
    for wanted in ("nothing like it", device["deviceId"][:3]):
        assert "see `tacit devices`" in refused(town.say("abe", "devices", "name", wanted, "x"), "invalid_argument")
    town.stage.run(tablet, "devices", "name", "tablet", "old phone")
    assert "several devices are called old phone" in refused(
        town.say(tablet, "devices", "revoke", "old phone"), "invalid_argument"
    )
    refused(town.say("abe", "devices", "name", "old phone", ""), "invalid_argument")


def test_a_stolen_device_is_asked_about_and_revoked(town: Town) -> None:
    town.join("bea")
    town.join("ben")
    town.ask("bea", "create", "team", "ben")
    tablet = town.add("bea", "tablet")
    own = town.say(tablet, "devices", "revoke", "tablet", "--yes")
    assert "no device revokes itself" in refused(own, "invalid_argument")
    done = say(town, tablet, "devices", "revoke", "phone", "--stolen", typed="n\ny\n")
    assert done.code == 0, done.err
    assert re.search(r"phone \([0-9a-f]{16}\) opened epoch 1 of team: bea: admin, ben: member", done.err)
    assert done.err.index("Was all of this you?") < done.err.index("Is this the account as you know it?")
    assert ") revoked: what it holds opens nothing that is written from now on (1 new keys)" in done.out
    assert "undo it with `tacit members`" in done.out
    assert "`tacit reset`" in done.out
    refused(town.say("bea", "conversations"), "sign_in_refused")
    found = devices_of(town, tablet)
    assert [each["name"] for each in found["devices"]] == ["tablet"]
    assert [each["revokedIn"] for each in found["revoked"]] == [3]
    assert [each["epoch"] for each in town.stage.run(tablet, "conversations")] == [2]


def test_a_device_that_did_nothing_is_revoked_without_that_question(town: Town) -> None:
    town.join("bob")
    town.add("bob", "tablet")
    done = say(town, town.people["bob"], "devices", "revoke", "tablet", "--stolen", typed="y\n")
    assert done.code == 0, done.err
    assert re.search(r"tablet \([0-9a-f]{16}\) changed nothing in any conversation", done.err)
    assert "undo it" not in done.out


# --- password, recovery key, reset -------------------------------------------------------


def test_a_new_password_is_taken_here_and_asked_for_elsewhere(town: Town) -> None:
    town.join("cat")
    tablet = town.add("cat", "tablet")
    phone = town.people["cat"]
    done = say(town, phone, "password", typed="y\n", new_password_fd="the second")
    assert done.code == 0, done.err
    assert "the password was used by tablet (" in done.err
    assert done.err.index("take `tacit reset`") < done.err.index("Is this the account as you know it?")
    refused(town.say("cat", "conversations"), "store_locked")
    phone = town.people["cat"] = replace(phone, password="the second")
    assert town.say("cat", "conversations").code == 0
    # The tablet's folder still opens with the first one, the account does not.
    third = say(town, tablet, "password", "--yes", new_password_fd="the third", account_password_fd="the second")
    assert third.code == 0, third.err
    tablet = replace(tablet, password="the third")
    assert town.say(tablet, "conversations").code == 0
    with Terminal("recovery-key", "--home", str(phone.home)) as terminal:
        terminal.wait_for("Password: ")
        terminal.type("the second\n")
        terminal.wait_for("changed on another device")
        terminal.wait_for("The account's password: ")
        terminal.type("the third\n")
        terminal.wait_for(r"\[y/N\]")
        terminal.type("y\n")
        assert terminal.ends() == 0
    assert "shown this once" in terminal.text


def test_a_new_recovery_key_ends_the_old_one(town: Town) -> None:
    town.join("cora")
    cora, old = town.people["cora"], " ".join(town.words["cora"])
    assert "code: not_confirmed" in say(town, cora, "recovery-key", typed="\n").err
    done = say(town, cora, "recovery-key", "--yes", words_fd=old)
    assert done.code == 0, done.err
    words = re.findall(r"\b\d+\. ([a-z]+)", done.out)
    assert len(words) == 24
    add = ("devices", "add", "cora", "--server", town.stage.url, "--yes")
    tablet = town.device("cora", "tablet", "anew")
    refused(say(town, tablet, *add, new_password_fd="anew", words_fd=old), "sign_in_refused")
    assert say(town, tablet, *add, new_password_fd="anew", words_fd=" ".join(words)).code == 0


def test_words_that_could_not_be_shown_are_shown_later_and_once(town: Town) -> None:
    town.join("kim")
    kim = town.people["kim"]
    with town.stage.started(kim, "recovery-key", "--yes") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()  # the terminal is gone when the words come
        assert process.wait(SECONDS) != 0
    assert "`tacit recovery-key --unseen`" in town.say("kim", "conversations").err
    done = town.say("kim", "recovery-key", "--unseen")
    assert done.code == 0, done.err
    words = re.findall(r"\b\d+\. ([a-z]+)", done.out)
    assert len(words) == 24
    assert "--unseen" not in town.say("kim", "conversations").err
    assert "no words wait" in town.say("kim", "recovery-key", "--unseen").err
    tablet = town.device("kim", "tablet", "anew")
    add = ("devices", "add", "kim", "--server", town.stage.url, "--yes")
    assert say(town, tablet, *add, new_password_fd="anew", words_fd=" ".join(words)).code == 0


def test_a_reset_makes_all_new_and_a_contact_confirms_it(town: Town) -> None:
    town.join("dan")
    town.join("eve")
    town.ask("eve", "create", "pair", "dan")
    town.ask("dan", "send", "pair", "it is me")
    kept, dan = town.add("dan", "tablet"), town.people["dan"]
    done = say(town, dan, "reset", "--keep", "tablet", typed="y\n", new_password_fd="after it")
    assert done.code == 0, done.err
    assert "Your roles in conversations end" in done.err
    assert "The account is reset." in done.out
    assert len(re.findall(r"\b\d+\. [a-z]+", done.out)) == 24
    assert [line["text"] for line in town.stage.run(kept, "read", "pair")] == ["it is me"]
    town.ask("eve", "send", "pair", "who is it?")
    told = town.say("eve", "conversations")
    assert "-- 1 thing happened to your account or a contact's: `tacit notices`" in told.err
    notices = town.say("eve", "notices").out
    assert "dan's account was reset and has another identity key\n    ask dan outside this chat" in notices
    assert "notices" not in town.say("eve", "conversations").err
    refused(town.say("eve", "members", "add", "pair", "dan"), "identity_changed")
    listed = town.say("eve", "contacts").out
    assert "dan: RESET, and not confirmed" in listed
    me, contact = town.ask("eve", "contacts")
    assert (me["this"], contact["changed"]) == (True, True)
    old, new = contact["fingerprint"], contact["fingerprintNow"]
    (mine, _) = town.stage.run(kept, "contacts")
    assert (mine["fingerprint"], mine["changed"]) == (new, True)
    assert "(you): RESET by device" in say(town, kept, "contacts").out
    refused(say(town, kept, "create", "mine", "eve"), "identity_changed")
    own = ("contacts", "confirm", "dan", *re.findall(".{8}", new))
    assert "not_confirmed" in say(town, kept, *own, typed="n\n").err
    assert "you go on under this identity" in say(town, kept, *own, typed="y\n").out
    assert "do not confirm it" in refused(town.say("eve", "contacts", "confirm", "dan", old), "invalid_argument")
    assert "have not met" in refused(town.say("eve", "contacts", "confirm", "mallory", new), "invalid_argument")
    confirm = ("contacts", "confirm", "dan", *re.findall(".{8}", new.upper()))
    assert "not_confirmed" in say(town, town.people["eve"], *confirm, typed="n\n").err
    assert say(town, town.people["eve"], *confirm, typed="y\n").code == 0
    assert "dan" in town.say("eve", "members", "add", "pair", "dan").out


def test_a_reset_by_a_device_alone_waits_and_is_cancelled(town: Town) -> None:
    town.join("fay")
    tablet = town.add("fay", "tablet")
    for options in (("--alone", "--words"), ("--alone", "--cancel")):
        assert town.say(tablet, "reset", *options).code == 2
    assert "not_confirmed" in say(town, tablet, "reset", "--alone", typed="n\n", new_password_fd="another").err
    done = say(town, tablet, "reset", "--alone", typed="y\n", new_password_fd="another")
    assert done.code == 0, done.err
    assert re.search(r"The reset waits until \d{4}-\d\d-\d\d \d\d:\d\d", done.out)
    told = town.say("fay", "notices").out
    assert re.search(r"tablet \([0-9a-f]{16}\) asks to reset your account", told)
    assert "if it was not you: `tacit reset --cancel`" in told
    assert "no reset waits any more" in say(town, town.people["fay"], "reset", "--cancel", "--yes").out
    assert "a reset of your account was cancelled" in town.say(tablet, "notices").out
    assert devices_of(town, tablet)["version"] == 3


def test_what_this_device_did_itself_is_not_news(town: Town) -> None:
    town.join("gus")
    tablet = town.add("gus", "tablet")
    assert "notices" not in town.say(tablet, "conversations").err
    assert "-- 1 thing happened" in town.say("gus", "conversations").err
    every = town.ask("gus", "notices")
    assert [(each["kind"], each["facts"]["succeeded"]) for each in every] == [("unlocker", True)]
    assert "tacit notices" not in town.say("gus", "conversations").err


def test_where_nothing_happened_that_is_said(town: Town) -> None:
    town.join("hal")
    assert town.say("hal", "notices").out == "nothing has happened to your account\n"
    assert town.ask("hal", "notices") == []


# --- what is shown -----------------------------------------------------------------------

PHONE = DeviceView("ab" * 32, "phone\x1b[2J", 1, this=True)
GONE = DeviceView("cd" * 32, "", 2, 3)
VIEW = AccountView("ada", 3, "standard", (PHONE,), (GONE,), 1_700_000_000_000, GONE.device_id, vault_is_old=False)


TWO = replace(VIEW, devices=(replace(PHONE, name="phone"), DeviceView("ef" * 32, "tablet", 2)))


@pytest.mark.parametrize("name", ["ef" * 8, "efef", "ef" * 32, "tablet"])
def test_a_name_leads_nobody_to_another_device(name: str) -> None:
    phone, tablet = TWO.devices
    named = replace(TWO, devices=(replace(phone, name=name), tablet))
    if name == tablet.device_id:
        assert find_device(named, name) == tablet
    else:
        with pytest.raises(errors.InvalidArgument, match=r".*\(abababababababab\), tablet \(efefefefefefefef\)"):
            find_device(named, name)
    assert find_device(TWO, name) == tablet
    assert find_device(named, phone.device_id[:4]).device_id == phone.device_id


def test_a_name_is_never_shown_without_the_beginning_of_the_id() -> None:
    phone = TWO.devices[0]
    assert called(phone) == "phone (abababababababab)"
    assert called(phone, "this device") == "phone (abababababababab, this device)"
    assert (called(GONE), called(GONE, "revoked")) == ("cd" * 8, f"{'cd' * 8} (revoked)")
    assert "by phone (abababababababab)" in account_text(replace(TWO, vault_written_by=phone.device_id))


def test_an_old_vault_is_warned_of() -> None:
    assert "WARNING" not in account_text(VIEW)
    assert "WARNING: more than 48 hours ago" in account_text(replace(VIEW, vault_is_old=True))
    assert f"by device {'cd' * 8}" in account_text(VIEW)
    assert f"{'cd' * 8}  (without a name), revoked in version 3" in account_text(VIEW)
    assert "WARNING: what that device wrote is of no use" in account_text(replace(VIEW, vault_is_readable=False))
    assert "\x1b" not in account_text(VIEW)
    assert "    none" in account_text(replace(VIEW, devices=()))


@pytest.mark.parametrize(
    ("kind", "facts", "said", "remedy"),
    [
        ("unlocker", {"kind": "password", "deviceId": "ef" * 32, "succeeded": True}, "none of yours", "tacit reset"),
        ("unlocker", {"kind": "recovery_key", "deviceId": "ef" * 32, "succeeded": False}, "given wrongly", "password"),
        (
            "unlocker",
            {"kind": "new", "deviceId": "ab" * 32, "succeeded": True},
            f"used by phone�[2J ({'ab' * 8}, this device)",
            "",
        ),
        (
            "unlocker",
            {"kind": "password", "deviceId": "ef" * 32, "succeeded": False, "failed": 40},
            "given wrongly 40 times, the last time by",
            "password",
        ),
        (
            "unlocker",
            {"kind": "password", "deviceId": "ef" * 32, "succeeded": True, "failed": 1},
            ", after it was given wrongly once",
            "tacit reset",
        ),
        ("reset", {"version": 2, "deviceId": "cd" * 32, "dueAt": "?"}, "(revoked) asks to reset", "--cancel"),
        ("reset_cancelled", {"version": 2}, "was cancelled", ""),
        ("identity", {"userId": "ada", "version": 2}, "your account was reset", "tacit contacts"),
        ("identity", {"userId": "b\nob", "version": 2}, "b�ob's account was reset", "tacit contacts"),
        ("change_refused", {"kind": "revoke"}, "overtaken", "do it again"),
        ("identity_confirmed", {"userId": "b\nob", "version": 2, "deviceId": "cd" * 32}, "of b�ob", "revoke --stolen"),
        ("server_restored", {}, "restored from a backup", "is posted back"),
        ("server_behind", {"accounts": 1, "records": 2}, "1 accounts, 2 records, 0 messages", "change it again"),
        ("vault_unreadable", {"deviceId": PHONE.device_id}, "is of no use to anybody", "tacit devices revoke"),
        (
            "branches",
            {"conversationId": "team", "epoch": 4, "deviceId": "cd" * 32},
            f"{'cd' * 8} (revoked) knew epoch 4 of the�team otherwise than this one",
            "compare `tacit members` on both before one is revoked or wiped",
        ),
        ("something\x1b", {}, "something�", "update"),
    ],
)
def test_each_notice_says_what_to_do(kind: str, facts: dict[str, object], said: str, remedy: str) -> None:
    text, what = described(Notice(1_700_000_000_000, kind, facts), VIEW, {"team": "the\nteam"})
    assert said in text
    assert remedy in what
    assert bool(remedy) == bool(what)
    assert not set("\x1b\n") & set(text)


def test_what_is_printed_for_a_script_is_json(town: Town) -> None:
    town.join("ivy")
    done = town.say("ivy", "devices", "--json")
    assert json.loads(done.out)["userId"] == "ivy"
