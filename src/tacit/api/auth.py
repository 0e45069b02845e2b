"""The server itself, registration, sign-in and sessions."""

from __future__ import annotations

from tacit.api.base import Base64, Body, Hex


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


class Session(Body, frozen=True):
    """An open session: the bearer token, when it ends (Unix milliseconds), and the device id of the request key."""

    token: str
    expires_at: int
    device_id: Hex


class Done(Body, frozen=True):
    """A write that has nothing more to say."""

    success: bool
