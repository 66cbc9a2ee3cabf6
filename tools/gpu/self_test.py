"""The card's self-test: a part starts with it unless a report for card, driver and torch exists."""

from dataclasses import replace
from pathlib import Path

from tools.gpu.card import Machine
from tools.gpu.measuring import Report
from tools.gpu.progress import say
from trainer.card_selftest import machine as selftest
from trainer.card_selftest.report import SelfTestConditions, load_report, save_report
from trainer.cards.cards import probe_cards
from trainer.host.device import Device


def self_tested_device(machine: Machine, report: Report, home: Path) -> Device:
    """Return the device with the choices of its self-test; the report is stored in `home`."""
    is_card = machine.is_card
    wanted = selftest.devices_to_test(probe_cards()) if is_card else [selftest.on_processor()]
    if not wanted:
        report.skipped.append("the proving run: NVML does not tell of the card that torch has")
        return machine.device
    device, card = wanted[0]
    result = load_report(SelfTestConditions.of(device), home)
    if result is None:
        results = selftest.run_selftests([(device, card)], say=say)
        selftest.write_report(results, home / selftest.REPORT)
        result = results[0][0]
        save_report(result, home)
    report.figures["proving"] = result.document(card)
    return replace(machine.device, script_settings=result.script_settings)
