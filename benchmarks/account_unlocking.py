"""From a password to the opened vault, against the derivation of the password alone."""

from __future__ import annotations

import os

from benchmarks.floors.account_floor import COST, PBKDF2_ITERATIONS, argon2id, pbkdf2
from benchmarks.harness import Report, interleave
from tacit.api.accounts import PrivateKeys, SignedHeader
from tacit.api.auth import UnlockerFound
from tacit.client.unlocking import Proven, derive, password_key, read_vault
from tacit.crypto import rsa
from tacit.crypto.secret import Secret
from tacit.identity.account import register
from tacit.identity.changes import Unlocked
from tacit.identity.unlockers import BOUNDS, Cost, find_unlocker, proof_of
from tacit.identity.vault import (
    ContactPin,
    ConversationHead,
    NewEntry,
    Writer,
    contact_entry,
    conversation_entry,
    merge,
    seal_outer,
)
from tacit.signed.account import account_hash
from tacit.signed.profiles import Profile, name_of
from tacit.signed.vault import EntryKind, Outer, UnlockerKind
from tacit.wire.codec import encode
from tacit.wire.text import to_base64

AT_MOST = 1.1
SERVER, USER, PASSWORD = "localhost", "alice", "correct horse battery staple"
CONTACTS = CONVERSATIONS = 100
"""What the longer vault knows: an entry a contact, two a conversation."""
NOW = 1_800_000_000_000


class Product:
    """An account as its server serves it, and its password."""

    def __init__(self, profile: Profile, *, known: bool = False) -> None:
        made = register(
            SERVER,
            USER,
            Secret(PASSWORD.encode()),
            now=NOW,
            random=os.urandom,
            generate_rsa=rsa.generate,
            cost=Cost(),
            profile=profile,
        )
        unlocker = find_unlocker(made.vault.inner, UnlockerKind.PASSWORD)
        self._profile = profile
        self._found = UnlockerFound(unlocker.id, to_base64(unlocker.parameters))
        self._versions = [made.record]
        outer = made.vault.outer
        written = [outer]
        self.entries = len(made.entries)
        if known:
            entries = [*made.entries, *some_entries()]
            self.entries = len(entries)
            device = made.device
            writer = Writer(device.device_id(), device.request_key().sign)
            merged = merge((), entries, 2, writer)
            key = Secret(device.outer_key)
            outer = seal_outer(SERVER, USER, 1, outer.header, merged, key, writer, NOW)
            written.append(outer)
        self._answer = self._served(written, made.vault.inner, made.vault.boxes)

    def _served(self, written: list[Outer], inner: object, boxes: object) -> PrivateKeys:
        return PrivateKeys(
            USER,
            account_hash(self._versions[0].value).hex(),
            1,
            to_base64(encode(boxes)),
            to_base64(encode(written[-1])),
            [SignedHeader(to_base64(encode(each.header)), to_base64(each.signature)) for each in written],
            to_base64(encode(inner)),
        )

    def unlock(self) -> Unlocked:
        """What a client does but for asking the server: derive, prove, open AMK, AIK, outer key and entries."""
        key = password_key(PASSWORD)
        secret = derive(SERVER, USER, key, self._found, BOUNDS[self._profile])
        proof_of(SERVER, USER, self._found.unlocker_id, secret)
        return read_vault(self._answer, self._versions, Proven(self._found.unlocker_id, secret))


def some_entries() -> list[NewEntry]:
    """What a vault keeps of contacts and conversations."""
    pins = [ContactPin(f"contact-{number}", 1, os.urandom(32), os.urandom(32)) for number in range(CONTACTS)]
    heads = [ConversationHead(os.urandom(32).hex(), 1, os.urandom(32)) for _ in range(CONVERSATIONS)]
    kinds = (EntryKind.CONVERSATION_PIN, EntryKind.CONVERSATION_HEAD)
    return [*map(contact_entry, pins), *(conversation_entry(kind, head) for head in heads for kind in kinds)]


def run(report: Report) -> None:
    """Milliseconds from a password to the opened vault."""
    fresh, grown = Product(Profile.STANDARD), Product(Profile.STANDARD, known=True)
    nist = {name_of(profile): Product(profile) for profile in (Profile.FIPS, Profile.COMPAT)}
    password, salt = PASSWORD.encode(), os.urandom(32)
    opened = {"standard": fresh, "grown": grown, **nist}
    for product in opened.values():
        if len(product.unlock().entries) != product.entries:
            raise RuntimeError("the vault was not opened whole")
    cases = {
        "Argon2id": lambda: argon2id(password, salt),
        "PBKDF2": lambda: pbkdf2(password, salt),
        **{name: product.unlock for name, product in opened.items()},
    }
    seconds = interleave(cases, report.rounds(31), batch=1)
    memory, passes, lanes = COST
    report.note(f"Unlocking: 1 Argon2id of {memory // 1024} MiB, {passes} passes, {lanes} lanes (standard), or")
    report.note(f"1 PBKDF2-HMAC-SHA256 of {PBKDF2_ITERATIONS:,} iterations (fips, compat); no network.")
    report.row("Argon2id alone", seconds["Argon2id"] * 1e3, "ms")
    _row(report, "unlock, standard", seconds["standard"], seconds["Argon2id"], "Argon2id", AT_MOST)
    longer = f"unlock, standard, {grown.entries} vault entries"
    _row(report, longer, seconds["grown"], seconds["Argon2id"], "Argon2id", None)
    report.row("PBKDF2 alone", seconds["PBKDF2"] * 1e3, "ms")
    for name in nist:
        _row(report, f"unlock, {name}", seconds[name], seconds["PBKDF2"], "PBKDF2", None)


def _row(report: Report, name: str, taken: float, alone: float, against: str, at_most: float | None) -> None:
    report.row(name, taken * 1e3, "ms", ratio=taken / alone, against=against, at_most=at_most)
