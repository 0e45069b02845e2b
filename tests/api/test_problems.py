"""Every error survives the way through a problem document."""

from __future__ import annotations

import json

import pytest

from tacit import errors
from tacit.api.problems import from_problem, read_problem, to_problem


@pytest.mark.parametrize("code", sorted(errors.concrete()))
def test_every_error_comes_back_as_itself(code: str) -> None:
    cls = errors.concrete()[code]
    document = to_problem(cls("why", epoch=3, accounts=["bob"]))
    assert document["type"] == f"tacit:{code}"
    assert document["status"] == cls.status
    assert document["title"] and document["remedy"]
    back = read_problem(json.dumps(document))
    assert type(back) is cls
    assert (back.detail, back.facts) == ("why", {"epoch": 3, "accounts": ["bob"]})


def test_a_fact_does_not_replace_a_member_of_its_own() -> None:
    assert to_problem(errors.Malformed("x", status=200))["status"] == 400


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"code":1}', '{"code":"nobody_knows"}', "<html>"])
def test_what_is_no_problem_document_is_an_unexpected_answer(body: str) -> None:
    assert isinstance(read_problem(body), errors.UnexpectedAnswer)


def test_a_detail_of_another_type_is_left_out() -> None:
    assert from_problem({"code": "malformed", "detail": 3}).detail == ""
