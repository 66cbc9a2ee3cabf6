"""Write two tables from the code: settings in configuration.md, agents in llm.md.

python docs/configuration.py
"""

import ast
import dataclasses
import inspect
import json
import re
from pathlib import Path

from node.home.agents import FORMS
from node.home.config import Config

_FOLDER = Path(__file__).parent
_AGENTS = re.compile(r"^\| `agent` \| who proposes \|.*?(?=^\n)", re.MULTILINE | re.DOTALL)
_TABLE = re.compile(r"^\| setting \|.*?(?=^\n)", re.MULTILINE | re.DOTALL)


def with_agents(page: str) -> str:
    """Return the page on language models with the current table of values of `agent`."""
    lines = ["| `agent` | who proposes |", "|---|---|"]
    lines += [f"| {', '.join(f'`{w}`' for w in form.words)} | {form.meaning} |" for form in FORMS]
    return _AGENTS.sub(lambda _: "".join(f"{line}\n" for line in lines), page, count=1)


def with_settings(page: str) -> str:
    """Return the page on configuration with the current table of settings."""
    meanings = _meanings()
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for field in dataclasses.fields(Config):
        default = "none" if field.default is None else f"`{json.dumps(field.default)}`"
        lines.append(f"| `{field.name}` | {default} | {meanings[field.name]} |")
    table = "".join(f"{line}\n" for line in lines)
    return _TABLE.sub(lambda _: table, page, count=1)


def _meanings() -> dict[str, str]:
    """Return the meaning of each setting: the string below its field.

    Python keeps no docstrings of fields, so they are read from the source.
    """
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
    for name, rewritten in (("configuration.md", with_settings), ("llm.md", with_agents)):
        page = _FOLDER / name
        page.write_text(rewritten(page.read_text(encoding="utf-8")), encoding="utf-8")
