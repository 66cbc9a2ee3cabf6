"""The arrays of a language-model task, each with its shape.

    rows        how many pieces of text are scored; context: how many tokens are predicted in each
    vocabulary  how many tokens there are; k: how many positions an audit looks at

Log-probabilities are natural logarithms.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Tokens: TypeAlias = NDArray[np.uint16]  # [tokens]
TokenRows: TypeAlias = NDArray[np.uint16]  # [rows, context + 1]: inputs, and targets one later
Inputs: TypeAlias = NDArray[np.uint16]  # [rows, context]: all but the last token of a row
ByteCounts: TypeAlias = NDArray[np.int64]  # [vocabulary]: a token's length, 0 for BOS
RowNumbers: TypeAlias = NDArray[np.int64]  # [rows]: which rows
RowMarks: TypeAlias = NDArray[np.bool_]  # [rows]: whether something holds of each

LogProbs: TypeAlias = NDArray[np.float32]  # [rows, context]: of each target
Logits: TypeAlias = NDArray[np.float32]  # [k, vocabulary]
Positions: TypeAlias = NDArray[np.int64]  # [k, 2]: row and time
Targets: TypeAlias = NDArray[np.uint16]  # [k]: the token at each position
ClaimedAt: TypeAlias = NDArray[np.float32]  # [k]: claimed log-probabilities of the targets
AuditedAt: TypeAlias = NDArray[np.float64]  # [k]: audited log-probabilities of the targets
