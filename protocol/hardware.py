"""Hardware classes, whose timings are comparable, as a pure function of probed fields.

The slug names the card model (`h200-141g`, `rtx4090-laptop-16g`, `a100-40g-mig-3g20g`). The family
is its architecture and selects topics. Power limits, drivers and versions belong to `env`, not to
the class. Readers recompute a slug from the probed fields, so a change here splits every network.
"""

import math
import re
from dataclasses import dataclass

_CUDA_FAMILIES = tuple(f"cuda-sm{sm}" for sm in (75, 80, 86, 87, 89, 90, 100, 103, 120))
ANY = "any"  # the class and family of figures that do not depend on the machine
FAMILIES = (*_CUDA_FAMILIES, "cuda-other", "cpu", ANY)

# The family of a card by the beginning of its slug. Records carry only the slug, and their topic is
# derived from it. "Ada" and "PRO" cards come first, because older cards have the same numbers.
_CARDS = tuple(
    (re.compile(rf"(?:{cards})(?:-.*)?"), family)
    for cards, family in (
        (r"cpu", "cpu"),
        (r"any", ANY),
        (r"l4|l40[gs]?|rtx40[5-9]0|rtx[2-6]\d00(?:-sff)?-ada", "cuda-sm89"),
        (r"rtx50[5-9]0|rtx-pro-\d{4}", "cuda-sm120"),
        (r"t4g?|titan-rtx|quadro-rtx[3-8]000|rtx20[5-8]0|gtx16[356]0", "cuda-sm75"),
        (r"a100x?|a800|a30x?", "cuda-sm80"),
        (r"a2|a10[gm]?|a16|a40|rtx30[5-9]0|rtx-a\d{3,4}", "cuda-sm86"),
        (r"orin", "cuda-sm87"),
        (r"h20|h100|h200|h800|gh200", "cuda-sm90"),
        (r"b100|b200|gb200", "cuda-sm100"),
        (r"b300|gb300", "cuda-sm103"),
    )
)

_CPU_NAMES = {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64"}
# Vendor and product-line words that never distinguish two cards.
_FILLER = frozenset(
    {"nvidia", "geforce", "tesla", "grid", "gpu", "generation", "edition", "with", "design"}
    | {"hbm2", "hbm2e", "hbm3", "hbm3e"}
)
_CAPACITY = re.compile(r"\b(\d+) ?gb?\b")
_MAX_SLUG = 48
_GIB = 1 << 30
# "480GB" in GH200 480GB is CPU memory, so a size in a name counts only if near the probed size.
_NAME_TOLERANCE = 0.15


@dataclass(frozen=True, slots=True)
class HardwareClass:
    """A slug, which selects leaderboards, and an architecture family, which selects topics."""

    slug: str
    family: str


def family_of(slug: str) -> str:
    """Return the hardware family of any slug, as used in topics.

    A card that is not listed is `cuda-other`, whatever architecture its driver reports.
    """
    for cards, family in _CARDS:
        if cards.fullmatch(slug):
            return family
    return "cuda-other"


def cpu_class(machine: str) -> HardwareClass:
    """Return the class of a CPU, given the result of `platform.machine()`."""
    name = re.sub(r"[^a-z0-9_]+", "-", machine.lower()).strip("-") or "unknown"
    return HardwareClass(f"cpu-{_CPU_NAMES.get(name, name)}"[:_MAX_SLUG], "cpu")


def cuda_class(
    name: str,
    memory_bytes: int,
    *,
    compute_capability: tuple[int, int],
    mig_profile: str | None = None,
    count: int = 1,
) -> HardwareClass:
    """Return the class of `count` equal GPUs, given NVML's name and memory size of one whole card.

    A MIG slice is named after its card and profile, without the card's form factor.
    """
    lowered = re.sub(r"\bmig\b.*", "", name.lower())
    words = _model_words(lowered, is_slice=mig_profile is not None)
    words.append(f"{_memory_gib(lowered, memory_bytes, mig_profile is not None)}g")
    if mig_profile is not None:
        profile = re.sub(r"^mig", "", mig_profile.lower().strip()).strip()
        words += ["mig", *re.findall(r"[a-z0-9]+", profile.replace(".", "").replace("gb", "g"))]
    suffix = f"-x{count}" if count > 1 else ""
    slug = "-".join(words)[: _MAX_SLUG - len(suffix)].rstrip("-")
    return HardwareClass(slug + suffix, _cuda_family(compute_capability))


def _model_words(name: str, *, is_slice: bool) -> list[str]:
    model = re.sub(r"\([^)]*\)", " ", name).replace("max-q", "maxq")
    model = _CAPACITY.sub(" ", model)
    # "RTX 4090" is one word, "RTX A6000" and "RTX PRO 6000" are not.
    model = re.sub(r"\b(rtx|gtx|gt|mx) (?=\d)", r"\1", model)
    words = [word for word in re.findall(r"[a-z0-9]+", model) if word not in _FILLER]
    if is_slice:
        words = [word for word in words if word != "pcie" and not re.fullmatch(r"sxm\d?", word)]
    return words or ["unnamed"]


def _memory_gib(name: str, memory_bytes: int, is_slice: bool) -> int:
    """Return the card's memory in GiB, rounded up because drivers reserve some of it."""
    probed = memory_bytes / _GIB
    capacity = _CAPACITY.search(name)
    if capacity is not None:
        named = int(capacity[1])
        # For a slice, the probe may report the slice's memory instead of the card's.
        if is_slice or abs(named - probed) <= _NAME_TOLERANCE * named:
            return named
    return math.ceil(probed - 0.05)


def _cuda_family(compute_capability: tuple[int, int]) -> str:
    family = f"cuda-sm{compute_capability[0]}{compute_capability[1]}"
    return family if family in _CUDA_FAMILIES else "cuda-other"
