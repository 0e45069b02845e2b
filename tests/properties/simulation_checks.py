"""What has to hold once everybody was online and nothing is left to do, judged by what the server has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from properties.simulation_deeds import HOUR
from properties.simulation_people import Phone, Simulation
from properties.simulation_truth import Epoch, Talk, Truth, truth_of
from tacit import errors
from tacit.client import inbox
from tacit.client.books import Books
from tacit.conversation.envelope import open_grant
from tacit.crypto.secret import Secret
from tacit.identity import keys
from tacit.identity.vault import PrivateKey, values
from tacit.signed.account import (
    certificate,
)
from tacit.signed.grant import WRAPS, SignedGrant
from tacit.signed.rights import could_open
from tacit.signed.vault import EntryKind
from tacit.wire.codec import decode

ROUNDS: Final = 14
"""Everybody syncs so often at the most until nothing changes any more; between two rounds hours pass."""


# --- quiescence ------------------------------------------------------------------------------


async def finish(sim: Simulation) -> None:
    """Everybody comes online, syncs until nothing changes, talks once more; then all has to be well."""
    await settle(sim)
    truth = await truth_of(sim)
    await check_agreement(sim, truth)
    await check_readable(sim, truth)
    await everybody_speaks(sim, strict=False)
    await settle(sim)
    said = await everybody_speaks(sim, strict=True)
    await settle(sim)
    truth = await truth_of(sim)
    await check_agreement(sim, truth)
    await check_readable(sim, truth)
    await check_heard(sim, truth, said)
    await check_secrecy(sim, truth)
    for phone in sim.phones:
        await sim.check_quiet(phone)


async def settle(sim: Simulation) -> None:
    """Sync everything until nothing changes; people accept what waits for them."""
    sim.log.append("--- everybody is online")
    earlier: list[Any] = []
    before: list[Any] = []
    for phone in sim.phones:
        phone.offline, phone.line.trouble = False, None
    for _ in range(ROUNDS):
        await drop_the_revoked(sim)
        for phone in standing(sim):
            await calm(sim, phone)
        after = [await fingerprint(phone) for phone in standing(sim)]
        if after == before:
            return
        earlier, before = before, after
        sim.now += 2 * HOUR
    last = [pair for pair in zip(earlier, before, strict=False) if pair[0] != pair[1]]
    raise sim.violation(f"it does not come to rest: {last}")


def standing(sim: Simulation) -> list[Phone]:
    return [each for each in sim.phones if not each.dropped]


async def drop_the_revoked(sim: Simulation) -> None:
    """From here on devices that are revoked, or were never certified, do nothing any more; their stores stay."""
    truth = await truth_of(sim)
    for phone in standing(sim):
        if not phone.device_id:
            try:
                await sim.come_back(phone)
            except (errors.SignInRefused, errors.VersionConflict, errors.InvalidArgument) as refusal:
                sim.log.append(f"{phone!r} never came to be: {refusal.code}")
                phone.dropped = True
        elif not truth.stands(phone.person.name, phone.device_id):
            phone.dropped = True


async def calm(sim: Simulation, phone: Phone) -> None:
    """One device catches up; nothing may go wrong in that."""
    try:
        await sim.come_back(phone)
        assert phone.client is not None
        await phone.client.sync()
        await phone.client.device.check_vault()
        await phone.client.device._write_vault()
        truth = await truth_of(sim)
        for conversation in await phone.client.conversations():
            for each in await conversation.pending():
                await check_asked(sim, phone, truth.talks[conversation.id], each.epoch, truth)
                sim.log.append(f"{phone!r} accepts epoch {each.epoch} of {conversation.id[:8]}")
                await conversation.accept(each.record_hash)
    except errors.TacitError as refusal:
        raise sim.violation(f"{phone!r} cannot catch up: {refusal.code} {refusal.detail}") from refusal
    await sim.check_quiet(phone)


async def check_asked(sim: Simulation, phone: Phone, talk: Talk, number: int, truth: Truth) -> None:
    """A person is asked only where nobody vouches who stands and had the right before the record."""
    judged = talk.epochs[number]
    earlier = judged.before.roster() if judged.before is not None else judged.roster
    received = await phone.look(lambda books: set(books.held(talk.id).pending))
    for epoch in talk.epochs.values():
        by = epoch.record.opener
        if epoch.record.epoch <= number or epoch.record.epoch not in received:
            continue
        if not truth.stands(by.user_id, by.device_id) or not truth.is_in(by.user_id, epoch.roster):
            continue
        if not could_open(judged.before, judged.record, by.user_id, truth.named):
            continue
        if earlier[by.user_id].aik_fingerprint == epoch.roster[by.user_id].aik_fingerprint:
            raise sim.violation(f"{phone!r} is asked about epoch {number}, though {epoch.record.epoch} vouches for it")


async def fingerprint(phone: Phone) -> list[Any]:
    def look(books: Books) -> list[Any]:
        found: list[Any] = [repr(phone), books.own_account().value.version]
        for held in map(books.held, books.conversation_ids()):
            keys_held = sum(each.opened is not None for each in held.known.values())
            found.append((held.id[:8], held.epoch, held.cursor, sorted(held.pending), held.stopped, keys_held))
        for table in ("outbox", "openings", "rotations", "grants_wanted", "messages WHERE cause <> ''"):
            found += books.connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        return found

    return await phone.look(look)


async def everybody_speaks(sim: Simulation, *, strict: bool) -> dict[tuple[str, str], str]:
    """Every device says something wherever it is; what it said, by conversation and device."""
    said: dict[tuple[str, str], str] = {}
    for phone in standing(sim):
        assert phone.client is not None
        for conversation in await phone.client.conversations():
            truth = await truth_of(sim)
            if not truth.is_in(phone.person.name, truth.talks[conversation.id].head.roster):
                continue
            sim.said += 1
            sim.log.append(f"{phone!r} speaks in {conversation.id[:8]}")
            text = f"{sim.said}/{truth.talks[conversation.id].head.record.epoch}/{phone!r}"
            try:
                await conversation.send(text)
                said[conversation.id, repr(phone)] = text
            except (errors.SendingBlocked, errors.NotAMember) as refusal:
                sim.log.append(f"    {refusal.code}: {refusal.detail}")
                if strict and not await nobody_lets_go(sim, phone, truth, truth.talks[conversation.id]):
                    raise sim.violation(f"{phone!r} cannot send in {conversation.id[:8]}: {refusal.detail}") from None
            except errors.TacitError as refusal:
                raise sim.violation(f"{phone!r} is told {refusal.code}: {refusal.detail}") from refusal
    return said


async def nobody_lets_go(sim: Simulation, phone: Phone, truth: Truth, talk: Talk) -> bool:
    """Whether somebody asked to leave where nobody else has a device to let them go."""
    leaving = await phone.look(lambda books: books.held(talk.id).leaving is not None)
    others = [each.person.name for each in standing(sim) if each.person is not phone.person]
    return leaving and not any(truth.is_in(each, talk.head.roster) for each in others)


# --- what has to hold --------------------------------------------------------------------------


async def check_agreement(sim: Simulation, truth: Truth) -> None:
    """All devices of all members agree with the server on record and roster."""
    for talk in truth.talks.values():
        for phone in standing(sim):
            if not truth.is_in(phone.person.name, talk.head.roster):
                continue
            held = await phone.look(lambda books, talk=talk: books.find(talk.id))  # type: ignore[misc]
            state = held.state() if held is not None else None
            if held is None or state is None or state.head_hash != talk.head.state.head_hash:
                at = (held.epoch, held.pending) if held is not None else "nothing"
                raise sim.violation(f"{phone!r} is at {at} in {talk.id[:8]}, not at {talk.head.record.epoch}")
            if held.roster() != talk.head.roster:
                raise sim.violation(f"{phone!r} has another roster of {talk.id[:8]}")


async def check_readable(sim: Simulation, truth: Truth) -> None:
    """What was taken is read by everybody who was in its epoch; what was slipped in behind a removal by nobody."""
    for talk in truth.talks.values():
        for phone in standing(sim):
            verdicts = await verdicts_of(phone, talk.id)
            for seq, (sender, device, number) in talk.messages.items():
                cause, text, trust = verdicts.get(seq, ("", "not served", ""))
                here = f"{phone!r}, {talk.id[:8]}, message {seq} of {sender} in epoch {number}"
                if (talk.id, seq) in sim.injected:
                    if is_beyond(talk, truth, seq, sender, device, number) and trust:
                        raise sim.violation(f"{here} is {trust}, though its sender was out")
                    if trust == "ordinary":
                        raise sim.violation(f"{here} is shown as if it had come in time")
                    continue
                if not truth.is_in(phone.person.name, talk.epochs[number].roster):
                    continue
                last = talk.removed.get(phone.person.name)
                if last is not None and seq > last:
                    continue
                if not trust:
                    raise sim.violation(f"{here} is not readable: {cause} {text}")
                check_stay(sim, talk, here, sender, number, text)


def is_beyond(talk: Talk, truth: Truth, seq: int, sender: str, device: str, number: int) -> bool:
    """Whether a record between a message's epoch and its place lacks its account or device."""
    was = talk.epochs[number].roster.get(sender)
    for epoch in talk.epochs.values():
        if epoch.record.epoch <= number or epoch.seq > seq:
            continue
        now = epoch.roster.get(sender)
        if was is None or now is None or now.aik_fingerprint != was.aik_fingerprint:
            return True
        account = truth.named(sender, now.account_hash)
        if account is None or certificate(account.value, device) is None:
            return True
    return was is None


