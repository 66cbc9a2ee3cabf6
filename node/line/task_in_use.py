"""Which task a machine works on when nobody says: what its NVIDIA card is for, once proven."""

from typing import Final

from node.home.home import Home
from trainer.cards.cards import probe_cards
from trainer.proving.proof import ProofConditions, remembered

AUTO: Final = "auto"  # the setting
STAND_IN: Final = "tiny"  # needs no card, and no data from elsewhere
OF_CARDS: Final = "nanochat"


def named_task(home: Home, name: str) -> str:
    """Return the task that a setting names; where that is `auto`, by what was proven here."""
    if name != AUTO:
        return name
    proofs = [
        remembered(ProofConditions.of(card.device), home.data) for card in probe_cards().cards
    ]
    return OF_CARDS if any(proof and proof.is_usable for proof in proofs) else STAND_IN
