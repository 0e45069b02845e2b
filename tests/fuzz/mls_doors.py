"""Every place where the MLS engine takes bytes of others, with real messages to begin from.

Whatever comes in is taken for what it is or refused by an error of `tacit.errors`, and what is refused changes nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Final

from fuzz.failed import Failed
from mls.deep import deep_hash
from mls.party import Open, Party, Plain
from tacit import errors
from tacit.mls import framing, limits
from tacit.mls.commit import Ciphertexts
from tacit.mls.credential import BasicCredential, Certificate, CustomCredential, X509Credential
from tacit.mls.extensions import (
    ApplicationId,
    ExternalPub,
    ExternalSender,
    ExternalSenders,
    RequiredCapabilities,
    as_extension,
)
from tacit.mls.framing import (
    ApplicationData,
    AuthenticatedContent,
    External,
    NewMemberProposal,
    PublicMessage,
    SenderData,
)
from tacit.mls.group import Group
from tacit.mls.processing import Own
from tacit.mls.proposals import (
    Add,
    ByReference,
    CustomProposal,
    GroupContextExtensions,
    PreSharedKey,
    ReInit,
    Remove,
)
from tacit.mls.psk import ExternalPsk, PreSharedKeyID, PSKLabel, ResumptionPsk, ResumptionPskUsage
from tacit.mls.welcome import GroupSecrets, PathSecret
from tacit.wire import codec
from tacit.wire.codec import decode, encode

Door = Callable[[bytes], bool]
"""Tries bytes; says whether they were taken, and raises what is no error of `tacit.errors`, or `Failed`."""


_REQUIRED: Final = RequiredCapabilities((6,), (7, 0x0A0A), (1, 2))
_NAME: Final = PreSharedKeyID(ResumptionPsk(ResumptionPskUsage.BRANCH, b"a group", 1), bytes(32))
RARE: Final = (
    ApplicationData(b"text"),
    ByReference(bytes(32)),
    CustomCredential(0x0A0A, b"something"),
    CustomProposal(0x0A0A, b"something"),
    External(1),
    ExternalPub(bytes(32)),
    ExternalSenders((ExternalSender(bytes(32), BasicCredential(b"server")), ExternalSender(b"", BasicCredential(b"")))),
    ApplicationId(b"id"),
    GroupSecrets(bytes(32), PathSecret(bytes(32)), (_NAME, _NAME)),
    PSKLabel(_NAME, 1, 2),
    NewMemberProposal(),
    ReInit(b"another group", 1, 1, (as_extension(_REQUIRED),)),
    SenderData(1, 2, bytes(4)),
    X509Credential((Certificate(b"one"), Certificate(b"other"))),
    _REQUIRED,
)
"""Structs that are in none of the messages as they travel here."""


@dataclasses.dataclass(frozen=True, slots=True)
class Opening:
    """A door, and what goes through it."""

    door: Door
    corpus: tuple[bytes, ...]


def rebuilt(value: Any) -> Any:
    """The same value without the bytes that it came from."""
    if isinstance(value, tuple):
        return tuple(rebuilt(each) for each in value)
    if isinstance(value, Ciphertexts):
        return Ciphertexts.of(rebuilt(each) for each in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return type(value)(*(rebuilt(getattr(value, field.name)) for field in dataclasses.fields(value)))
    return value


def structs_in(value: Any) -> Iterator[Any]:
    """Every struct in a struct, itself among them."""
    if type(value) in codec._STRUCTS:
        yield value
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from structs_in(getattr(value, field.name))
    elif isinstance(value, tuple | Ciphertexts):
        for each in value:
            yield from structs_in(each)


def decoder(cls: type) -> Door:
    """What is decoded is encoded to the same bytes."""

    def door(data: bytes) -> bool:
        try:
            value = rebuilt(decode(cls, data, limits.MESSAGE_BYTES))
        except errors.PeerError:
            return False
        if encode(value) != data:
            raise Failed(f"{cls.__name__} has two encodings: {data.hex()}")
        return True

    return door


def processing(group: Group, now: int, known: frozenset[bytes]) -> Door:
    """A group takes what others sent, and nothing else."""
    before = deep_hash(group.state)

    def door(data: bytes) -> bool:
        try:
            _, outcome = group.process(data, now)
            if not isinstance(outcome, Own) and data not in known:
                raise Failed(f"a message that nobody sent is taken: {data.hex()}")
            return True
        except errors.TacitError:
            return False
        finally:
            if deep_hash(group.state) != before:
                raise Failed(f"the state is another after {data.hex()}")

    return door


def made() -> dict[str, Opening]:
    """All doors, the same each time but for what is encapsulated."""
    openings: dict[str, Opening] = {}
    values: list[Any] = []
    keys: dict[object, bytes] = {b"a key": b"secret"}
    for name, policy in (("private", Open(keys)), ("public", Plain(keys))):
        party = Party("alice", "bob", "carol", "dave", policy=policy)
        party.commit("carol")
        messages = scene(party)
        welcome, joiner = messages.pop(), party.packages["erin"]
        information = party["alice"].group_info(external=True)
        known = frozenset(messages)
        openings[f"process, {name}"] = Opening(processing(party["bob"], party.now, known), tuple(messages))
        openings[f"join, {name}"] = Opening(joining(party, joiner, welcome), (welcome,))
        openings[f"join from outside, {name}"] = Opening(outside(party, information), (information,))
        everything = [*messages, welcome, information, framing.to_wire(joiner.package)]
        values += [decode(framing.MLSMessage, each, limits.MESSAGE_BYTES) for each in everything]
        values += [party["bob"].ratchet_tree(), *(extension for extension in values[-2].body.extensions)]
    found: dict[type, list[bytes]] = {}
    for each in (*values, *RARE):
        for struct in structs_in(each):
            found.setdefault(type(struct), []).append(encode(struct))
            if isinstance(struct, PublicMessage):
                content = struct.authenticated()
                found.setdefault(AuthenticatedContent, []).append(encode(content))
    for cls in sorted(found, key=str):
        corpus = sorted(set(found[cls]), key=lambda each: (len(each), each))
        openings[f"decode {cls.__name__}"] = Opening(decoder(cls), (*corpus[:3], *corpus[-2:]))
    return openings


def scene(party: Party) -> list[bytes]:
    """Messages that bob could get next, from all the others; the last one is a Welcome for erin."""
    psk = PreSharedKeyID(ExternalPsk(b"a key"), party.random(party.suite.hash_bytes))
    frank, erin = party.keys("frank"), party.keys("erin")
    messages: list[bytes] = []
    for name, proposal in (
        ("alice", Add(frank.package)),
        ("carol", Remove(party["dave"].me)),
        ("dave", PreSharedKey(psk)),
        ("alice", GroupContextExtensions(())),
    ):
        messages.append(party[name].propose(proposal, party.random)[1])
    messages.append(party["carol"].propose_update(party.random)[1])
    messages.append(party["bob"].propose(Remove(party["dave"].me), party.random)[1])
    party.groups["dave"], text = party["dave"].protect(b"text", party.random, b"more")
    messages.append(text)
    messages.append(party["dave"].protect(b"the next text", party.random)[1])
    messages.append(party.pending("alice").commit)
    messages.append(party.pending("carol", Remove(party["dave"].me), PreSharedKey(psk), received=False).commit)
    info = party["alice"].group_info(external=True)
    _, commit = Group.join_external(info, frank, party.policy, now=party.now, random=party.random)
    messages.append(commit)
    added = party.pending("dave", Add(erin.package), with_path=True)
    assert added.welcome is not None
    return [*messages, added.commit, added.welcome]


def joining(party: Party, joiner: Any, welcome: bytes) -> Door:
    """A Welcome leads into the group that it is of; what is in it for others is not protected."""
    right = deep_hash(Group.join(welcome, joiner, party.policy).state)

    def door(data: bytes) -> bool:
        try:
            group = Group.join(data, joiner, party.policy)
        except errors.PeerError:
            return False
        if deep_hash(group.state) != right:
            raise Failed(f"a Welcome that nobody sent leads into a group: {data.hex()}")
        return True

    return door


def outside(party: Party, information: bytes) -> Door:
    """A GroupInfo is signed: only the right one lets anybody in."""
    keys = party.keys("grace")

    def door(data: bytes) -> bool:
        try:
            Group.join_external(data, keys, party.policy, now=party.now, random=party.random)
        except errors.PeerError:
            return False
        if data != information:
            raise Failed(f"a GroupInfo that nobody signed is taken: {data.hex()}")
        return True

    return door
