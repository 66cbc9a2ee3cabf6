"""Whether a text is one that the installation brings along, told by whole files and at once.

A text that is in Python's own library or in a package is open to every script in a sandbox, so
nothing of it can be kept secret. Files that are there as they are take a look at sizes; passages in
other files are found by `trainer.language_model.text.windows`, which takes many times as long.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from protocol.errors import SafetyError
from trainer.language_model.text.windows import MAX_SEEN_SHARE
from trainer.sandbox.visible import visible_tree


def refuse_installed(what: Path, texts: Sequence[tuple[str, bytes]]) -> None:
    """Raise SafetyError if too much of a text, in bytes, is whole files that sandboxes show.

    `texts` is as `trainer.language_model.text.splits.read_texts` returns it.
    """
    copies = installed_copies((text for _, text in texts), visible_tree().host_files())
    total = sum(len(text) for _, text in texts)
    share = sum(len(text) for _, text in texts if text in copies) / max(1, total)
    if share <= MAX_SEEN_SHARE:
        return
    where = next(copies[text] for _, text in texts if text in copies)
    raise SafetyError(
        f"{what}: {share:.0%} of it lies in files that every sandbox can read, as {where}",
        "use a text of your own: files of the interpreter and of packages cannot be kept secret",
    )


def installed_copies(texts: Iterable[bytes], files: Iterable[Path]) -> Mapping[bytes, Path]:
    """Return which of the texts are, byte for byte, one of the files, and which file."""
    by_size: dict[int, set[bytes]] = defaultdict(set)
    for text in filter(None, texts):
        by_size[len(text)].add(text)
    copies: dict[bytes, Path] = {}
    for file in files:
        alike = by_size.get(file.stat().st_size)
        if alike and (content := file.read_bytes()) in alike:
            copies.setdefault(content, file)
    return copies
