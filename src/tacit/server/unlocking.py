"""Unlockers at the server: what deriving one needs, and the proof that opens a provisional session.

A user that the server does not know, and one that it knows, get answers of the same kind.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from litestar import post

from tacit import errors
from tacit.api import auth as api
from tacit.api.base import binary
from tacit.crypto.digest import equal
from tacit.crypto.secret import Secret
from tacit.crypto.server import decoy
from tacit.server.backend import PROVISIONAL, Call, backend, body, read, write
from tacit.server.sessions import new_session
from tacit.server.store import account_events, accounts, meta, sessions
from tacit.server.store.rows import Unlocker
from tacit.signed.profiles import Profile, name_of
from tacit.signed.vault import PasswordParameters, UnlockerKind, proof_hash
from tacit.wire.codec import encode
from tacit.wire.text import to_base64

KINDS: Final = {"password": UnlockerKind.PASSWORD, "recovery_key": UnlockerKind.RECOVERY_KEY}
NAMES: Final = {kind.value: name for name, kind in KINDS.items()}
PROOF_BYTES: Final = 32
SECRET: Final = "decoys"
"""Under this name the database keeps what decoys are derived from: 32 bytes that open nothing."""
SALT_BYTES, ID_BYTES, RANK_BYTES = 16, 16, 16
_PBKDF2: Final = (2, 0, 600_000, 0)
USUAL_COSTS: Final = {Profile.COMPAT: _PBKDF2, Profile.STANDARD: (1, 64 * 1024, 3, 4), Profile.FIPS: _PBKDF2}
"""How a client of each profile derives a password that nobody set dearer: kdf, KiB, iterations, lanes."""


@post("/api/auth/unlocker", status_code=200)
async def unlocker(request: Call) -> api.UnlockerFound:
    """An unlocker's id and public parameters; made up for who is not known."""
    wish = await body(request, api.FindUnlocker)
    here, user_id = backend(request), request.auth.user_id
    kind = KINDS.get(wish.kind)
    if kind is None:
        raise errors.Malformed("kind is password or recovery_key")

    def find(db: sqlite3.Connection) -> tuple[Unlocker | None, bytes]:
        every = accounts.unlockers(db, user_id)
        return next((each for each in every if each.kind == kind), None), meta.get(db, SECRET) or b""

    found, secret = await read(request, find)
    if found is None:
        found = made_up(Secret(secret), user_id, wish.kind, here.config.profiles)
    return api.UnlockerFound(found.unlocker_id, to_base64(found.parameters))


def made_up(secret: Secret, user_id: str, kind: str, profiles: Sequence[Profile]) -> Unlocker:
    """What somebody's unlocker could be: the same at each question, whoever asks and with whatever key.

    Its profile is one of those of which accounts begin here (of all, where none begins), drawn once for this user: it
    stays the same when the server offers one more or less that is not it.
    """
    salt = decoy(secret, f"{kind} salt", user_id, SALT_BYTES)
    profile = min(profiles or Profile, key=lambda each: decoy(secret, f"profile {name_of(each)}", user_id, RANK_BYTES))
    cost = PasswordParameters(*USUAL_COSTS[profile], salt)
    parameters = encode(cost) if kind == "password" else b""
    return Unlocker(decoy(secret, f"{kind} id", user_id, ID_BYTES).hex(), KINDS[kind], b"", parameters)


@post("/api/auth/unlock", status_code=200)
async def unlock(request: Call) -> api.Session:
    """A session of 10 minutes against an unlocker's proof: its own vault, its own account, and its next version.

    All devices of the account are told, also where the proof is wrong. Raises `SignInRefused`.
    """
    here, caller = backend(request), request.auth
    wish = await body(request, api.Unlock)
    proof = binary(wish.proof, PROOF_BYTES)
    if len(proof) != PROOF_BYTES:
        raise errors.WrongLength(f"a proof is {PROOF_BYTES} bytes")
    token, session = new_session(here, request, PROVISIONAL, here.config.registration_ms)

    def job(db: sqlite3.Connection) -> tuple[bool, int]:
        found = next(
            (each for each in accounts.unlockers(db, caller.user_id) if each.unlocker_id == wish.unlocker_id), None
        )
        opened = equal(found.proof_hash if found is not None else bytes(32), proof_hash(proof))
        if found is None:
            return False, 0
        told = {"kind": NAMES.get(found.kind, "other"), "deviceId": caller.device_id, "succeeded": opened}
        event = account_events.append(db, [caller.user_id], "unlocker", told, here.clock())
        if opened:
            sessions.open_session(db, session)
        return opened, event[caller.user_id]

    opened, event = await write(request, job)
    if event:
        here.hub.push_account({caller.user_id: event})
    if not opened:
        raise errors.SignInRefused
    return api.Session(token, session.expires_at, session.device_id)
