"""Which rows of own text no sandbox can read elsewhere.

Prose and code share idioms with what an interpreter and its packages hold (an import line, a
licence's sentence). A row that overlaps a 64-byte window of a visible file is never scored, so
what is scored lies nowhere in a sandbox; text of which much is visible is refused.
"""

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np

from protocol.errors import SafetyError
from trainer.language_model.text.arrays import RowMarks, TokenRows
from trainer.language_model.text.token_cache import cached_tokens
from trainer.language_model.text.vocabulary import Vocabulary
from trainer.language_model.text.windows import WINDOW_BYTES, shared_windows
from trainer.measuring.kind import Progress
from trainer.sandbox.visible import visible_tree

MAX_SEEN_SHARE: Final = 0.2  # more, and the text is one that the installation brings along
_MAX_HITS = 1_000_000


def without_seen(
    groups: Sequence[TokenRows],
    vocabulary: Vocabulary,
    *,
    what: str,
    cache: Path,
    visible: Sequence[Path] | None,
    progress: Progress,
) -> list[TokenRows]:
    """Return each group's rows that lie in no visible file.

    `visible` is what to search (default: all that sandboxes show). The search takes seconds, so
    its answer is kept in `cache` for this text and installation. Raises SafetyError when more
    than `MAX_SEEN_SHARE` of the rows would have to go.
    """
    rows = np.concatenate(groups)
    installed = repr((visible, visible_tree(), version("torch"), version("numpy")))
    key = hashlib.sha256(rows.tobytes() + installed.encode()).hexdigest()[:16]
    seen = cached_tokens(
        cache / f"seen-{key}.npy",
        lambda: _seen(rows, vocabulary, visible, progress).astype(np.uint16),
    ).astype(np.bool_)
    if seen.mean() > MAX_SEEN_SHARE:
        raise SafetyError(
            f"{what}: {seen.mean():.0%} of it lies in files that every sandbox can read",
            "use another text: nothing could be kept secret of this one",
        )
    bounds = np.cumsum([len(group) for group in groups[:-1]])
    pairs = zip(groups, np.split(seen, bounds), strict=True)
    return [group[~seen_of_group] for group, seen_of_group in pairs]


def _seen(
    rows: TokenRows, vocabulary: Vocabulary, visible: Sequence[Path] | None, progress: Progress
) -> RowMarks:
    contents = [b"".join(vocabulary.token_bytes[token] or b"" for token in row) for row in rows]
    starts = np.cumsum([0, *(len(content) for content in contents[:-1])])
    files = visible_tree().host_files() if visible is None else visible
    hits = shared_windows(b"".join(contents), files, at_most=_MAX_HITS, progress=progress)
    seen = np.zeros(len(rows), dtype=np.bool_)
    for hit in hits:
        first = np.searchsorted(starts, hit.offset, side="right") - 1
        last = np.searchsorted(starts, hit.offset + WINDOW_BYTES - 1, side="right") - 1
        seen[first : last + 1] = True
    return seen
