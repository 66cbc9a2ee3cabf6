"""Facts about a change that contain no text by its author, such as `DEPTH 8 → 10`.

Facts are rendered from parsed edits. They contain numbers, strings of at most eight capitals, names
from this node's source or from machine learning, and counts of everything else. So they may be
shown for any peer's patch, checked or not.
"""

import keyword
import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypeAlias, get_args

from agent.source.hunks import Hunk
from agent.source.public_names import listed
from protocol.source import Source

Category: TypeAlias = Literal[
    "constant",
    "optimiser",
    "schedule",
    "attention",
    "activation",
    "normalisation",
    "initialisation",
    "embedding",
    "batch",
    "loss",
    "speed",
    "structure",
    "removal",
]
CATEGORIES: Final[tuple[Category, ...]] = get_args(Category)
UNNAMED: Final = "a constant of another name"

_MOST_FACTS = 6
_MOST_NAMES = 8
_MOST_KNOWN = 5_000
_LONGEST_NAME = 40
_NUMBER = r"[-+]?(?:\d[\d_]{0,15}(?:\.\d{0,12})?|\.\d{1,12})(?:e[-+]?\d{1,3})?"
_SCALAR = rf"(?:{_NUMBER}|\d{{1,2}} ?\*\* ?\d{{1,2}}|True|False|None)"
_TEXT = r"\"[A-Z]{1,8}\"|'[A-Z]{1,8}'"
_ASSIGNED = re.compile(r"\s*([A-Za-z_]\w{0,63})\s*=\s*(.{1,80}?)\s*(?:#.*)?", re.ASCII)
_VALUE = re.compile(
    rf"{_TEXT}|{_SCALAR}|[(\[] ?{_SCALAR}(?:, ?{_SCALAR}){{0,7}},? ?[)\]]", re.ASCII
)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_EMPTY_NAMES = frozenset({*keyword.kwlist, *keyword.softkwlist, "self"})  # carry no meaning
_CHANGE = re.compile(r"([A-Za-z_]\w{0,63}(?:\[\d{1,2}\])?) (\S{1,40}) → (\S{1,40})", re.ASCII)
_TEXT_BLOCK = re.compile(r"(\"{3}|'{3}).*?\1", re.DOTALL)
_LITERAL = re.compile(r"\"[^\"]*\"|'[^']*'|#.*")

# Common names in machine learning, which people use to describe ideas. No author chose them.
_FIELD = listed(
    """
    Adafactor Adam AdamW Conv1d Dropout Embedding GELU LayerNorm Linear Lion ModuleList Muon
    Parameter RMSNorm ReLU SGD SiLU adam adamw amsgrad attention autocast backward betas
    bfloat16 bias bigram checkpoint clamp clip_grad_norm_ compile cos cosine cross_entropy
    cumsum detach dropout ema embedding eps exp expand float16 foreach fused gate gather gelu
    glu grad head init_ is_causal kaiming_normal_ key label_smoothing layer_norm leaky_relu lerp
    linear log log_softmax logit_cap logits lr momentum muon nesterov no_grad norm normal_
    normalize ones_ orthogonal_ pad pin_memory positions query relu residual rms_norm rope
    rotary rsqrt scaled_dot_product_attention schedule sigmoid silu sin smear softcap softmax
    softplus sqrt square swiglu tanh tie topk trapezoidal_ tril trunc_normal_ uniform_ value
    value_embedding warmdown warmup weight_decay window xavier_uniform_ z_loss zero_grad zeros_
    """
)


