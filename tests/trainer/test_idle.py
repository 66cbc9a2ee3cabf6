"""A node that waits for a quiet machine starts after a minute with little other load."""

import itertools
import time

from trainer.measuring.host_load import IDLE_S, LOOKED_S, Idle

TICKS_S = 0.5  # the kernel counts processor time in ticks of 10 ms: an interval has many


class Machine:
    """The load of other programs, and a clock."""

    def __init__(self) -> None:
        self.now_s, self.share, self.looks, self.is_gaming = 0.0, 0.0, 0, False

    def others(self) -> float:
        self.looks += 1
        return self.share

    def clock(self) -> float:
        return self.now_s


def test_a_minute_must_pass_without_others() -> None:
    machine = Machine()
    idle = Idle(others=machine.others, clock=machine.clock)
    assert not idle.is_idle()
    for machine.now_s in itertools.takewhile(lambda at: at < IDLE_S, itertools.count(0, 1.0)):
        assert not idle.is_idle()
    machine.now_s = IDLE_S
    assert idle.is_idle()
    machine.share, machine.now_s = 0.3, IDLE_S + LOOKED_S
    assert not idle.is_idle()
    machine.share, machine.now_s = 0.05, IDLE_S + 2 * LOOKED_S
    assert not idle.is_idle()
    machine.now_s = 2 * IDLE_S + LOOKED_S
    assert idle.is_idle()


def test_others_on_the_card_are_others_too() -> None:
    machine = Machine()
    idle = Idle(others=machine.others, is_card_used=lambda: machine.is_gaming, clock=machine.clock)
    machine.now_s = IDLE_S
    assert idle.is_idle()
    machine.is_gaming, machine.now_s = True, IDLE_S + LOOKED_S
    assert not idle.is_idle()
    machine.is_gaming, machine.now_s = False, 2 * IDLE_S
    assert not idle.is_idle()
    machine.now_s = 2 * IDLE_S + LOOKED_S
    assert idle.is_idle()


def test_the_card_is_asked_also_while_the_processors_are_busy() -> None:
    """The card reports the load since the last request."""
    machine, asked = Machine(), []
    machine.share = 0.5

    def is_card_used() -> bool:
        asked.append(machine.now_s)
        return False

    idle = Idle(others=machine.others, is_card_used=is_card_used, clock=machine.clock)
    machine.now_s = LOOKED_S
    assert not idle.is_idle()
    assert asked == [LOOKED_S]


def test_it_does_not_look_more_often_than_it_must() -> None:
    machine = Machine()
    idle = Idle(others=machine.others, clock=machine.clock)
    for machine.now_s in range(int(2 * LOOKED_S)):
        idle.is_idle()
        idle.is_idle()
    assert machine.looks == 1


def test_this_machine_can_be_looked_at() -> None:
    seconds = itertools.count(0.0, LOOKED_S)
    idle = Idle(clock=seconds.__next__)
    assert not idle.is_idle()
    time.sleep(TICKS_S)
    assert 0 <= idle._load.share() <= 1.5
