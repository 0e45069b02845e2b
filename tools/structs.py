"""Write docs/structs.md: every struct, label and limit of the protocol, read from the code that uses them.

`python tools/structs.py` writes it, `--check` fails when it is not fresh.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import sys
import types
import typing
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, Union, cast, get_args, get_origin

from tacit.signed import labels
from tacit.wire import codec, encodings, limits

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "structs.md"
ROOMS = ("signed", "identity", "conversation", "client")


def kind(hint: Any) -> str:
    """One field's type in the presentation language."""
    if get_origin(hint) is Annotated:
        base, *metadata = get_args(hint)
        how = next(item for item in metadata if isinstance(item, encodings.Encoding))
        match how:
            case encodings.UInt(size):
                return f"uint{8 * size}"
            case encodings.Enum(size):
                return f"{base.__name__} (uint{8 * size})"
            case encodings.Flag():
                return "uint8 (0 or 1)"
            case encodings.Fixed(size):
                return f"opaque[{size}]"
            case encodings.Variable(most, least):
                return f"opaque<V>, {least} to {most} bytes"
            case encodings.Text(most, least):
                return f"UTF-8 opaque<V>, {least} to {most} bytes"
            case codec.Many(most):
                return f"{kind(get_args(base)[0])} <V>, at most {most}"
    if get_origin(hint) in (Union, types.UnionType):
        (inner,) = [item for item in get_args(hint) if item is not type(None)]
        return f"optional<{kind(inner)}>"
    return str(hint.__name__)


def first_sentence(cls: type) -> str:
    """The docstring's first paragraph, as one line."""
    return " ".join((cls.__doc__ or "").split("\n\n")[0].split())


def page() -> str:
    """The whole page."""
    out = [
        "# Structs, labels and limits",
        "",
        "Made by `tools/structs.py` from the code that parses and makes them. Encodings are those of the TLS",
        "presentation language as RFC 9420 §2.1 uses it; `<V>` is its variable-size length.",
        "",
    ]
    for room in ROOMS:
        folder = ROOT / "src" / "tacit" / room
        for path in sorted(folder.glob("*.py")):
            module = importlib.import_module(f"tacit.{room}.{path.stem}") if path.stem != "__init__" else None
            own = (
                [
                    item
                    for item in vars(module).values()
                    if isinstance(item, type)
                    and item.__module__ == module.__name__
                    and not item.__name__.startswith("_")
                    and (item in codec._STRUCTS or issubclass(item, IntEnum))
                ]
                if module
                else []
            )
            if not own:
                continue
            out += [f"## {room}/{path.name}", ""]
            for cls in own:
                out += [f"### {cls.__name__}", "", first_sentence(cls), "", "```"]
                if issubclass(cls, IntEnum):
                    out += [f"{member.name.lower()} = {member.value}" for member in cls]
                else:
                    hints = typing.get_type_hints(cls, include_extras=True)
                    names = [field.name for field in dataclasses.fields(cast(Any, cls))]
                    width = max(map(len, names), default=0)
                    out += [f"{name:{width}}  {kind(hints[name])}" for name in names]
                out += ["```", ""]
    out += ["## Labels", "", "```"]
    out += sorted(
        value
        for name, value in vars(labels).items()
        if isinstance(value, str) and value.startswith("tacit/1 ") and name != "PREFIX"
    )
    out += ["```", "", "## Limits", "", "| limit | value | of |", "|---|---|---|"]
    tree = ast.parse(Path(limits.__file__).read_text())
    for this, following in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(this, ast.AnnAssign) and isinstance(following, ast.Expr) and isinstance(this.target, ast.Name):
            text = str(ast.literal_eval(following.value)).rstrip(".")
            out.append(f"| `{this.target.id}` | {getattr(limits, this.target.id):,} | {text} |")
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    made = page()
    if "--check" in sys.argv:
        fresh = TARGET.exists() and TARGET.read_text() == made
        if not fresh:
            print("docs/structs.md is not fresh: run `python tools/structs.py`", file=sys.stderr)
        sys.exit(not fresh)
    TARGET.write_text(made)
