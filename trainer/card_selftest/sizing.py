"""Chooses a model size from a script's table by a few training steps on the card.

Only sizes that fit the free memory are tried, and a tenth of that memory stays unused. The number
of rows per micro-batch is halved until a size fits. This changes no result, since the tokens per
step stay the same. If not even one row fits, the next smaller size is tried. At the end, steps with
twice and with half as many rows per micro-batch are timed. Training and scoring use the same size.
"""

import ast
import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from protocol.source import Source
from protocol.syntax import syntax_tree
from trainer.card_selftest.probing import Abilities
from trainer.card_selftest.report import SEND_REPORT, Fault
from trainer.cards.cards import GraphicsCard
from trainer.cards.nvml import CardReader
from trainer.host.capacity import available_bytes
from trainer.host.device import Device
from trainer.language_model.card_checks import profile_of
from trainer.language_model.harness.job import SandboxJob
from trainer.language_model.job import job_message
from trainer.sandbox.frames import ForgedFrame, SandboxEnded
from trainer.sandbox.inside.channel import DATA, JOB, NEED_DATA, WEIGHTS
from trainer.sandbox.sandbox import Sandbox
from trainer.sandbox.sealed import sealed

DESKTOPS_BYTES: Final = 512 << 20  # reserved for windows that open during a run
SHARE: Final = 0.9  # a step may use this share of the memory available for runs
_STEPS: Final = 12
_GIB: Final = 1 << 30
_HOST_BYTES: Final = 32 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A card's memory in bytes: in total, free now, and reserved for a desktop."""

    total_bytes: int
    free_bytes: int
    kept_bytes: int = 0

    @property
    def usable_bytes(self) -> int:
        """The memory that runs may use."""
        return max(0, self.free_bytes - self.kept_bytes)


