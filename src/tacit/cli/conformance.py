"""`tacit conformance`: the engine is held against public vector files, also against ones that others made."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from tacit import errors
from tacit.cli.printing import printable
from tacit.mls.conformance import failure, format_of


@click.group()
def conformance() -> None:
    """Check this implementation against public test vectors."""


@conformance.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.pass_context
def mls(context: click.Context, paths: tuple[Path, ...]) -> None:
    """Run vector files of mls-implementations; a folder stands for the .json files in it.

    The format is told by a file's content. Failures are printed by file and case, numbered from 0; a file of an
    unknown format is one failure. The last line counts the cases, and the exit code is 1 when one failed.
    """
    passed = failed = 0
    for path in _files(paths):
        for problem in _problems(path):
            if problem is None:
                passed += 1
            else:
                failed += 1
                click.echo(printable(f"{path}: {problem}"))
    click.echo(f"{passed} passed, {failed} failed")
    if failed:
        context.exit(1)


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        found = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not found:
            raise click.UsageError(f"there is no .json file in {path}")
        yield from found


def _problems(path: Path) -> Iterator[str | None]:
    """What is wrong with each case of a file, None for those that pass; one problem for a file that cannot be run."""
    try:
        cases: Any = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        yield f"it cannot be read as JSON: {type(error).__name__}: {error}"
        return
    try:
        name = format_of(cases)
    except errors.Malformed as error:
        yield error.detail
        return
    for number, case in enumerate(cases):
        reason = failure(name, case, os.urandom)
        yield None if reason is None else f"{name} case {number}: {reason}"
