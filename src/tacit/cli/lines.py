"""Conversations and messages as they are printed, for a person and for a script."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby
from typing import Any

from tacit.cli.printing import one_line
from tacit.client import Conversation, Gaps, Message
from tacit.client.accountview import AccountView, DeviceView

MARKS = {"pinned": "·", "verified": "✓", "late": "late", "marked": "!", "undecryptable": "✗"}
LEGEND = "· key pinned on first use   late: came after a newer key   ! device since revoked   ✗ cannot be read"
MANY = 2
"""From how many on messages that cannot be read for the same cause share a line."""


def protection(conversation: Conversation) -> str:
    """How a conversation is protected, in one line."""
    if not conversation.epoch:
        return "no record of it was accepted; nothing is sent in it"
    if not conversation.encrypted:
        return "NOT encrypted: the server can read it"
    return (
        f"end-to-end encrypted, protocol {conversation.protocol}, profile {conversation.profile}, "
        f"epoch {conversation.epoch}"
    )


def who(conversation: Conversation) -> str:
    """The members, admins marked, and those without a device."""
    return ", ".join(
        one_line(member.user_id)
        + (" (admin)" if member.role == "admin" else "")
        + ("" if member.has_device else " (without a device: cannot read)")
        for member in conversation.members()
    )


def summary(conversation: Conversation) -> str:
    """A conversation for a person: name, protection, members, and what keeps messages from going out."""
    lines = [one_line(conversation.name), f"  {protection(conversation)}", f"  members: {who(conversation)}"]
    if conversation.blocked:
        lines.append(f"  sending is blocked: {conversation.blocked}")
    if conversation.unsent:
        lines.append(f"  {len(conversation.unsent)} of your messages did not go out yet")
    return "\n".join(lines)


def of_gaps(gaps: Gaps) -> list[str]:
    """What others say exists and was not received, and what stands in another order than it was written."""
    lines = []
    missing = sum(map(len, gaps.counters.values()))
    for (user, _, _), counters in gaps.counters.items():
        lines.append(f"{len(counters)} messages of {one_line(user)} are missing: lost, withheld, or still on their way")
    if gaps.hashes and not missing:
        lines.append(f"{len(gaps.hashes)} messages that others saw are missing: lost, withheld, or still on their way")
    if gaps.misplaced:
        lines.append(f"{len(gaps.misplaced)} messages stand behind what was written after them")
    return lines


def describe(conversation: Conversation) -> dict[str, Any]:
    """A conversation for a script."""
    return {
        "conversationId": conversation.id,
        "name": conversation.name,
        "encrypted": conversation.encrypted,
        "protocol": conversation.protocol,
        "profile": conversation.profile,
        "epoch": conversation.epoch,
        "members": [
            {"userId": member.user_id, "role": member.role, "hasDevice": member.has_device}
            for member in conversation.members()
        ],
        "blocked": conversation.blocked,
        "unsent": len(conversation.unsent),
    }


def fields_of(message: Message) -> dict[str, Any]:
    """A message for a script."""
    return {
        "seq": message.seq,
        "sender": message.sender,
        "deviceId": message.device_id,
        "epoch": message.epoch,
        "kind": message.kind,
        "text": message.text,
        "trust": message.trust,
        "sentAt": message.sent_at,
        "clientMessageId": message.client_message_id,
        "target": message.target,
        "edited": message.edited,
        "deleted": message.deleted,
        "cause": message.cause,
        "remedy": message.remedy,
    }


def line_of(message: Message) -> str:
    """A message for a person: time, mark, sender, text; what cannot be read says why and what to do."""
    when = moment(message.sent_at, "%H:%M", "--:--") if message.sent_at else "--:--"
    mark = MARKS.get(message.trust, message.trust)
    sender = one_line(message.sender) or "somebody"
    if message.cause:
        return f"{when} {mark} {sender}: [cannot be read: {message.cause}. {message.remedy}]"
    return f"{when} {mark} {sender}: {said(message)}"


def said(message: Message) -> str:
    """What a message says; further lines are indented, so that none can pass for a message of its own."""
    if message.deleted or message.kind == "delete":
        return "[deleted]" if message.deleted else "[deletes a message]"
    if message.kind == "unknown":
        return "[a kind of message that this program does not know]"
    text = message.text.replace("\r\n", "\n").replace("\n", "\n        ")
    return text + (" (edited)" if message.edited or message.kind == "edit" else "")


def lines_of(messages: Iterable[Message]) -> Iterator[str]:
    """Messages for a person; several in a row that cannot be read for the same cause are one line."""
    first = True
    for cause, run in groupby(messages, key=lambda message: message.cause):
        found = list(run)
        if cause == "no_grant" and first:
            yield closed(len(found))
        elif cause and len(found) >= MANY:
            yield f"--:-- ✗ {len(found)} messages cannot be read: {cause}. {found[0].remedy}"
        else:
            yield from map(line_of, found)
        first = False


def closed(count: int) -> str:
    """What is said of the messages before the first one whose key one has."""
    if count == 1:
        return "--:-- ✗ 1 earlier message is closed to you: no_grant. What was written before you joined stays so."
    return f"--:-- ✗ {count} earlier messages are closed to you: no_grant. What was written before you joined stays so."


# --- the account -------------------------------------------------------------------------

ID_DIGITS = 16
"""How much of a device's id is shown: enough to name it by."""