def check_stay(sim: Simulation, talk: Talk, here: str, sender: str, number: int, text: str) -> None:
    """What was said in one stay in a conversation is not heard in a later one."""
    if text.count("/") != 2:
        return
    since = int(text.split("/")[1])
    for between in range(since + 1, number + 1):
        if since and sender not in talk.epochs[between].roster:
            raise sim.violation(f"{here} was said in epoch {since}, before its sender was removed: {text}")


async def verdicts_of(phone: Phone, conversation_id: str) -> dict[int, tuple[str, str, str]]:
    """Cause, text and mark of each message that a device has; no mark where it does not show it."""

    def look(books: Books) -> dict[int, tuple[str, str, str]]:
        found = {}
        query = "SELECT seq, verdict, cause, detail, late, revoked FROM messages WHERE conversation_id = ?"
        for seq, verdict, cause, detail, late, revoked in books.connection.execute(query, (conversation_id,)):
            if verdict == "undecryptable":
                found[seq] = (cause, detail, "")
            else:
                row = inbox.row_at(books, conversation_id, seq)
                text = getattr(row.shown.body, "text", "") if row is not None and row.shown is not None else ""
                mark = "marked" if revoked else "late" if late else "ordinary"
                found[seq] = (cause, text, mark)
        return found

    return await phone.look(look)


