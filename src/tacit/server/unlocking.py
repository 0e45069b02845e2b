"""Unlockers at the server: what deriving one needs, and the proof that opens a provisional session.

A user that the server does not know, and one that it knows, get answers of the same kind, and cost it the same work.
Only the number of tries bounds the guessing of a password, as deriving is the guesser's own: `wait_of` says when the
next one is looked at.
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
from tacit.server.backend import PROVISIONAL, Backend, Call, backend, body, read, write
from tacit.server.config import ProofLimits
from tacit.server.sessions import new_session
from tacit.server.store import account_events, accounts, attempts, meta, sessions
from tacit.server.store.rows import Failures, ToldProofs, Unlocker
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
USUAL_OF_256: Final = 240
"""So many of 256 made-up accounts have the default profile for certain, where it is offered; the others draw."""
SHARED: Final = 16_384
"""So many names are there under which the failures of users whom nobody knows are counted, 50 and 120 an hour each."""
NOBODY: Final = "\x01nobody "
_PBKDF2: Final = (2, 0, 600_000, 0)
USUAL_COSTS: Final = {Profile.COMPAT: _PBKDF2, Profile.STANDARD: (1, 64 * 1024, 3, 4), Profile.FIPS: _PBKDF2}
"""How a client of each profile derives a password that nobody set dearer: kdf, KiB, iterations, lanes."""


@post("/api/auth/unlocker", status_code=200)
async def unlocker(request: Call) -> api.UnlockerFound:
    """An unlocker's id and public parameters; made up for who is not known."""
    wish = await body(request, api.FindUnlocker)
    here, user_id = backend(request), request.auth.user_id
    if wish.kind not in KINDS:
        raise errors.Malformed("kind is password or recovery_key")
    every = await read(request, lambda db: unlockers_of(db, user_id, here.config.profiles))
    found = next(each for each in every if each.kind == KINDS[wish.kind])
    return api.UnlockerFound(found.unlocker_id, to_base64(found.parameters))


def unlockers_of(db: sqlite3.Connection, user_id: str, profiles: Sequence[Profile]) -> list[Unlocker]:
    """A user's unlockers; for the kinds that there are not, what is made up: its proof's hash is empty."""
    secret = Secret(meta.get(db, SECRET) or b"")
    invented = [made_up(secret, user_id, name, profiles) for name in KINDS]  # of those that there are too: for the time
    every = accounts.unlockers(db, user_id)
    return [*every, *(each for each in invented if each.kind not in {real.kind for real in every})]


def made_up(secret: Secret, user_id: str, kind: str, profiles: Sequence[Profile]) -> Unlocker:
    """What somebody's unlocker could be: the same at each question, whoever asks and with whatever key.

    Its profile is one of those of which accounts begin here (of all, where none begins), drawn once for this user: it
    stays the same when the server offers one more or less that is not it. It is nearly always clients' default, as an
    account's is: else who gets another one's cost would be known to be nobody.
    """
    salt = decoy(secret, f"{kind} salt", user_id, SALT_BYTES)
    offered = profiles or tuple(Profile)
    profile = min(offered, key=lambda each: decoy(secret, f"profile {name_of(each)}", user_id, RANK_BYTES))
    if Profile.STANDARD in offered and decoy(secret, "usual", user_id, 1)[0] < USUAL_OF_256:
        profile = Profile.STANDARD
    cost = PasswordParameters(*USUAL_COSTS[profile], salt)
    parameters = encode(cost) if kind == "password" else b""
    return Unlocker(decoy(secret, f"{kind} id", user_id, ID_BYTES).hex(), KINDS[kind], b"", parameters)