def room_of(card: GraphicsCard) -> Room:
    """Read the memory of a card, or of a MIG slice, from the driver. Raises CardLost."""
    reader = CardReader(card.uuid)
    reader.open()
    try:
        seen, draws = reader.read(), reader.draws()
    finally:
        reader.close()
    total, used = seen.total_bytes, seen.used_bytes
    if total is None or used is None:  # the card shares the machine's memory, as GB10 does
        total, free = card.memory_bytes, available_bytes()
    else:
        free = total - used
    return Room(total_bytes=total, free_bytes=free, kept_bytes=DESKTOPS_BYTES if draws else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A model size from a script's table, for cards with at least `least_gib` of memory.

    `rows` is the number of rows, each of `sequence` tokens, in a micro-batch.
    """

    least_gib: float
    layers: int
    width: int
    head_width: int
    sequence: int
    step_tokens: int
    rows: int

    @classmethod
    def of(cls, least_gib: float, *row: int) -> "Size":
        """Build a size from one row of a script's table."""
        layers, width, head_width, sequence, step_tokens, rows = row
        return cls(
            least_gib=least_gib, layers=layers, width=width, head_width=head_width,
            sequence=sequence, step_tokens=step_tokens, rows=rows,
        )  # fmt: skip

    @property
    def shape(self) -> tuple[int, ...]:
        """The values that affect results: all except the number of rows per micro-batch."""
        return tuple(self.settings()[:-1])

    def at_once(self, rows: int) -> "Size":
        """Return this size with `rows` rows per micro-batch."""
        return replace(self, rows=rows)

    def settings(self) -> list[int]:
        """Return the size in the form that the script reads."""
        return [
            self.layers, self.width, self.head_width, self.sequence, self.step_tokens, self.rows,
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.layers}x{self.width}, micro-batch {self.rows}x{self.sequence}"


def sizes_of(script: bytes) -> list[Size]:
    """Return a script's table `SIZES`, largest size first. Raises ValueError without a table."""
    for node in syntax_tree(script.decode()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SIZES":
            return [Size.of(*row) for row in _literal(node.value)]
    raise ValueError("the script has no table SIZES")


def sizes_within(sizes: Sequence[Size], room: Room) -> list[Size]:
    """Return the sizes that the card's total memory allows and that fit its usable memory.

    A step uses at most SHARE of the size's `least_gib` (measured by `make fake-gpu`).
    """
    return [
        size
        for size in sizes
        if room.total_bytes >= size.least_gib * _GIB
        and room.usable_bytes >= SHARE * size.least_gib * _GIB
    ]


def _literal(node: ast.expr) -> Any:
    """Return the value of a literal in which numbers may be powers, such as 2**18."""
    match node:
        case ast.Tuple(elts=parts):
            return tuple(map(_literal, parts))
        case ast.BinOp(left=base, op=ast.Pow(), right=exponent):
            return _literal(base) ** _literal(exponent)
    return ast.literal_eval(node)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paced:
    """A size that was tried: its tokens per second, or `why` it failed.

    `is_too_large` is True if it ran out of memory.
    """

    size: Size
    tokens_per_s: float = 0.0
    why: str = ""
    is_too_large: bool = False

    def __str__(self) -> str:
        return f"{self.size}: {self.why or f'{self.tokens_per_s:,.0f} tokens/s'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The script and device to try sizes with, and the limits for each size.

    `limit_s` includes compilation. `share` limits the card's memory, as a fraction of its total.
    `host_bytes` limits the machine's main memory.
    """

    device: Device
    source: Source
    abilities: Abilities
    vocabulary_size: int
    limit_s: float
    share: float = SHARE
    host_bytes: int = _HOST_BYTES

    async def paced(self, size: Size) -> Paced:
        """Time some training steps at a size, after the script's warm-up."""
        # The script reads a step ahead, and a row's last target is a token more.
        tokens = bytes(2 * ((_STEPS + 1) * size.step_tokens + 1))
        sandbox = await Sandbox.launch(profile_of(self.device, memory_bytes=self.host_bytes))
        try:
            async with asyncio.timeout(self.limit_s):
                await sandbox.send(JOB, job_message(self._job(size), self.source))
                await sandbox.receive(NEED_DATA)
                with sealed(tokens) as descriptor:
                    await sandbox.send(DATA, descriptor=descriptor)
                began_s = time.monotonic()
                took_s = await _until_exported(sandbox, began_s)
            return Paced(size=size, tokens_per_s=_STEPS * size.step_tokens / took_s)
        except TimeoutError:
            fault = f"it took more than {self.limit_s:g} s"
        except ForgedFrame as error:
            fault = str(error)
        except SandboxEnded:
            await sandbox.settled()
            fault = sandbox.output_tail().strip().rpartition("\n")[2] or "its process ended"
        finally:
            await sandbox.close()
        is_too_large = sandbox.ran_out_of_memory
        if sandbox.end == "memory":  # also too large: some cards share the machine's memory
            fault = f"it used more than {self.host_bytes / _GIB:.2g} GiB of the machine's memory"
            is_too_large = True
        return Paced(size=size, why=fault[:300], is_too_large=is_too_large)

    def _job(self, size: Size) -> SandboxJob:
        settings: dict[str, Any] = {**self.abilities.settings(), "size": size.settings()}
        return SandboxJob(
            role="train",
            seed=1,
            context=size.sequence,
            budget_tokens=_STEPS * size.step_tokens,
            vocabulary_size=self.vocabulary_size,
            bos=self.vocabulary_size - 1,
            card={**settings, "memory_share": self.share},
        )


async def _until_exported(sandbox: Sandbox, began_s: float) -> float:
    """Return the seconds from `began_s` until the weights begin to arrive."""
    ended_s = list[float]()
    expected = {WEIGHTS: 4 * _GIB, NEED_DATA: 0}
    tag, _ = await sandbox.receive_one(
        expected, on_begun=lambda _: ended_s.append(time.monotonic())
    )
    if tag != WEIGHTS:
        raise ForgedFrame("the script requested more tokens than its steps need")
    return ended_s[0] - began_s


async def find_fitting(trial: Trial, sizes: Sequence[Size]) -> tuple[Paced | None, list[Fault]]:
    """Return the first size that fits, and the faults of the sizes tried before it.

    Without compilation a step needs about twice the memory, so the trials start with half as many
    rows.
    """
    faults: list[Fault] = []
    for size in _candidates(sizes, compiles=trial.abilities.compiles):
        paced = await trial.paced(size)
        if not paced.why:
            return paced, faults
        if not paced.is_too_large:
            faults.append(_broken(paced))
            return None, faults
        faults.append(_too_large(paced, trial.share))
    faults.append(
        Fault(
            name="no-size-fits",
            said=f"not even one row of {sizes[-1].sequence} tokens fits this card",
            hint="close other programs that use the card's memory (`nvidia-smi` lists them)",
        )
    )
    return None, faults


async def find_fastest(trial: Trial, fitting: Paced, *, say: Callable[[Paced], None]) -> Paced:
    """Time micro-batches of twice and half as many rows; return the size with most tokens/s."""
    best, rows = fitting, fitting.size.rows
    for other in (2 * rows, rows // 2):
        if other < 1 or fitting.size.step_tokens % (other * fitting.size.sequence):
            continue
        paced = await trial.paced(fitting.size.at_once(other))
        say(paced)
        if not paced.why and paced.tokens_per_s > best.tokens_per_s:
            best = paced
    return best


def _candidates(sizes: Sequence[Size], *, compiles: bool) -> Iterator[Size]:
    """Yield each shape of the table with its number of rows, then with half as many, down to 1."""
    by_shape = {size.shape: size for size in reversed(sizes)}  # of equal shapes, the most rows
    for size in reversed(by_shape.values()):
        rows = size.rows if compiles else max(1, size.rows // 2)
        while rows:
            yield size.at_once(rows)
            rows //= 2


def _too_large(paced: Paced, share: float) -> Fault:
    return Fault(
        name="out-of-memory",
        said=f"{paced.size} needs more than {share:.0%} of the memory ({paced.why})",
        hint="close other programs that use the card's memory (`nvidia-smi` lists them)",
        instead="half as many rows" if paced.size.rows > 1 else "the next smaller size",
        is_kept=True,
    )


def _broken(paced: Paced) -> Fault:
    return Fault(
        name="step-fails",
        said=f"a step of {paced.size} fails ({paced.why})",
        hint=SEND_REPORT,
    )
