"""What is printed: for a script an object a line, for a person text that cannot steer the terminal."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import click

from tacit import errors

JOINERS = "\u200c\u200d"
"""They shape letters and emoji, and have no effect of their own."""
TAB = "    "


def printable(text: str) -> str:
    """Text without the control characters that could steer a terminal; it may still have several lines."""
    return "".join(_shown(character) for character in text)


def one_line(text: str) -> str:
    """The same without line breaks: for names, which stand in the middle of a line."""
    return printable(text.replace("\n", "�"))


def _shown(character: str) -> str:
    if character == "\t":
        return TAB
    if character.isprintable() or character == "\n" or character in JOINERS or unicodedata.category(character) == "Zs":
        return character
    return "�"


def show(as_json: bool, fields: dict[str, Any], text: str) -> None:
    """Print one result."""
    click.echo(json.dumps(fields) if as_json else printable(text))


def warn(text: str) -> None:
    """Print something beside the results, on standard error."""
    click.echo(printable(text), err=True)


def explain(error: errors.TacitError) -> str:
    """An error as a person reads it: what happened, what to do, the code to look up."""
    remedy = f"\n  what to do: {error.remedy}" if error.remedy else ""
    return f"error: {error}{remedy}\n  code: {error.code or 'error'}"
