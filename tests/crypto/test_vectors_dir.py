from __future__ import annotations

from pathlib import Path

import pytest

import vectors_dir


def test_the_environment_says_where_the_vectors_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here.json").write_text("[1]", encoding="utf-8")
    monkeypatch.setenv("TACIT_VECTORS", str(tmp_path))
    assert vectors_dir.vectors("here.json") == tmp_path / "here.json"
    assert vectors_dir.load("here.json") == [1]


def test_missing_vectors_are_skipped_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TACIT_VECTORS", str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match=r"wycheproof/ed25519_test\.json"):
        vectors_dir.vectors("wycheproof", "ed25519_test.json")


def test_without_the_environment_they_are_beside_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shared" / "vectors").mkdir(parents=True)
    monkeypatch.delenv("TACIT_VECTORS", raising=False)
    monkeypatch.setattr(vectors_dir, "ROOT", tmp_path / "main")
    assert vectors_dir.vectors() == tmp_path / "shared" / "vectors"
