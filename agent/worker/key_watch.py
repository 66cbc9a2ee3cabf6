"""A detector for answers of a model server that reveal a secret; it turns them into failures.

The server knows its key; this node must not publish, log or show it. There are three checks, each
far above what chance produces (`agent.worker.key_forms`): a run of a secret's characters in one
text; small pieces in one text that add up to most of a secret; pieces in all texts since the node
started that add up to half of a secret. A server that encrypts a secret, or spells it in single
letters over many answers, is not detected. Both the worker and the core check, because the core
does not trust the worker. They check everything that is stored of an answer: its text or the text
of its fault, and its figures. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Final

from agent.worker.key_forms import (
    LOOSE_CHARS,
    SearchedText,
    SecretForm,
    forms_of,
    is_guarded,
    is_plain_word,
    readings_of,
)
from agent.worker.messages import Failure, Reply
from agent.worker.prices import Usage

WHY: Final = "its server's answer contains parts of an API key and was discarded"
STOPPED: Final = "its server revealed an API key, so it is not asked again"
_MOST: Final = 0.6  # of a secret, in small pieces of one text
_HALF: Final = 0.5  # of a secret, in pieces of all texts
_BEYOND_CHANCE: Final = 3.0  # multiple of the share that small pieces cover by chance
_LETTERS: Final = 26  # the alphabet that texts mostly consist of


@dataclass(slots=True, eq=False)
class _Guarded:
    """A secret: its encodings, and the positions in each that have been seen so far."""

    forms: list[SecretForm]
    seen: list[set[int]] = field(default_factory=list)
    is_revealed: bool = False

    def __post_init__(self) -> None:
        self.seen = [set() for _ in self.forms]

    def look(self, reading: SearchedText) -> bool:
        """Return whether a text reveals the secret, alone or together with earlier texts."""
        if reading.is_loose:
            looks = [_has_run(form, reading) for form in self.forms if form.is_plain]
        else:  # check all forms, because each records what it has seen
            pairs = zip(self.forms, self.seen, strict=True)
            looks = [_adds_up(form, reading, seen) for form, seen in pairs]
        found = any(looks)
        self.is_revealed = self.is_revealed or found
        return found


class KeyWatch:
    """A detector for some secrets for the lifetime of a process. Its `repr` shows none of them."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._whole = [one for one in secrets if one and not is_plain_word(one)]
        self._guarded = {one: _Guarded(forms_of(one)) for one in self._whole if is_guarded(one)}
        self._lock = Lock()  # long texts are checked in a thread

    def __repr__(self) -> str:
        return f"<a watch over {len(self._whole)} secrets>"

    def masked(self, text: str) -> str:
        """Return a text with stars in place of each secret that occurs literally."""
        for secret in self._whole:
            text = text.replace(secret, "*" * len(secret))
        return text

    def reveals(self, *texts: str) -> bool:
        """Record texts that belong together, and return whether they reveal a secret."""
        if not self._guarded:
            return False
        readings = [*dict.fromkeys(readings_of("\n".join(texts)))]
        with self._lock:
            # Every secret must see every text, because seen pieces add up over all of them.
            looks = [one.look(text) for one in self._guarded.values() for text in readings]
        return any(looks)

    def is_revealed(self, secret: str | None) -> bool:
        """Return whether a secret has been revealed since this detector was made."""
        guarded = None if secret is None else self._guarded.get(secret)
        return guarded is not None and guarded.is_revealed


def without_secrets(answer: Reply | Failure, watch: KeyWatch) -> Reply | Failure:
    """Return an answer with each whole secret masked, or a failure if it reveals one."""
    if isinstance(answer, Reply):
        answer = replace(answer, text=watch.masked(answer.text))
        kept = [answer.text]
    else:
        answer = replace(answer, detail=watch.masked(answer.detail))
        kept = [answer.detail, str(answer.retry_ms)]
    if answer.usage is not None:
        kept += [str(answer.usage.tokens_in), str(answer.usage.tokens_out)]
    if not watch.reveals(*kept):
        return answer
    may_have_cost = isinstance(answer, Reply) or answer.may_have_cost
    return leaked(answer.id, WHY, usage=answer.usage, may_have_cost=may_have_cost)


def leaked(
    number: int, detail: str, *, usage: Usage | None = None, may_have_cost: bool = False
) -> Failure:
    """Return the failure of a question whose server cannot be trusted with its key."""
    return Failure(
        id=number,
        fault="leaked_key",
        detail=detail,
        retry_ms=None,
        usage=usage,
        may_have_cost=may_have_cost,
    )


def _has_run(form: SecretForm, reading: SearchedText) -> bool:
    """Return whether a loose text contains enough consecutive characters of a secret to reveal it.

    It takes `LOOSE_CHARS` characters more than in a text whose letters are adjacent.
    """
    length = form.run + LOOSE_CHARS
    # Each run contains a whole block of half its length, and most texts contain no such block.
    half = length // 2
    blocks = (form.text[at : at + half] for at in range(0, len(form.text) - half + 1, half))
    return any(block in reading.text for block in blocks) and bool(_found(form, reading, length))


def _adds_up(form: SecretForm, reading: SearchedText, seen: set[int]) -> bool:
    parts = _found(form, reading, form.part)
    new = _covered(parts, form.part)
    seen |= new
    if parts and (len(seen) >= _HALF * len(form.text) or _found(form, reading, form.run)):
        return True
    enough = max(_MOST, _BEYOND_CHANCE * _by_chance(len(reading.text), form.piece))
    if not form.is_plain or enough > 1.0:
        return False
    pieces = _covered(_found(form, reading, form.piece), form.piece)
    return len(pieces) >= enough * len(form.text)


def _found(form: SecretForm, reading: SearchedText, length: int) -> list[int]:
    """Return the positions in a secret at which `length` characters also occur in the text."""
    last = len(form.text) - length
    return [at for at in range(last + 1) if reading.holds(form.text[at : at + length])]


def _covered(starts: Iterable[int], length: int) -> set[int]:
    return {at for start in starts for at in range(start, start + length)}


def _by_chance(length: int, piece: int) -> float:
    """Return the fraction of a secret that an unrelated text of this length covers by chance."""
    hit = min(1.0, length / float(_LETTERS) ** piece)
    return 1.0 - (1.0 - hit) ** piece
