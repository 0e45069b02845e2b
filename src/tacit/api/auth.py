"""The server itself, registration, sign-in and sessions."""

from __future__ import annotations

from typing import Annotated

import msgspec

from tacit.api.base import Base64, Body, Hex

UnlockerName = Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["password", "recovery_key"]})]
"""A kind of unlocker; any other is refused as `malformed`."""


class ServerInfo(Body, frozen=True):
    """`GET /api/server`: `time` in Unix milliseconds, `limits` by name in bytes or counts."""

    name: str
    authority: str
    version: str
    incarnation: str
    time: int
    limits: dict[str, int]
    profiles: list[str]


class OpenSession(Body, frozen=True):
    """`POST /api/auth/register` and `POST /api/auth/session`: the request is signed with the key that it carries."""

    user_id: str
    request_key: Base64


class FindUnlocker(Body, frozen=True):
    """`POST /api/auth/unlocker`: what is needed to derive an unlocker's secret; `kind` is password or recovery_key."""

    user_id: str
    request_key: Base64
    kind: UnlockerName


class UnlockerFound(Body, frozen=True):
    """An unlocker's id and public parameters (struct PasswordParameters; empty for a recovery key).

    Where there is no such account or unlocker they are made up, the same at each question.
    """

    unlocker_id: str
    parameters: Base64


class Unlock(Body, frozen=True):
    """`POST /api/auth/unlock`: an unlocker's proof (32 bytes) opens a provisional session for this request key."""

    user_id: str
    request_key: Base64
    unlocker_id: str
    proof: Base64

    def __repr__(self) -> str:
        return f"Unlock({self.user_id!r}, {self.unlocker_id!r})"


class Session(Body, frozen=True):
    """An open session: the bearer token, when it ends (Unix milliseconds), and the device id of the request key."""

    token: str
    expires_at: int
    device_id: Hex

    def __repr__(self) -> str:
        return f"Session({self.device_id!r}, until {self.expires_at})"


class Done(Body, frozen=True):
    """A write that has nothing more to say."""

    success: bool
