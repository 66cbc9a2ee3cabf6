"""Which size of a script's own table fits a card: a few steps, with a tenth of memory to spare.

Which sizes are tried is decided by memory that is free. Rows at once are halved until it fits,
which changes no result: the tokens of a step stay; where not even one fits, the table's next size
is tried. Then more and fewer at once are timed. What is decided is told to training and scoring
alike.
"""

import ast
import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from protocol.source import Source
from protocol.syntax import syntax_tree
from trainer.cards.cards import GraphicsCard
from trainer.cards.nvml import CardReader
from trainer.host.capacity import available_bytes
from trainer.host.device import Device
from trainer.language_model.card_checks import profile_of
from trainer.language_model.harness.job import SandboxJob
from trainer.language_model.job import job_message
from trainer.proving.probing import Abilities
from trainer.proving.proof import Fault
from trainer.sandbox.frames import ForgedFrame, SandboxEnded
from trainer.sandbox.inside.channel import DATA, JOB, NEED_DATA, WEIGHTS
from trainer.sandbox.sandbox import Sandbox
from trainer.sandbox.sealed import sealed

DESKTOPS_BYTES: Final = 512 << 20  # windows that open during a run
SHARE: Final = 0.9  # of the memory that is there for runs, which a step may take
_STEPS: Final = 12
_GIB: Final = 1 << 30
_HOST_BYTES: Final = 32 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A card's memory in bytes: all of it, what nobody has now, and what is kept for a desktop."""

    total_bytes: int
    free_bytes: int
    kept_bytes: int = 0

    @property
    def usable_bytes(self) -> int:
        """What runs may take."""
        return max(0, self.free_bytes - self.kept_bytes)


