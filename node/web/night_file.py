"""A report as one self-contained HTML file, drawn by the page's own JavaScript modules.

The file contains the modules as `data:` URLs, named by an import map. The report is JSON in the
file and is inserted as text nodes, so that untrusted text is never parsed as markup.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterator
from datetime import tzinfo
from importlib.resources import files
from pathlib import PurePosixPath
from string import Template
from typing import Final

import msgspec

from node.reporting.html import html_of
from node.reporting.night import night_document
from node.reporting.report import Report

_STYLES: Final = ("base", "lists", "pictures")
_ENTRY: Final = "file.js"
_PREFIX: Final = "arnode/"
_IMPORT: Final = re.compile(r'^(import .* from )"(\.[^"]+)"', re.MULTILINE)
_TEMPLATE: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="$policy">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>arnode: $title</title>
<style>$style</style>
<script type="importmap">$modules</script>
<script type="application/json" id="report">$report</script>
<script type="module">$begin</script>
</head>
<body>
<main id="main">
<h1 id="title" tabindex="-1">$title</h1>
<div id="part"></div>
<noscript>
$text
</noscript>
</main>
</body>
</html>
"""


def as_file(report: Report, zone: tzinfo | None) -> str:
    """Return the report as an HTML page that ends with a newline.

    Without scripts the page shows the same blocks as plain HTML. Times are in `zone`, or in this
    machine's time zone if it is None.
    """
    night = night_document(report, zone)
    data = json.dumps(msgspec.to_builtins(night), ensure_ascii=True)
    style = "\n".join(_read(f"style/{name}.css") for name in _STYLES)
    modules = json.dumps({"imports": dict(_modules())})
    begin = f'import "{_PREFIX}{_ENTRY}";'
    scripts = " ".join(f"'{_hash(text)}'" for text in (modules, begin))
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src {scripts} data:"
    return Template(_TEMPLATE).substitute(
        policy=policy,
        title=html.escape(night["title"]),
        style=style,
        modules=modules,
        report=data.replace("<", "\\u003c"),
        begin=begin,
        text=html_of(night["blocks"]),
    )


def _modules() -> Iterator[tuple[str, str]]:
    """Yield the name and the `data:` URL of each module that is needed."""
    known, left = set[str](), [_ENTRY]
    while left:
        path = left.pop()
        if path in known:
            continue
        known.add(path)
        named = _named(path, _read(path))
        left += re.findall(rf'"{_PREFIX}([^"]+)"', named)
        data = base64.b64encode(named.encode()).decode()
        yield _PREFIX + path, f"data:text/javascript;base64,{data}"


def _named(path: str, text: str) -> str:
    """Return a module with its relative imports replaced by names of the import map."""
    folder = PurePosixPath(path).parent

    def name(found: re.Match[str]) -> str:
        return f'{found[1]}"{_PREFIX}{_normal(folder / found[2])}"'

    return _IMPORT.sub(name, text)


def _normal(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _read(path: str) -> str:
    return files("node.web").joinpath("page", path).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
