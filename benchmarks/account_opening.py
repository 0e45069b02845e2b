"""Opening an epoch for 1,000 members, as a client does before it sends anything, against its bare primitives."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
from collections.abc import Callable
from itertools import cycle
from typing import Final

from benchmarks.floors.account_floor import NIST, STANDARD, Opening, Sizes, primitives
from benchmarks.harness import Report, interleave
from tacit.client import openings
from tacit.client.books import Books
from tacit.client.openings import CREATE, ROTATE, Intent
from tacit.client.schema import MIGRATIONS
from tacit.conversation.judging_records import Place
from tacit.crypto import rsa
from tacit.crypto.kem import XWing
from tacit.crypto.secret import Secret
from tacit.identity.account import Registration, register
from tacit.identity.keys import new_signing_key
from tacit.identity.unlockers import Cost
from tacit.signed import labels
from tacit.signed.account import (
    AccountRecord,
    AccountSignatures,
    EncryptionKey,
    device_id_of,
    sign_record,
)
from tacit.signed.grant import GrantContext
from tacit.signed.profiles import ALGORITHMS, KeyAlgorithm, Profile, name_of
from tacit.signed.record import conversation_id_of, record_hash
from tacit.signed.rights import advance
from tacit.signed.verify import labelled

AT_MOST: Final = 1.5
PASSES: Final = 3
"""The least of their medians counts."""
MEMBERS: Final = 1_000
FEWER: Final = 200
"""Members in a quick run."""
SERVER: Final = "localhost"
NOW: Final = 1_800_000_000_000
CHEAP: Final = Cost(8, 1, 1, 1)
"""Passwords do not matter here."""
RSA_POOL: Final = 8
"""Different RSA keys; making one takes 60 to 250 ms. Nothing remembers one: each wrap reads the key anew."""


def x_wing() -> bytes:
    """Another X-Wing public key."""
    return XWing.generate(os.urandom).public


class Product:
    """The founder's device with the verified account records of all members, in a store in memory."""

    def __init__(self, profile: Profile, members: int) -> None:
        self.profile = profile
        pool = cycle([rsa.generate() for _ in range(RSA_POOL)])
        made = register(
            SERVER,
            "user-0000",
            Secret(b"password"),
            now=NOW,
            random=os.urandom,
            generate_rsa=lambda: next(pool),
            cost=CHEAP,
            profile=profile,
        )
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.execute("PRAGMA trusted_schema = OFF")
        for migration in MIGRATIONS:
            connection.executescript(migration)
        self._books = Books(connection)
        self._books.set_meta("server_name", SERVER.encode())
        self._books.set_device(made.device)
        self._books.accounts.take(SERVER, "user-0000", [(made.record.value, made.signatures)])
        self._others = tuple(f"user-{number:04}" for number in range(1, members))
        for user_id in self._others:
            self._meet(somebody(made, user_id, next(pool).public))
        self._later = self._founded()

    def _meet(self, served: tuple[AccountRecord, AccountSignatures]) -> None:
        self._books.accounts.take(SERVER, served[0].user_id, [served])

    def _prepared(self, conversation_id: str, intent: Intent) -> openings.Opening:
        made = openings.prepare(self._books, conversation_id, intent, NOW, os.urandom)
        if made is None or len(made.grants) != len(self._others) + 1:
            raise RuntimeError("not everybody got a grant")
        return made

    def found(self) -> openings.Opening:
        """Everything from the wish for a conversation to its record and grants, kept."""
        genesis = os.urandom(32)
        conversation_id = conversation_id_of("user-0000", genesis)
        made = self._prepared(conversation_id, Intent(CREATE, self._others, genesis=genesis.hex()))
        openings.drop(self._books, conversation_id)
        return made

    def rotate(self) -> openings.Opening:
        """The next epoch of a conversation that stands, for the same members."""
        made = self._prepared(self._later, Intent(ROTATE))
        openings.drop(self._books, self._later)
        return made

    def _founded(self) -> str:
        made = self.found()
        held = self._books.add(made.conversation_id)
        self._books.extend(held, advance(None, made.record), 1, Place.FOUNDATION, NOW)
        held.cursor = 1
        self._books.save(held)
        return made.conversation_id

    def public_keys(self) -> list[bytes]:
        """What an epoch's key is wrapped to, for the floor."""
        algorithm = ALGORITHMS[self.profile].kem
        everybody = ("user-0000", *self._others)
        records = [found.value for user in everybody if (found := self._books.accounts.newest(user)) is not None]
        return [key.public_key for record in records for key in record.encryption_keys if key.algorithm is algorithm]

    def sizes(self, made: openings.Opening) -> Sizes:
        """The bytes that the primitives work on, for the floor."""
        grant = made.grants[0].grant
        context = GrantContext(record_hash(made.record), grant.recipient, grant.account_hash)
        return Sizes(
            info=len(labelled(labels.GRANT_WRAP, context)),
            grant=len(labelled(labels.GRANT, grant)),
            record=len(labelled(labels.CONVERSATION_RECORD, made.record)),
            change=0,
        )


