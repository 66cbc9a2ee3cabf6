"""Which packages a module's imports belong to, as they are called where they are installed from."""

import ast
import sys
from collections.abc import Iterable
from typing import Final

from trainer.importing.draft import safe_name

# Where the two names differ.
_CALLED: Final = {
    "Bio": "biopython",
    "Levenshtein": "levenshtein",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "bson": "pymongo",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "faiss": "faiss-cpu",
    "ot": "POT",
    "pysat": "python-sat",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
# A judge's word is arnode's own, numpy is there for every program.
_THERE: Final = frozenset({"judging", "numpy"}) | sys.stdlib_module_names


def packages_of(trees: Iterable[ast.AST], *, without: Iterable[str] = ()) -> list[str]:
    """Return the packages that code imports, beyond Python's own modules and those in `without`."""
    roots = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                roots |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                roots.add(node.module.split(".")[0])
    strangers = roots - _THERE - set(without)
    return sorted(_CALLED.get(root, safe_name(root)) for root in strangers)