def moment(at: int, shown: str = "%Y-%m-%d %H:%M", unknown: str = "an unknown time") -> str:
    """A time in Unix milliseconds, as the person's clock has it; `unknown` where no calendar has it.

    Others wrote most of these numbers: none of them may end the command that shows it.
    """
    try:
        return datetime.fromtimestamp(at / 1000).strftime(shown)
    except (ValueError, OverflowError, OSError):
        return unknown


def device_line(device: DeviceView) -> str:
    """A device: the beginning of its id, its name, since when it is there or out."""
    name = one_line(device.name) or "(without a name)"
    this = ", this one" if device.this else ""
    since = f"revoked in version {device.revoked_in}" if device.revoked_in else f"since version {device.certified_in}"
    return f"{device.device_id[:ID_DIGITS]}  {name}{this}, {since}"


def called(device: DeviceView, state: str = "") -> str:
    """A device's name with the beginning of its id, as the name may be another device's word; and what it is."""
    digits = device.device_id[:ID_DIGITS]
    inside = f"{digits}, {state}" if state else digits
    return f"{one_line(device.name)} ({inside})" if device.name else f"{digits} ({state})" if state else digits


def writer_of(view: AccountView) -> str:
    """The device that wrote the vault, by name where it has one."""
    found = [each for each in (*view.devices, *view.revoked) if each.device_id == view.vault_written_by]
    return called(found[0]) if found and found[0].name else f"device {view.vault_written_by[:ID_DIGITS]}"


def account_text(view: AccountView) -> str:
    """The account for a person: what they compare with what they know before anything is signed."""
    lines = [
        f"{one_line(view.user_id)}: version {view.version}, profile {view.profile}",
        f"  vault written {moment(view.vault_written_at)} by {writer_of(view)}",
    ]
    if view.vault_is_old:
        lines.append(
            "  WARNING: more than 48 hours ago or at a time to come, and your devices rewrite it daily. Unless none\n"
            "  was used since, the server may be showing an old one: compare with `tacit devices` on another device\n"
            "  before you say yes."
        )
    if not view.vault_is_readable:
        lines.append(
            "  WARNING: what that device wrote is of no use to anybody, which no program of this kind does by itself.\n"
            "  Somebody else may have the device: revoke it with `tacit devices revoke`; your other devices mend it."
        )
    lines.append("  devices:")
    lines += [f"    {device_line(each)}" for each in view.devices] or ["    none"]
    if view.revoked:
        lines.append("  revoked:")
        lines += [f"    {device_line(each)}" for each in view.revoked]
    return "\n".join(lines)


def describe_device(device: DeviceView) -> dict[str, Any]:
    """A device for a script."""
    return {
        "deviceId": device.device_id,
        "name": device.name,
        "this": device.this,
        "certifiedIn": device.certified_in,
        "revokedIn": device.revoked_in,
    }


def describe_account(view: AccountView) -> dict[str, Any]:
    """The account for a script."""
    return {
        "userId": view.user_id,
        "version": view.version,
        "profile": view.profile,
        "vaultWrittenAt": view.vault_written_at,
        "vaultWrittenBy": view.vault_written_by,
        "vaultIsOld": view.vault_is_old,
        "vaultIsReadable": view.vault_is_readable,
        "devices": [describe_device(each) for each in view.devices],
        "revoked": [describe_device(each) for each in view.revoked],
    }
