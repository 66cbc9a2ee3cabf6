"""The proving run: a part begins with it where none is kept of this card, driver and torch."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from tools.gpu.card import Machine
from tools.gpu.measuring import Report
from tools.gpu.progress import say
from trainer.host.device import Device


def proven_device(machine: Machine, report: Report, home: Path) -> Device:
    """Return the device, told what its proving run decided; the report is kept in `home`.

    NVML is asked through `nvidia-ml-py`, which not every machine that is lent has.
    """
    if find_spec("pynvml") is None:
        report.skipped.append("the proving run: the package nvidia-ml-py is not here")
        return machine.device
    from trainer.cards.cards import probe_cards
    from trainer.proving.machine import (
        REPORT,
        devices_to_prove,
        on_processor,
        prove_all,
        write_report,
    )
    from trainer.proving.proof import Setting, keep, remembered

    wanted = devices_to_prove(probe_cards()) if machine.is_card else [on_processor()]
    if not wanted:
        report.skipped.append("the proving run: NVML does not tell of the card that torch has")
        return machine.device
    device, card = wanted[0]
    proof = remembered(Setting.of(device), home)
    if proof is None:
        proofs = prove_all([(device, card)], say=say)
        write_report(proofs, home / REPORT)
        proof = proofs[0][0]
        keep(proof, home)
    report.figures["proving"] = proof.report(card)
    return replace(machine.device, told=proof.told)