def somebody(like: Registration, user_id: str, rsa_public: bytes) -> tuple[AccountRecord, AccountSignatures]:
    """Another account's first record: identity, device and X-Wing key of its own, the rest as `like` has it."""
    template = like.record.value
    aik, device = (new_signing_key(template.profile, os.urandom) for _ in range(2))
    certificate = dataclasses.replace(
        template.devices[0],
        user_id=user_id,
        request_key=device.public,
        device_id=device_id_of(user_id, device.public),
    )
    public = {KeyAlgorithm.X_WING: x_wing(), KeyAlgorithm.RSA: rsa_public}
    record = dataclasses.replace(
        template,
        user_id=user_id,
        aik=aik.public,
        devices=(certificate,),
        encryption_keys=tuple(EncryptionKey(key.algorithm, public[key.algorithm]) for key in template.encryption_keys),
    )
    return record, sign_record(record, aik.sign, device.sign)


def run(report: Report) -> None:
    """Milliseconds of an epoch for 1,000 members, in each profile."""
    members = FEWER if report.quick else MEMBERS
    for profile in (Profile.STANDARD, Profile.FIPS, Profile.COMPAT):
        _measure(report, profile, members)
    report.note(
        "All accounts are known and verified before; the store is in memory; a grant is wrapped to each member,"
    )
    report.note(f"X-Wing keys all different, RSA keys out of {RSA_POOL}: no wrap remembers a key, each reads it anew.")


def _measure(report: Report, profile: Profile, members: int) -> None:
    kind = STANDARD if profile is Profile.STANDARD else NIST
    product = Product(profile, members)
    sizes = product.sizes(product.rotate())
    keys = product.public_keys()
    if len(keys) != members:
        raise RuntimeError("somebody has no key")
    founding = Opening(kind, keys, product.sizes(product.found()))
    rotating = Opening(kind, keys, sizes)
    cases: dict[str, Callable[[], object]] = {
        "found": product.found,
        "rotate": product.rotate,
        "found floor": founding.open,
        "rotate floor": rotating.open,
    }
    passes = [interleave(cases, report.rounds(15), batch=1) for _ in range(PASSES)]
    # What else the machine does only adds to the medians.
    seconds = {case: min(each[case] for each in passes) for case in cases}
    name = name_of(profile)
    for case, label in (("found", "first epoch"), ("rotate", "next epoch")):
        bare = seconds[f"{case} floor"]
        report.row(f"{label}, {members:,} members, {name}, primitives alone", bare * 1e3, "ms")
        ratio = seconds[case] / bare
        report.row(
            f"{label}, {members:,} members, {name}",
            seconds[case] * 1e3,
            "ms",
            ratio=ratio,
            against="primitives",
            at_most=AT_MOST,
        )
    counted = ", ".join(f"{times:,} {what}" for what, times in primitives(kind, members).items())
    report.note(f"{name}: {counted}")
