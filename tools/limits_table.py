"""Writes docs/limits.md from the server's limits; with `--check` says whether it is fresh."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "src"))

from tacit import errors  # noqa: E402  (the tree of this checkout, not an installed one)
from tacit.server import accepting, config, connection, connections, gate, push, socket, talk  # noqa: E402
from tacit.server.settings import BY_NAME  # noqa: E402
from tacit.wire import limits  # noqa: E402

PAGE = ROOT / "docs" / "limits.md"
HEAD = """\
# Limits

Every limit of the server, with what becomes of whoever is above it: a problem with this [code](errors.md), or what is
said instead. Limits with a setting are an operator's to change ([Running the server](operation.md)); sizes are the
protocol's, and those inside of a struct stand in [structs](structs.md). This page is made from the code by
`tools/limits_table.py`.

A client that is answered 408, 429 or 503 waits as long as `Retry-After` says, at most a minute, and asks again: four
times in all, where that is safe. What it has to send is kept and goes out later.

| limit | value | setting | answer |
|---|---|---|---|
"""

MANY: Final = config.ConnectionLimits()
WAITING: Final = config.HandshakeLimits()
PROOFS: Final = config.ProofLimits()
RATES: Final = config.RateLimits()


class Row(NamedTuple):
    """One limit; `answer` is a problem code or what is said instead, `test` the test that provokes it."""

    limit: str
    value: str
    setting: str
    answer: str
    test: str


def sized(count: int) -> str:
    """Bytes as a person writes them."""
    for unit, name in ((limits.MIB, "MiB"), (limits.KIB, "KiB")):
        if count >= unit and count % unit == 0:
            return f"{count // unit} {name}"
    return f"{count:,} bytes"


def of(seconds: float) -> str:
    """Seconds as a person writes them."""
    return f"{seconds:g} s"


_CONNECTION = "server/test_connection.py::test_"
_SOCKET = "server/test_socket.py::test_"
_SIZES = "server/test_sizes.py::test_"
ROWS: Final = (
    Row(
        "connections",
        f"file descriptors less {connections.RESERVED}",
        "connections",
        "too_many_connections",
        "server/test_connections.py::test_file_descriptors_do_not_run_out",
    ),
    Row(
        "connections of an address, proxies excepted",
        f"{MANY.of_address:,}",
        "connections_per_address",
        "too_many_connections",
        f"{_CONNECTION}an_address_has_so_many_connections_and_all_have_so_many",
    ),
    Row(
        "a request's line and headers",
        sized(MANY.header_bytes),
        "",
        "header_too_large",
        f"{_CONNECTION}a_head_that_is_too_large_is_refused_before_its_end",
    ),
    Row(
        "headers of a request",
        f"{MANY.headers:,}",
        "",
        "header_too_large",
        f"{_CONNECTION}a_head_that_is_too_large_is_refused_before_its_end",
    ),
    Row(
        "requests of a connection that wait for an earlier answer",
        f"{MANY.pipelined:,}",
        "",
        "hung up on",
        f"{_CONNECTION}few_requests_wait_for_the_answer_to_an_earlier_one",
    ),
    Row(
        "time for a TLS handshake",
        of(accepting.HANDSHAKE_SECONDS),
        "",
        "hung up on",
        "server/test_tls.py::test_a_handshake_that_is_not_finished_ends",
    ),
    Row(
        "time for a request's line and headers",
        of(MANY.header_seconds),
        "",
        "request_timeout",
        f"{_CONNECTION}the_head_is_due_from_the_connections_beginning",
    ),
    Row(
        "time for a request's body",
        of(MANY.body_seconds),
        "",
        "request_timeout",
        f"{_CONNECTION}the_body_is_due_from_the_heads_end",
    ),
    Row(
        "time between two requests",
        of(MANY.idle_seconds),
        "",
        "closed",
        f"{_CONNECTION}an_idle_connection_is_closed_and_one_that_waits_for_its_answer_is_not",
    ),
    Row(
        "time in which a client reads nothing of what waits for it",
        f"{of(MANY.stalled_seconds)}, and one more for each {sized(connection.SLOWEST)}",
        "",
        "hung up on",
        f"{_CONNECTION}a_client_that_does_not_read_its_answer_is_hung_up_on",
    ),
    Row(
        "requests and messages of a device in a minute, each of a batch by itself",
        f"{RATES.device:,}",
        "requests_per_device",
        "too_many_requests",
        "server/test_rates.py::test_a_device_waits_for_itself_and_for_nobody_else",
    ),
    Row(
        "requests of an address in a minute",
        f"{RATES.address:,}",
        "requests_per_address",
        "too_many_requests",
        "server/test_rates.py::test_what_is_not_verified_counts_for_its_address",
    ),
    Row(
        "wrong passwords and recovery keys, see [endpoints](endpoints.md)",
        f"{PROOFS.key_failures} of a key, {PROOFS.account_failures} of strangers, then slowed",
        "",
        "too_many_attempts",
        "server/test_unlocking.py::test_strangers_are_slowed_together_and_the_accounts_devices_are_not",
    ),
    Row(
        "WebSockets that have not said whose they are",
        f"{WAITING.most:,}",
        "handshakes",
        "too_many_handshakes",
        "server/test_handshakes.py::test_so_many_wait_in_all_and_of_an_address",
    ),
    Row(
        "those of an address",
        f"{WAITING.of_address:,}",
        "handshakes_per_address",
        "too_many_handshakes",
        "server/test_handshakes.py::test_who_said_whose_it_is_or_left_waits_no_more",
    ),
    Row(
        "pages that open WebSockets",
        "the server's own",
        "origins",
        "origin_refused",
        "server/test_handshakes.py::test_a_foreign_page_is_refused_before_the_upgrade",
    ),
    Row(
        "time for a WebSocket's hello",
        of(talk.HELLO_SECONDS),
        "",
        "closed",
        f"{_SOCKET}who_says_nothing_is_hung_up_on",
    ),
    Row(
        "time between two pings of a WebSocket, and for the answer to one",
        f"{of(MANY.ping_seconds)}, {of(MANY.pong_seconds)}",
        "",
        "hung up on",
        "server/test_connections.py::test_a_half_open_websocket_ends_by_its_pings",
    ),
    Row(
        "pings and pongs from a WebSocket between two pings of the server",
        f"{socket.CONTROLS}",
        "",
        "hung up on",
        "server/test_connections.py::test_a_flood_of_pings_is_hung_up_on",
    ),
    Row(
        "a WebSocket's message",
        sized(limits.FRAME_BYTES),
        "",
        "closed with 1009",
        f"{_SOCKET}a_frame_has_a_limit",
    ),
    Row(
        "frames of one message",
        f"{socket.FRAGMENTS:,}",
        "",
        "hung up on",
        "server/test_connections.py::test_a_message_in_endless_empty_frames_is_hung_up_on",
    ),
    Row(
        "sends of a WebSocket that are being written",
        f"{talk.UNDER_WAY}",
        "",
        "not read from meanwhile",
        f"{_SOCKET}many_sends_at_once_are_answered_in_their_order",
    ),
    Row(
        "what waits for a WebSocket's reader",
        sized(push.BACKLOG_BYTES),
        "",
        "pushes are left out, and it is told that it is behind",
        f"{_SOCKET}a_slow_reader_is_told_once_that_it_is_behind_and_nothing_is_kept_for_it",
    ),
    Row(
        "WebSockets of a device",
        f"{push.OF_A_DEVICE}",
        "",
        "the oldest is closed with 1012",
        f"{_SOCKET}one_device_has_so_many_lines",
    ),
    Row(
        "WebSockets of an account",
        f"{push.OF_AN_ACCOUNT}",
        "",
        "the oldest is closed with 1012",
        f"{_SOCKET}one_account_has_so_many_lines",
    ),
    Row(
        "a request's body",
        sized(limits.BODY_BYTES),
        "",
        "too_large",
        "server/test_gate.py::test_a_body_has_a_limit",
    ),
    Row(
        "the body of a request that opens a session",
        sized(gate.OPENING_BYTES),
        "",
        "too_large",
        "server/test_gate.py::test_what_a_stranger_may_send_is_short",
    ),
    Row(
        "an account's or conversation's record",
        sized(limits.RECORD_BYTES),
        "",
        "too_large",
        f"{_SIZES}an_account_is_posted_in_sizes",
    ),
    Row(
        "a vault, its inner and outer part together",
        sized(limits.VAULT_BYTES),
        "",
        "too_large",
        f"{_SIZES}an_account_is_posted_in_sizes",
    ),
    Row(
        "an outer part with what else is in the vault",
        sized(limits.VAULT_BYTES),
        "",
        "too_large",
        f"{_SIZES}so_is_an_outer_part",
    ),
    Row(
        "grants in one request",
        f"{limits.GRANTS:,}",
        "",
        "too_large",
        "server/bad_input.py::too many grants",
    ),
    Row("a message's ciphertext", sized(limits.CIPHERTEXT_BYTES), "", "too_large", "server/bad_input.py::too long a"),
    Row("messages of a batch", f"{limits.MESSAGES:,}", "", "too_large", "server/bad_input.py::too many"),
    Row("messages of a page", f"{limits.PAGE:,}", "", "malformed", f"{_SIZES}a_page_has_a_size"),
    Row("accounts asked for at once", f"{limits.USERS:,}", "", "too_large", "server/test_bad_input.py::limits.USERS"),
    Row(
        "conversations of one sync",
        f"{limits.CONVERSATIONS:,}",
        "",
        "too_large",
        "server/bad_input.py::too many conversations",
    ),
    Row(
        "values of a request's JSON, and their nesting",
        f"{limits.REQUEST_VALUES:,}, {limits.JSON_DEPTH}",
        "",
        "malformed_json",
        "wire/test_json.py::JSON_DEPTH",
    ),
)


def page() -> str:
    """The whole page."""
    return HEAD + "".join(
        f"| {row.limit} | {row.value} | {f'`{row.setting}`' if row.setting else ''} | {_answer(row.answer)} |\n"
        for row in ROWS
    )


def _answer(answer: str) -> str:
    known = errors.concrete()
    return f"{known[answer].status} `{answer}`" if answer in known else answer


def faults() -> list[str]:
    """What is wrong with the table or the page, one line each."""
    found = [f"{row.limit}: there is no setting {row.setting}" for row in ROWS if row.setting not in {"", *BY_NAME}]
    for row in ROWS:
        file, _, name = row.test.partition("::")
        path = ROOT / "tests" / file
        if not path.exists() or name not in path.read_text(encoding="utf-8"):
            found.append(f"{row.limit}: {row.test} is not there")
    limiting = {name for name, each in BY_NAME.items() if "no limit" in each.help or name in ("connections", "origins")}
    found += [
        f"{name}: a setting that limits, and is not in the table" for name in limiting - {r.setting for r in ROWS}
    ]
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        found.append("docs/limits.md is not what the code says: .venv/bin/python tools/limits_table.py")
    return found


def main() -> int:
    """Write the page, or check it."""
    if "--check" in sys.argv[1:]:
        found = faults()
        print("\n".join(found) or "docs/limits.md is fresh")
        return 1 if found else 0
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