def room_of(card: GraphicsCard) -> Room:
    """Ask the driver for the memory of a card, or of a slice of one. Raises CardLost."""
    reader = CardReader(card.uuid)
    reader.open()
    try:
        seen, draws = reader.read(), reader.draws()
    finally:
        reader.close()
    total, used = seen.total_bytes, seen.used_bytes
    if total is None or used is None:  # as GB10: it uses the machine's
        total, free = card.memory_bytes, available_bytes()
    else:
        free = total - used
    return Room(total_bytes=total, free_bytes=free, kept_bytes=DESKTOPS_BYTES if draws else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A row of a script's table: `least_gib` is the memory from which on it is taken."""

    least_gib: float
    layers: int
    width: int
    head_width: int
    sequence: int
    step_tokens: int
    rows: int

    @classmethod
    def of(cls, least_gib: float, *row: int) -> "Size":
        """Return what a row of a script's table says, in its order."""
        layers, width, head_width, sequence, step_tokens, rows = row
        return cls(
            least_gib=least_gib, layers=layers, width=width, head_width=head_width,
            sequence=sequence, step_tokens=step_tokens, rows=rows,
        )  # fmt: skip

    @property
    def shape(self) -> tuple[int, ...]:
        """What results depend on: all but the rows at once."""
        return tuple(self.told()[:-1])

    def at_once(self, rows: int) -> "Size":
        """Return it with so many rows at once."""
        return replace(self, rows=rows)

    def told(self) -> list[int]:
        """Return it as the script reads it."""
        return [
            self.layers, self.width, self.head_width, self.sequence, self.step_tokens, self.rows,
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.layers}x{self.width}, {self.rows} rows of {self.sequence}"


def sizes_of(script: bytes) -> list[Size]:
    """Return a script's table `SIZES`, the largest first. Raises ValueError if it has none."""
    for node in syntax_tree(script.decode()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SIZES":
            return [Size.of(*row) for row in _literal(node.value)]
    raise ValueError("the script has no table SIZES")


def sizes_within(sizes: Sequence[Size], room: Room) -> list[Size]:
    """Return those sizes of a table that the table has for a card and that have room on it now.

    A step takes at most SHARE of the memory from which on its size is taken (`make fake-gpu`).
    """
    return [
        size
        for size in sizes
        if room.total_bytes >= size.least_gib * _GIB
        and room.usable_bytes >= SHARE * size.least_gib * _GIB
    ]


def _literal(node: ast.expr) -> Any:
    """Return a literal in which numbers may be powers, as 2**18."""
    match node:
        case ast.Tuple(elts=parts):
            return tuple(map(_literal, parts))
        case ast.BinOp(left=base, op=ast.Pow(), right=exponent):
            return _literal(base) ** _literal(exponent)
    return ast.literal_eval(node)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paced:
    """A size that was tried: its tokens a second, or why it did not come to its end.

    `is_too_large`: the device had no more memory.
    """

    size: Size
    tokens_per_s: float = 0.0
    why: str = ""
    is_too_large: bool = False

    def __str__(self) -> str:
        return f"{self.size} at once: {self.why or f'{self.tokens_per_s:,.0f} tokens/s'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The script and device that sizes are tried with, and the limits of each try.

    `limit_s` is for one size, compiling included; `share` is of the card's memory, all of it;
    `host_bytes` what it may take of the machine's own.
    """

    device: Device
    source: Source
    abilities: Abilities
    vocabulary_size: int
    limit_s: float
    share: float = SHARE
    host_bytes: int = _HOST_BYTES

    async def paced(self, size: Size) -> Paced:
        """Take some steps at a size, after those that the script warms up with."""
        tokens = bytes(2 * (_STEPS + 1) * size.step_tokens)
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
            fault = sandbox.output_tail().strip().rpartition("\n")[2] or "it ended"
        finally:
            await sandbox.close()
        is_too_large = sandbox.ran_out_of_memory
        if sandbox.end == "memory":  # which counts as the card's: some have no other
            fault = f"it took more than {self.host_bytes / _GIB:.2g} GiB of the machine's memory"
            is_too_large = True
        return Paced(size=size, why=fault[:300], is_too_large=is_too_large)

    def _job(self, size: Size) -> SandboxJob:
        told: dict[str, Any] = {**self.abilities.told(), "size": size.told()}
        return SandboxJob(
            role="train",
            seed=1,
            context=size.sequence,
            budget_tokens=_STEPS * size.step_tokens,
            vocabulary_size=self.vocabulary_size,
            bos=self.vocabulary_size - 1,
            card={**told, "memory_share": self.share},
        )


async def _until_exported(sandbox: Sandbox, began_s: float) -> float:
    """Return the seconds until the weights begin to arrive."""
    ended_s = list[float]()
    expected = {WEIGHTS: 4 * _GIB, NEED_DATA: 0}
    tag, _ = await sandbox.receive_one(
        expected, on_begun=lambda _: ended_s.append(time.monotonic())
    )
    if tag != WEIGHTS:
        raise ForgedFrame("it asked for more tokens than its steps take")
    return ended_s[0] - began_s


async def find_fitting(trial: Trial, sizes: Sequence[Size]) -> tuple[Paced | None, list[Fault]]:
    """Return the first that fits of sizes, each with its halves of rows, and what did not.

    Nothing is compiled: it holds about twice as much, and begins with half.
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
            said=f"not even one row of {sizes[-1].sequence} tokens at once fits this card",
            mend="free memory of the card (`nvidia-smi` names who has it)",
        )
    )
    return None, faults


async def find_fastest(trial: Trial, fitting: Paced, *, say: Callable[[Paced], None]) -> Paced:
    """Return the fastest by tokens a second of what fits, twice and half as many rows at once."""
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
    """Yield each shape of the table once, with its rows at once, half of them and so on to one."""
    by_shape = {size.shape: size for size in reversed(sizes)}  # the largest number of rows stays
    for size in reversed(by_shape.values()):
        rows = size.rows if compiles else max(1, size.rows // 2)
        while rows:
            yield size.at_once(rows)
            rows //= 2


def _too_large(paced: Paced, share: float) -> Fault:
    return Fault(
        name="out-of-memory",
        said=f"{paced.size} at once is more than {share:.0%} of the memory ({paced.why})",
        mend="close what else has memory of the card (`nvidia-smi` names it)",
        instead="half as many rows at once" if paced.size.rows > 1 else "the next smaller size",
        is_kept=True,
    )


def _broken(paced: Paced) -> Fault:
    return Fault(
        name="step-fails",
        said=f"a step of {paced.size} fails ({paced.why})",
        mend="send the report: docs/gpu-status.md says where to",
    )
