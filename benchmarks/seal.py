"""Sealing and opening a message of 100 bytes against its bare primitives."""

from __future__ import annotations

import os
from itertools import count

from benchmarks.floors.seal_floor import STANDARD, Floor, Sizes, primitives
from benchmarks.harness import Report, interleave
from tacit.conversation.content import Content, TextBody, pad
from tacit.conversation.keys import ConversationKey, finish_record
from tacit.conversation.sealing import Epoch, MessageKeyContext, Sealed, Sender, make_content, open_message, seal
from tacit.crypto.secret import Secret
from tacit.crypto.sign import Ed25519Key
from tacit.signed import labels
from tacit.signed.account import device_id_of
from tacit.signed.message import aad_bytes, verify_message
from tacit.signed.profiles import Profile
from tacit.signed.record import DEFAULT_POLICY, Change, ConversationRecord, Opener, Protocol, Role, conversation_id_of
from tacit.signed.verify import ZERO_HASH, labelled, labelled_bytes
from tacit.wire.codec import encode

NAME = "seal"

TEXT = "x" * 100
SEEN = (b"\x01" * 32, b"\x02" * 32)
"""A message names the last ones that its writer had: here two."""
AT_MOST = 2.0
PASSES = 5
"""The least of their medians counts."""
BATCH = 30
"""Calls in a row: a batch of about 2 ms is rarely interrupted, and a single call would measure the caches."""


class Product:
    """One device in an epoch of one, with a message sealed."""

    def __init__(self) -> None:
        self._key = Ed25519Key(Secret(b"\x07" * 32))
        device_id = device_id_of("alice", self._key.public)
        genesis = b"\x08" * 32
        record = ConversationRecord(
            conversation_id_of("alice", genesis),
            1,
            ZERO_HASH,
            Protocol.ENVELOPE,
            Profile.STANDARD,
            0,
            b"",
            0,
            b"",
            ZERO_HASH,
            (Change("alice", ZERO_HASH, Role.ADMIN, 1, ZERO_HASH),),
            (),
            DEFAULT_POLICY,
            genesis,
            b"",
            "",
            0,
            Opener("alice", device_id, ZERO_HASH),
        )
        key = ConversationKey(Secret(b"\x09" * 32))
        self._epoch = Epoch(finish_record(record, key), key)
        self._sender = Sender("alice", device_id, b"\x0a" * 16, self._key.sign)
        self._counter = count()
        self.sealed = self.seal()

    def seal(self) -> Sealed:
        """What a sending client does: from a text to a signed message and its hash."""
        content = make_content(TextBody(TEXT), sent_at=1_800_000_000_000, seen=SEEN, random=os.urandom)
        return seal(
            self._epoch,
            self._sender,
            content,
            counter=next(self._counter),
            client_message_id="0123456789abcdef" * 2,
            random=os.urandom,
        )

    def open(self) -> Content:
        """What a receiving client does: signature, decryption, padding, content, franking tag."""
        message, signature, _ = self.sealed
        verified = verify_message(message, signature, self._key.public, Profile.STANDARD)
        return open_message(verified, self._epoch)

    def sizes(self) -> Sizes:
        """The bytes that each primitive works on, for the floor."""
        message = self.sealed.message
        aad = message.aad
        plain = encode(self.open())
        context = MessageKeyContext(aad.device_id, aad.instance_id, aad.counter)
        return Sizes(
            content=len(labelled_bytes(labels.FRANKING, plain)),
            padded=len(pad(plain)),
            aad=len(aad_bytes(aad)),
            info=len(labelled(labels.MESSAGE_KEY, context)),
            signed=len(labelled(labels.MESSAGE, message)),
            hashed_by_seal=(len(labelled(labels.MESSAGE_HASH, message)),),
        )


def run(report: Report) -> None:
    """Microseconds of one message, each way."""
    product, floor = Product(), Floor()
    if product.sizes() != STANDARD:
        raise RuntimeError(f"the floor works on {STANDARD}, the product on {product.sizes()}")
    cases = {"seal": product.seal, "seal floor": floor.seal, "open": product.open, "open floor": floor.open}
    passes = [interleave(cases, report.rounds(61), batch=BATCH) for _ in range(PASSES)]
    # What else the machine does only adds to the medians.
    seconds = {name: min(each[name] for each in passes) for name in cases}
    for name, counted in primitives(1).items():
        report.row(f"{name}, primitives alone", seconds[f"{name} floor"] * 1e6, "us")
        ratio = seconds[name] / seconds[f"{name} floor"]
        report.row(f"{name} 100 bytes", seconds[name] * 1e6, "us", ratio=ratio, against="primitives", at_most=AT_MOST)
        report.note(f"{name}: " + ", ".join(f"{times} {what}" for what, times in counted.items() if times))