async def check_heard(sim: Simulation, truth: Truth, said: Mapping[tuple[str, str], str]) -> None:
    """Every member with a device has spoken, and everybody heard it as it was said."""
    for talk in truth.talks.values():
        inside = [each for each in standing(sim) if truth.is_in(each.person.name, talk.head.roster)]
        for phone in inside:
            texts = {text: trust for _, text, trust in (await verdicts_of(phone, talk.id)).values()}
            for other in inside:
                text = said.get((talk.id, repr(other)))
                if text is None and await nobody_lets_go(sim, other, truth, talk):
                    continue
                if text is None or texts.get(text) != "ordinary":
                    raise sim.violation(f"{phone!r} does not hear {other!r} in {talk.id[:8]}: {text}, {texts}")


async def check_secrecy(sim: Simulation, truth: Truth) -> None:
    """No device has, or can open, the key of an epoch that its account or itself was not in."""
    await sim.backend.store.read(truth.take_grants)
    for phone in sim.phones:
        if not phone.device_id or not await has_store(sim, phone):
            continue
        user = phone.person.name
        for talk in truth.talks.values():
            held = await phone.look(lambda books, talk=talk: hashes_of_keys(books, talk.id))  # type: ignore[misc]
            own = await phone.look(private_keys)
            for number, epoch in talk.epochs.items():
                has = epoch.state.head_hash in held
                if user not in epoch.roster:
                    if has:
                        raise sim.violation(f"{phone!r} has the key of epoch {number}, without being in it")
                    continue
                account = truth.named(user, epoch.roster[user].account_hash)
                assert account is not None
                if certificate(account.value, phone.device_id) is None and was_before(
                    truth, phone, account.value.version
                ):
                    if has:
                        raise sim.violation(f"{phone!r} has the key of epoch {number}, which is after its revocation")
                    if opens(truth, epoch, talk.grants[number], user, own):
                        raise sim.violation(f"{phone!r} opens epoch {number}, which is after its revocation")


def was_before(truth: Truth, phone: Phone, version: int) -> bool:
    """Whether a device was certified in an earlier version than this one: then it was revoked since."""
    versions = truth.accounts[phone.person.name][: version - 1]
    return any(certificate(each.value, phone.device_id) is not None for each in versions)


async def has_store(sim: Simulation, phone: Phone) -> bool:
    """Whether a device's store can be looked into; a program that ended is started once more."""
    if phone.client is None:
        try:
            await sim.come_back(phone)
        except errors.TacitError as refusal:
            sim.log.append(f"{phone!r} is looked into: {refusal.code}")
    return phone.client is not None and phone.client.device._box.store is not None


def hashes_of_keys(books: Books, conversation_id: str) -> set[bytes]:
    query = "SELECT record_hash FROM epoch_keys WHERE conversation_id = ?"
    return {bytes(row[0]) for row in books.connection.execute(query, (conversation_id,))}


def private_keys(books: Books) -> list[PrivateKey]:
    return [decode(PrivateKey, each) for each in values(books.entries(), EntryKind.ENCRYPTION_KEY)]


def opens(
    truth: Truth, epoch: Epoch, grants: Sequence[tuple[str, SignedGrant]], user: str, own: Sequence[PrivateKey]
) -> bool:
    """Whether one of these private keys opens one of an epoch's grants to this user."""
    for recipient, grant in grants:
        for each in own:
            if recipient != user or WRAPS[each.algorithm] is not grant.grant.algorithm:
                continue
            key = keys.private_key_of(each.algorithm, each.public_key, Secret(each.private))
            try:
                open_grant(
                    grant,
                    record=epoch.record,
                    roster=epoch.roster,
                    user_id=user,
                    private_keys=lambda hash_named, algorithm, key=key: key,  # type: ignore[misc]
                    accounts=truth.named,
                )
            except errors.PeerError:
                continue
            return True
    return False
