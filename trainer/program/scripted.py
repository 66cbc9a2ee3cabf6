"""A task's script that replaces a language model: `answer(messages, seed) -> str`.

It is deterministic and part of the task, so a run gives the same result on every machine, without
an API key. It runs in a sandbox like a judge, in one fork for each question. Its only arguments are
the chat and a seed that no candidate can know in advance. A token is four bytes; a text's number of
tokens is rounded up.
"""

import json
from typing import Final

from trainer.measuring.host_load import LaneWork
from trainer.measuring.models import ModelAnswer, ModelFault, ModelOutcome, ModelQuestion
from trainer.program.harness.files import File
from trainer.program.harness.tags import REPLY, SAY
from trainer.program.loaded import LoadedFile
from trainer.program.manifest import SCRIPT
from trainer.sandbox.frames import ForgedFrame, SandboxEnded

TOKEN_BYTES: Final = 4
_MOST_BYTES: Final = 1 << 20  # of an answer


class Scripted:
    """One lane's script. Implements `trainer.measuring.models.Models`."""

    def __init__(self, task: str, script: bytes, *, work: LaneWork) -> None:
        files = [File(path=SCRIPT, data=script)]
        self._loaded = LoadedFile(f"task {task}: its script", files, {}, work=work)

    async def ask(self, question: ModelQuestion) -> ModelOutcome:
        """Return the script's answer. Raises ConfigurationError if it cannot be loaded."""
        messages = [{"role": one.role, "content": one.content} for one in question.messages]
        question_bytes = json.dumps({"messages": messages, "seed": question.seed}).encode()
        try:
            async with self._loaded.asked() as frames, self._loaded.in_time():
                await frames.send(SAY, question_bytes)
                _, said = await frames.receive_one({REPLY: _MOST_BYTES})
        except (SandboxEnded, ForgedFrame, TimeoutError):
            return ModelFault(
                detail="the task's script did not answer this question", is_askers=True
            )
        kept = said[: TOKEN_BYTES * question.most_tokens]
        return ModelAnswer(
            text=kept.decode("utf-8", "ignore"),
            tokens_in=sum(tokens_of(one.content.encode()) for one in question.messages),
            tokens_out=tokens_of(kept),
            is_cut=len(kept) < len(said),
        )

    async def close(self) -> None:
        """End its sandbox."""
        await self._loaded.close()


def tokens_of(text: bytes) -> int:
    """Return the number of tokens of a text."""
    return -(-len(text) // TOKEN_BYTES)