def _sign(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


# The first match decides the kind. Patterns for ideas precede patterns for the code they change.
_SIGNS: Final[tuple[tuple[Category, re.Pattern[str]], ...]] = (
    ("schedule", _sign(r"warm_?(up|down)|cosine|schedul|decay_steps|anneal|final_lr|progress")),
    ("optimiser", _sign(r"optim|muon|adam|\blion\b|sgd|momentum|nesterov|betas?\d?\b|clip_")),
    ("optimiser", _sign(r"weight_?decay|\beps|learning_?rate|_lr\b|\blr\b")),
    ("initialisation", _sign(r"init(?!__)|xavier|kaiming|orthogonal|zeros_|normal_\(")),
    ("attention", _sign(r"attention|attn|\bheads?\b|query|\bkey\b|rotary|rope|window|is_causal")),
    ("activation", _sign(r"gelu|relu|silu|swiglu|\bglu\b|tanh|sigmoid|softplus")),
    ("normalisation", _sign(r"norm\b|layer_?norm|rms|normalize")),
    ("embedding", _sign(r"embed|bigram|position|vocab|tie_|smear")),
    ("loss", _sign(r"loss|logit|label_smoothing|cross_entropy|soft_?cap")),
    ("batch", _sign(r"batch|sequence|seq_len|accum|\brows\b")),
    ("speed", _sign(r"compile|fused|foreach|float16|autocast|checkpoint|pin_memory")),
)


def known_names(source: Source) -> frozenset[str]:
    """Return the names that a fact may contain: those in this node's source and common ones."""
    texts = (_TEXT_BLOCK.sub("", data.decode("utf-8", "replace")) for _, data in source.files)
    found = (name for text in texts for name in _names(text)[:_MOST_KNOWN])
    return _FIELD.union(name for name in found if len(name) <= _LONGEST_NAME) - _EMPTY_NAMES


def facts(hunks: Sequence[Hunk], known: frozenset[str]) -> tuple[str, ...]:
    """Return the facts of a change: at most six constants, and the lines added and removed."""
    constants: list[str] = []
    removed: list[str] = []
    added: list[str] = []
    for hunk in hunks:
        before, after = _assignments(hunk.removed), _assignments(hunk.added)
        for name in before:
            if name in after and before[name] != after[name]:
                label = name if name in known else UNNAMED
                constants.append(f"{label} {before[name]} → {after[name]}")
        both = before.keys() & after.keys()
        removed += [line for line in hunk.removed if line.strip() and _assigned(line) not in both]
        added += [line for line in hunk.added if line.strip() and _assigned(line) not in both]
    listed = constants[:_MOST_FACTS]
    if len(constants) > _MOST_FACTS:
        listed.append(f"and {len(constants) - _MOST_FACTS} more constants")
    return (*listed, *_line_facts(removed, added, known))


def constant_in_title(title: str, known: frozenset[str]) -> str | None:
    """Return the fact in a title like `DEPTH 8 → 10`, or None for any other title."""
    match = _CHANGE.fullmatch(title[: 3 * 64])
    if match is None or not (_VALUE.fullmatch(match[2]) and _VALUE.fullmatch(match[3])):
        return None
    name = match[1] if match[1].split("[")[0] in known else UNNAMED
    return f"{name} {match[2]} → {match[3]}"


def category(key: str, hunks: Sequence[Hunk]) -> Category:
    """Return the kind of a change; `key` names the idea."""
    removed = [line for hunk in hunks for line in hunk.removed if line.strip()]
    added = [line for hunk in hunks for line in hunk.added if line.strip()]
    if key.startswith("hyperparameter:") or (
        added and all(map(_assigned, [*removed, *added])) and removed
    ):
        return "constant"
    if removed and not added:
        return "removal"
    # The name of an idea shows its kind better than the code that it changes.
    for words in (key.replace("-", " "), "\n".join(added or removed)):
        for name, signs in _SIGNS:
            if signs.search(words):
                return name
    return "structure"


def _line_facts(
    removed: Sequence[str], added: Sequence[str], known: frozenset[str]
) -> Iterable[str]:
    for verb, lines, others in (("adds", added, removed), ("removes", removed, added)):
        if not lines:
            continue
        there = set(_names("\n".join(others)))
        new = [name for name in dict.fromkeys(_names("\n".join(lines))) if name not in there]
        named = [name for name in new if name in known and len(name) > 1][:_MOST_NAMES]
        plural = "" if len(lines) == 1 else "s"
        yield f"{verb} {len(lines)} line{plural}" + (f" ({', '.join(named)})" if named else "")


def _names(code: str) -> list[str]:
    """Return the names in code, in order, without names in strings and comments."""
    return _NAME.findall(_LITERAL.sub("", code))


def _assignments(lines: Iterable[str]) -> dict[str, str]:
    return {name: value for line in lines if (pair := _assignment(line)) for name, value in [pair]}


def _assigned(line: str) -> str | None:
    pair = _assignment(line)
    return pair[0] if pair else None


def _assignment(line: str) -> tuple[str, str] | None:
    """Return name and value of a line that sets a name to a plain number or numbers."""
    match = _ASSIGNED.fullmatch(line)
    if match is None or not _VALUE.fullmatch(match[2]):
        return None
    return match[1], match[2]
