"""The evaluators that a language model's manifest may name. Each is frozen, and owns its metric."""

from collections.abc import Mapping
from typing import Final

from trainer.language_model import lm_bpb_1
from trainer.language_model.evaluator import Evaluator

EVALUATORS: Final[Mapping[str, Evaluator]] = {one.EVALUATOR: one for one in (lm_bpb_1,)}
