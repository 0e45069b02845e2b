"""A server's pin on the command line: given once, kept in the folder, told apart from another key."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.nursery import CHEAP, Nursery
from cli.test_commands import Done, refused
from server.test_serve import command, running, url_in
from tacit.cli.owncertificate import make
from tacit.cli.stage import Person, Stage
from tacit.crypto.x509 import read_der, read_pem

OTHER_PIN = "sha256/" + "A" * 43 + "="


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery(CHEAP) as nursery:
        yield nursery


def say(stage: Stage, person: Person, *arguments: str) -> Done:
    with stage.started(person, *arguments) as process:
        out, err = process.communicate(timeout=60)
    assert b"Traceback" not in err
    return Done(process.returncode, out.decode(), err.decode())


def test_a_pin_is_given_once_and_another_key_is_refused_until_it_is_known(tmp_path: Path, nursery: Nursery) -> None:
    stage, database = Stage(tmp_path, nursery.command), tmp_path / "chat.db"
    alice, eve = stage.person("alice"), stage.person("eve")
    done = subprocess.run(
        command(database, "--tls", "self-signed", "--print-pin"),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    pin = done.stdout.strip()
    with running(database, "--tls", "self-signed") as (_, line):
        url = url_in(line)
        assert "self-signed certificate" in refused(
            say(stage, eve, "register", "eve", "--server", url), "certificate_refused"
        )
        bad = say(stage, eve, "register", "eve", "--server", url, "--pin", "sha256/abc")
        assert "a pin is sha256/" in refused(bad, "invalid_argument")
        assert not eve.home.joinpath("profile.json").exists()
        assert say(stage, alice, "register", "alice", "--server", url, "--pin", OTHER_PIN, "--pin", pin).code == 0
        assert json.loads((alice.home / "profile.json").read_text())["pins"] == [OTHER_PIN, pin]
        assert say(stage, alice, "create", "team").code == 0  # the folder knows the pin

    (tmp_path / "chat.tls.pem").unlink()
    port = url.rpartition(":")[2]
    make(tmp_path / "chat.tls.pem", "127.0.0.1")
    new_pin = read_pem((tmp_path / "chat.tls.pem").read_bytes()).pin
    with running(database, "--tls", "self-signed", "--port", port):
        assert read_der(ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", int(port))))).pin == new_pin
        said = refused(say(stage, alice, "create", "another"), "pin_mismatch")
        assert f"127.0.0.1:{port}" in said
        assert say(stage, alice, "login", "alice", "--server", url, "--pin", new_pin).code == 0
        assert say(stage, alice, "send", "team", "hello").code == 0
