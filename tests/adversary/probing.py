"""Requests that an attacker makes by hand: signed by a key of the attacker's, in whatever name."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx2

from adversary.craft import me
from adversary.stage import Stage
from tacit.client import Client
from tacit.client.tls import NO_TLS
from tacit.crypto.secret import Secret
from tacit.crypto.sign import Ed25519Key
from tacit.identity.keys import SigningKey
from tacit.signed.account import device_id_of
from tacit.signed.request import sign_request
from tacit.wire.text import from_json, to_base64, to_json


class Answer(NamedTuple):
    """What can be seen of an answer: its status, its whole body, and how long that is."""

    status: int
    body: Any
    size: int

    @property
    def code(self) -> str:
        """The problem's code, or the empty text."""
        return "" if self.status == 200 else str(self.body["code"])


class Prober:
    """Who asks: with a session, or with a key alone, which anybody makes."""

    def __init__(self, stage: Stage, key: SigningKey | Ed25519Key, device_id: str = "", token: str = "") -> None:
        self._config, self._clock = stage.backend.config, stage.world.clock
        self.key, self.device_id, self.token = key, device_id, token
        self._http = httpx2.AsyncClient(trust_env=False, verify=NO_TLS)

    @classmethod
    async def of(cls, stage: Stage, client: Client) -> Prober:
        """Somebody's own session and key."""
        api = client.device.api
        return cls(stage, (await me(client)).request_key, api.device_id, api.token)

    @classmethod
    def stranger(cls, stage: Stage) -> Prober:
        """A key that nobody knows."""
        return cls(stage, Ed25519Key.from_seed(Secret(os.urandom(32))))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    def headers(self, method: str, target: str, content: bytes, user: str = "") -> dict[str, str]:
        """What signs a request."""
        path, _, query = target.partition("?")
        now = self._clock() // 1000
        signed = sign_request(
            method,
            self._config.authority,
            path,
            query,
            content,
            key_id=self.device_id or device_id_of(user, self.key.public),
            created=now,
            expires=now + 50,
            nonce=os.urandom(16).hex(),
            signer=self.key.sign,
        )
        return signed | ({"Authorization": f"Bearer {self.token}"} if self.token else {})

    async def ask(self, method: str, target: str, body: Any = None, user: str = "") -> Answer:
        """One request."""
        content = b"" if body is None else to_json(body).encode()
        url = f"http://{self._config.authority}{target}"
        headers = self.headers(method, target, content, user)
        answer = await self._http.request(method, url, content=content, headers=headers)
        return Answer(answer.status_code, from_json(answer.content), len(answer.content))

    async def wish(self, path: str, user: str, **more: Any) -> Answer:
        """A request that carries the key which signs it."""
        body = {"userId": user, "requestKey": to_base64(self.key.public), **more}
        return await self.ask("POST", path, body, user)
