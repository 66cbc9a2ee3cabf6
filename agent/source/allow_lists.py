"""The allow-lists of the capability lint by kind of task: one for training code, one for programs.

Rules outside these lists are the same for both: dunders, annotations, settings that may be set.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Self

from agent.source import allowed, programs, public_names
from agent.source.allowed import Use


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowList:
    """The names that sources of one kind of task may use.

    `modules` has the allowed names of each dotted module path. `imports` are the modules that
    prompts and messages list. `uses` restricts the calls of names that could do harm. `known` are
    allowed attributes, and `taken` are attributes that stay forbidden even if the source defines
    them (`agent.source.public_names`). `taken_with_streams` are forbidden too if a source mentions
    one of `streams`. `read` are the environment variables that may be read.
    """

    modules: Mapping[str, frozenset[str]]
    imports: frozenset[str]
    uses: Mapping[str, Use]
    known: frozenset[str]
    taken: frozenset[str]
    builtins: frozenset[str]
    read: frozenset[str] = frozenset()
    streams: frozenset[str] = frozenset()
    taken_with_streams: frozenset[str] = frozenset()

    def within(self, reached: frozenset[str]) -> Self:
        """Return the allow-list for a source: stricter if it mentions one of `streams`.

        `reached` are the attributes, imports and strings that the source mentions.
        """
        if not self.streams & reached:
            return self
        taken = self.taken_with_streams
        return replace(self, known=self.known - taken, taken=self.taken | taken)


TRAINING: Final = AllowList(
    modules=allowed.MODULES,
    imports=allowed.IMPORTS,
    uses=allowed.USES,
    known=public_names.KNOWN,
    taken=public_names.TAKEN,
    builtins=allowed.BUILTINS,
)
PROGRAMS: Final = AllowList(
    modules=programs.MODULES,
    imports=programs.IMPORTS,
    uses=programs.USES,
    known=public_names.KNOWN | programs.KNOWN,
    taken=public_names.TAKEN | programs.TAKEN,
    builtins=programs.BUILTINS,
    read=programs.READ,
    streams=programs.STREAMS,
    taken_with_streams=programs.TAKEN_WITH_STREAMS,
)
LANGUAGE_MODEL: Final = "language-model"  # the kind with the strictest allow-list
_BY_KIND: Final[Mapping[str, AllowList]] = {LANGUAGE_MODEL: TRAINING, "program": PROGRAMS}


def allow_list(kind: str) -> AllowList:
    """Return the allow-list for a kind of task, the strictest if the kind is unknown."""
    return _BY_KIND.get(kind, TRAINING)
