"""`agent compare` on real blocks: the hours until it decides which of two gains more.

A scripted model follows its instructions: it proposes shorter rows, which gain much on this task,
often or never, and otherwise a constant without effect. All else is as shipped, including the
built-in search between the model's answers. Blocks are independent, so a fixed number of them
serves for any number of simulated comparisons, which draw their pairs from them. Comparisons of
equals draw both sides from the blocks of one. Blocks are measured in wall-clock time, so this needs
a quiet machine.
"""

import asyncio
import os
import random
import re
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from unittest import mock

from aiohttp import web

from node.home.home import Home, program_file
from node.on_demand.block import Contender
from node.on_demand.kept_lines import kept_lines
from node.on_demand.programs import LETTERS, Comparing, ProgramComparison, known_after
from node.on_demand.session import CommandSession, find_command_session
from node.terminal.progress import silent
from tests.agent.scripted import replacing
from tests.llm_server import LlmServer, says
from tools.soak.scripted_model import idle_edit
from trainer.host.device import processor

_TASK: Final = "tiny-short"
_HOW_OFTEN: Final = {"often": 0.5, "never": 0.0}  # share of answers that shorten rows
_SHORTEST: Final = 32  # tokens per row; shorter ones exceed a run's CPU limit
_BLOCK_S: Final = 30.0
_RUNS: Final = 3
_PAIRS: Final = 20
_BEGUN_S: Final = 2700.0  # no pair is started after this
_REPETITIONS: Final = 400
_MOST_PAIRS: Final = 48
_MOST_WRONG: Final = 0.05

Figures = Mapping[str, object]


def run_programs(home: Path, *, begun_s: float = _BEGUN_S) -> Figures:
    """Run the missing pairs, then simulate comparisons from their blocks."""
    ends_s = time.monotonic() + begun_s
    chance = random.Random()
    settings = {"ARNODE_HOME": str(home / "home"), "ARNODE_LANES": "1"}

    async def reply(server: LlmServer, request: web.Request) -> web.StreamResponse:
        return await says(_answer(str(server.questions[-1]["messages"]), chance))(server, request)

    with LlmServer(reply) as server, mock.patch.dict(os.environ, settings):
        Home(home / "home").prepare()
        (home / "home" / "config.toml").write_text(f'llm_url = "{server.url}"\n')
        command = find_command_session(_TASK, None)
        place = command.home.comparisons
        with kept_lines(place / "kept.jsonl", is_fresh=False) as kept:
            comparison = ProgramComparison(command, _comparing(command), kept, place / "blocks")
            while len(comparison.evidence.pairs) < _PAIRS and time.monotonic() < ends_s:
                asyncio.run(comparison.play(silent))
                print(f"  {comparison.evidence.differences}", file=sys.stderr, flush=True)
            evidence = comparison.evidence
    often, never = ([pair.of(one).gain_nano for pair in evidence.pairs] for one in LETTERS)
    better = [known_after(_drawn(often, never, number)) for number in range(_REPETITIONS)]
    equal = [
        known_after(_drawn(one, one, number))
        for one in (often, never)
        for number in range(_REPETITIONS // 2)
    ]
    known = [pairs for pairs, verdict in better if verdict == "a"]
    right, wrong = len(known) / len(better), sum(v != "open" for _, v in equal) / len(equal)
    return {
        "holds": len(often) >= _PAIRS and right > 0.5 and wrong <= _MOST_WRONG,
        "device": processor().slug,
        "pairs_played": len(often),
        "minutes_a_pair": round(statistics.fmean(p.ms for p in evidence.pairs) / 60_000, 2),
        "gains": {"often": often, "never": never},
        "told_apart": round(right, 3),
        "told_wrong_way": round(sum(verdict == "b" for _, verdict in better) / len(better), 3),
        "pairs_until_known": _tenths(known),
        "equal_told_apart": round(wrong, 3),
    }


def _comparing(command: CommandSession) -> Comparing:
    text_file = program_file(command.task.name)
    often, never = (
        Contender(
            name=how,
            agents=("small",),
            texts=((text_file, f"Shorten the rows {how}.\n".encode()),),
            spends=True,
        )
        for how in _HOW_OFTEN
    )
    return Comparing(
        sides={"a": often, "b": never},
        task=command.task,
        folder=_TASK,
        block_s=_BLOCK_S,
        runs=_RUNS,
    )


def _answer(prompt: str, chance: random.Random) -> str:
    """Return the model's answer: shorter rows as often as its text says, else an idle edit."""
    often = next(share for how, share in _HOW_OFTEN.items() if f"rows {how}." in prompt)
    found = re.search(r"SEQUENCE = (\d+)", prompt)
    length = int(found[1]) if found else 0
    if length > _SHORTEST and chance.random() < often:
        return replacing(
            (f"SEQUENCE = {length} ", f"SEQUENCE = {length // 2} "), title="Shorter rows"
        )
    return idle_edit(prompt, chance)


def _drawn(ones: Sequence[int], others: Sequence[int], number: int) -> list[float]:
    """Return the differences of randomly drawn pairs of blocks."""
    chance = random.Random(f"{number}/{ones[:1]}")
    return [chance.choice(ones) - chance.choice(others) for _ in range(_MOST_PAIRS)]


def _tenths(counts: Sequence[int]) -> list[float]:
    """Return the 10th, 50th and 90th percentiles."""
    cuts = statistics.quantiles(counts, n=10, method="inclusive") if len(counts) > 1 else []
    return [round(cut, 1) for cut in cuts[::4]]
