"""A model with scripted answers, and a node's check of a proposal, without a child process."""

from collections.abc import Sequence

from agent.completion import CompletionFault, CompletionRequest, ModelCompletion, ModelCost
from agent.model.asking import QuestionLimits
from agent.model.proposer import ModelProposer
from agent.source.allow_lists import LANGUAGE_MODEL
from agent.source.capabilities import Checked
from agent.source.inspector import InspectionRequest
from agent.source.inspector import answer as inspected
from protocol.hygiene import check_source
from protocol.source import Source
from tests.agent.contexts import SECRET, TINY

LIMITS = QuestionLimits(prompt_chars=60_000, answer_tokens=4_000, timeout_s=60.0)
SPENT = ModelCost(calls=1, tokens_in=100, tokens_out=7, usd_nano=3)


class Model:
    """A model that gives its answers in turn and records requests; a text counts as 7 tokens."""

    def __init__(self, *answers: str | ModelCompletion | CompletionFault) -> None:
        self._answers = list(answers)
        self.asked: list[CompletionRequest] = []

    async def __call__(self, question: CompletionRequest) -> ModelCompletion | CompletionFault:
        self.asked.append(question)
        said = self._answers.pop(0)
        if isinstance(said, str):
            return ModelCompletion(text=said, is_cut=False, cost=SPENT)
        return said

    @property
    def last_message(self) -> str:
        """The last message that the model received."""
        return self.asked[-1].messages[-1].content


async def check(source: Source) -> Checked:
    """Return the findings of hygiene and inspector for a version of the tiny task."""
    rejected = check_source(source, editable=["train.py"], baseline=TINY, max_growth_bytes=8192)
    if rejected is not None:
        return Checked(fingerprint=None, fault=rejected.reason)
    found = inspected(InspectionRequest(kind=LANGUAGE_MODEL, tree=source, baseline=TINY, base=None))
    return Checked(fingerprint=found.fingerprint, marks=found.marks)


def proposer(model: Model, limits: QuestionLimits = LIMITS) -> ModelProposer:
    return ModelProposer(model, model="some/model", limits=limits, check=check, secret=SECRET)


def replacing(
    *pairs: tuple[str, str],
    title: str = "Deeper",
    why: str = "It holds more.",
    path: str = "train.py",
) -> str:
    """Return an answer in the requested format."""
    return "\n".join([f"TITLE: {title}", f"WHY: {why}", *_blocks(pairs, path)])


def _blocks(pairs: Sequence[tuple[str, str]], path: str) -> list[str]:
    return [
        f"{path}\n<<<<<<< SEARCH\n{search}\n=======\n{replacement}\n>>>>>>> REPLACE"
        for search, replacement in pairs
    ]
