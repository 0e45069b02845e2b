"""What opens something to whoever holds it does not show itself."""

from __future__ import annotations

from tacit.api import auth

SECRET = "c2VjcmV0IGNhbmFyeQ=="


def test_an_unlockers_proof_does_not_show_itself() -> None:
    wish = auth.Unlock("alice", "cHVibGlj", "an unlocker", SECRET)
    assert wish.proof == SECRET
    for shown in (repr(wish), str(wish), f"{[wish]}"):
        assert SECRET not in shown
        assert "alice" in shown
        assert "an unlocker" in shown


def test_a_sessions_token_does_not_show_itself() -> None:
    session = auth.Session(SECRET, 1000, "d" * 64)
    assert session.token == SECRET
    for shown in (repr(session), str(session), f"{[session]}"):
        assert SECRET not in shown
        assert "d" * 64 in shown