@post("/api/auth/unlock", status_code=200)
async def unlock(request: Call) -> api.Session:
    """A session of 10 minutes against an unlocker's proof: its own vault, its own account, and its next version.

    All devices of the account are told, of wrong proofs with their number at most once an hour. Raises `SignInRefused`,
    and `TooManyAttempts` where the proof is not looked at for now.
    """
    here, caller = backend(request), request.auth
    wish = await body(request, api.Unlock)
    proof = binary(wish.proof, PROOF_BYTES)
    if len(proof) != PROOF_BYTES:
        raise errors.WrongLength(f"a proof is {PROOF_BYTES} bytes")
    token, session = new_session(here, request, PROVISIONAL, here.config.registration_ms)
    user_id, device_id, now, limits = caller.user_id, caller.device_id, here.clock(), here.config.proofs

    def job(db: sqlite3.Connection) -> tuple[bool, dict[str, int], tuple[str, ...]]:
        device = accounts.device(db, user_id, device_id)
        own = device is not None and device.revoked_in is None
        counted = counted_for(db, user_id)
        check_may_try(db, counted, device_id, own, now, limits)
        every = unlockers_of(db, user_id, here.config.profiles)
        found = next((each for each in every if each.unlocker_id == wish.unlocker_id), None)
        opened = equal(found.proof_hash if found and found.proof_hash else bytes(32), proof_hash(proof))
        gone: tuple[str, ...] = ()
        if opened:
            gone = sessions.open_session(db, session)
        else:
            attempts.add(db, counted, device_id, own, now)
        if found is None:
            return False, {}, gone
        kind = NAMES.get(found.kind, "other")
        before = attempts.told(db, counted, kind) or ToldProofs(counted, kind, 0, 0, "")
        used = before._replace(untold=before.untold + (not opened), device_id=device_id)
        if opened:
            return True, tell(db, used, True, before.told_at, now), gone
        if now - before.told_at >= limits.told_each_ms:
            return False, tell(db, used, False, now, now), gone
        attempts.keep_told(db, used)
        return False, {}, gone

    opened, told, gone = await write(request, job)
    here.hub.close(user_id, sessions=gone)
    here.hub.push_account(told)
    if not opened:
        raise errors.SignInRefused
    return api.Session(token, session.expires_at, session.device_id)


def counted_for(db: sqlite3.Connection, user_id: str) -> str:
    """Under which name a user's failures are counted: their own, or one that many share whom the server does not know.

    So names that are invented are slowed as others are, and however many they are, they fill no more than so many rows.
    """
    drawn = int.from_bytes(decoy(Secret(meta.get(db, SECRET) or b""), "counted for", user_id, 8), "big")
    shared = f"{NOBODY}{drawn % SHARED}"
    return user_id if accounts.newest(db, user_id) is not None else shared


def check_may_try(
    db: sqlite3.Connection, user_id: str, device_id: str, own: bool, now: int, limits: ProofLimits
) -> None:
    """Refuse a proof before it is looked at, so that nothing is learned of it: raises `TooManyAttempts`."""
    since = now - limits.within_ms
    key = attempts.of_key(db, user_id, device_id, since)
    strangers = attempts.of_strangers(db, user_id, since)
    wait = wait_of(key, Failures(0, 0) if own else strangers, now, limits)
    if wait > 0:
        seconds = -(-wait // 1000)
        raise errors.TooManyAttempts(f"The next one is looked at in {seconds} s.", retryAfter=seconds)


def wait_of(key: Failures, strangers: Failures, now: int, limits: ProofLimits) -> int:
    """Milliseconds until the next proof is looked at, 0 or less for now.

    `key` has failed with the key that asks, `strangers` with all keys that are not of the account's devices.
    """
    until = now
    if key.number >= limits.key_failures:
        doubled = limits.key_wait_ms << min(key.number - limits.key_failures, 32)
        until = max(until, key.last_at + min(doubled, limits.key_wait_most_ms))
    if strangers.number >= limits.account_failures:
        until = max(until, strangers.last_at + limits.account_wait_ms)
    return until - now


def tell(db: sqlite3.Connection, used: ToldProofs, opened: bool, told_at: int, now: int) -> dict[str, int]:
    """Tell an account's devices of a use, and how many failed since that was last told; the event's number.

    For nobody's account the same is done, and undone.
    """
    attempts.keep_told(db, used._replace(told_at=told_at, untold=0))
    body = {"kind": used.kind, "deviceId": used.device_id, "succeeded": opened, "failed": used.untold}
    event = account_events.append(db, [used.user_id], "unlocker", body, now)
    if accounts.newest(db, used.user_id) is not None:
        return event
    account_events.take_back(db, used.user_id, event[used.user_id])
    return {}


async def tell_overdue(here: Backend) -> None:
    """Tell of wrong proofs that came within an hour after the last telling, and that none followed."""
    now = here.clock()

    def job(db: sqlite3.Connection) -> tuple[int, dict[str, int]]:
        told: dict[str, int] = {}
        waiting = attempts.overdue(db, now - here.config.proofs.told_each_ms)
        for each in waiting:
            told |= tell(db, each, False, now, now)
        return len(waiting), told

    count = 1
    while count:
        count, told = await here.store.write(job)
        here.hub.push_account(told)
