"""Writes the table of settings in docs/configuration.md from the settings' own dataclass.

python docs/configuration.py
"""

import ast
import dataclasses
import inspect
import json
import re
from pathlib import Path

from node.settings.config import Config

TARGET = Path(__file__).with_name("configuration.md")
_TABLE = re.compile(r"^\| setting \|.*?(?=^\n)", re.MULTILINE | re.DOTALL)


def written(page: str) -> str:
    """Return the page with the table as it is now."""
    meanings = _meanings()
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for field in dataclasses.fields(Config):
        default = "none" if field.default is None else f"`{json.dumps(field.default)}`"
        lines.append(f"| `{field.name}` | {default} | {meanings[field.name]} |")
    table = "".join(f"{line}\n" for line in lines)
    return _TABLE.sub(lambda _: table, page, count=1)


def _meanings() -> dict[str, str]:
    """Return what stands below each field of the dataclass; Python keeps no docstring of those."""
    (found,) = ast.parse(inspect.getsource(Config)).body
    assert isinstance(found, ast.ClassDef)  # noqa: S101 (for the type)
    meanings = {}
    for field, below in zip(found.body, found.body[1:], strict=False):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str() as text)),
            ):
                meanings[name] = " ".join(text.split())
    return meanings


if __name__ == "__main__":
    TARGET.write_text(written(TARGET.read_text(encoding="utf-8")), encoding="utf-8")
