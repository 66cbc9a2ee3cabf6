"""Which of a sandbox's toolchains the lines of a shell script, or of a command, call on."""

import re
from collections.abc import Iterable
from typing import Final

from trainer.host.folder_files import FolderFile
from trainer.importing.reading import read_text
from trainer.sandbox.toolchains import toolchain_of

_SHELL: Final = "sh"
_WORD: Final = re.compile(r"[\w+./-]+")


def toolchains_of(commands: Iterable[str], scripts: Iterable[FolderFile]) -> tuple[str, ...]:
    """Return a shell's own, and those of the compilers and interpreters that are named."""
    texts = [*commands, *(read_text(path) for path in scripts)]
    words = {word for text in texts for word in _WORD.findall(_without_comments(text))}
    named = {found for word in words if (found := toolchain_of(word)) is not None}
    return tuple(sorted({_SHELL, *named}))


def _without_comments(text: str) -> str:
    return re.sub(r"(^|\s)#.*", "", text, flags=re.MULTILINE)
