"""Hostile programs, each against a small honest task, and what must come of each.

`candidates/*.txt` is attack code, kept from linters by its name; `preamble.txt` stands before each.
A task is one of six: a function that is called, one that meets instances in a batch, a command, a
command that may start processes, one whose instance and answer are files, and one that is built.
Each says ESCAPED if it reached what it must not.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from protocol.runs import Status

CANDIDATES = Path(__file__).parent / "candidates"
Kind = Literal["called", "batch", "command", "processes", "file", "built"]


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """A hostile program and how its run may end; `ok` is never better than the honest one's.

    `says` must be in the reason, unless it was an instance of the secret split that ended it.
    `hangs`: what it is about is a limit of time. `is_as_good`: what ends well is the honest answer.
    """

    name: str
    ends: tuple[Status, ...] = ("ok",)
    says: str = ""
    kind: Kind = "called"
    hangs: bool = False
    is_as_good: bool = True

    @property
    def text(self) -> str:
        """The source without its preamble."""
        return (CANDIDATES / f"{self.name}.txt").read_text()


def _honest(*names: str, kind: Kind = "called") -> tuple[Hostile, ...]:
    """Return the programs whose attempts fail, so that they answer honestly."""
    return tuple(Hostile(name=name, kind=kind) for name in names)


def _ended(
    status: Status, says: str, *names: str, kind: Kind = "called", hangs: bool = False
) -> tuple[Hostile, ...]:
    """Return those that end alike."""
    return tuple(
        Hostile(name=name, ends=(status,), says=says, kind=kind, hangs=hangs) for name in names
    )


_WRONG = "is answered wrong"
_NO_END = "the judge did not finish checking it"
_OVER = "took more than 1 s"

HOSTILE: tuple[Hostile, ...] = (
    # Answers that are none
    *_ended("crash", "ValueError", "nan_shares", "infinite"),
    *_ended("rejected", "not a JSON number", "nan_by_hand"),
    *_ended("rejected", "not finite", "overflow"),
    *_ended("crash", "TypeError", "lazy_generator"),
    *_ended("crash", "", "nothing_done", "nothing_done_at_once"),
    *_ended("rejected", _WRONG, "nothing_answered", "far_beyond", "negative", "lazy_answer"),
    *_ended("rejected", _WRONG, "more_than_there_are", "truth_values", "other_instance"),
    *_ended("rejected", _WRONG, "deep_json", "a_million_digits", "patched_modules"),
    *_ended("rejected", "a frame of", "huge_answer", "forged_frame_huge"),
    # What it says of itself
    *_honest("reported_total", "printed_verdict", "every_descriptor"),
    Hostile(name="hair_beyond", is_as_good=False),
    # The channel
    *_ended("rejected", _WRONG, "forged_frame_before"),
    # Its process ends with that, before its memory is looked at or after.
    Hostile(name="swallowed_by_exec", ends=("rejected", "crash")),
    *_ended("rejected", "expected frame A", "forged_frame_of_a_judge"),
    *_honest("forged_frame_twice"),
    Hostile(name="thread_left_behind", ends=("ok", "rejected")),
    # What it must not know, keep or change
    *_ended("rejected", _WRONG, "mutated"),
    *_honest("guessed_seed", "left_notes", "shared_memory", "answer_keys", "reads_proc"),
    *_honest("patched_clock", "network", "writes_outside", "starts_processes", "kills_parents"),
    # What it must not take
    *_ended("timeout", _OVER, "sleeps_to_the_limit", "spins_to_the_limit", hangs=True),
    *_ended("timeout", _OVER, "hangs_at_import", "sleeps_behind_a_patched_clock", hangs=True),
    *_ended("crash", "more output than allowed", "floods_output"),
    *_ended("oom", "of memory", "exhausts_memory", "exhausts_memory_at_import"),
    # The judge, which is a naive one
    *_ended("rejected", _NO_END, "regular_bomb", "checking_bomb", "takes_the_judge_over"),
    *_ended("rejected", "the judge ran out of memory", "memory_bomb"),
    # Functions that meet one instance after the other
    *_honest("batch_splits_apart", kind="batch"),
    *_ended("rejected", _WRONG, "batch_answers_again", "batch_answers_ahead", kind="batch"),
    *_ended("timeout", _OVER, "batch_sleeps_at_the_last", kind="batch", hangs=True),
    *_ended("crash", "in instance 2", "batch_ends_at_the_last", kind="batch"),
    # Commands
    *_ended("rejected", _WRONG, "run_other_descriptors", "run_nothing", kind="command"),
    *_ended("rejected", _WRONG, "run_two_answers", "run_printed_verdict", kind="command"),
    *_ended("crash", "", "run_bad_end", "run_killed_by_itself", kind="command"),
    *_ended("rejected", "larger than allowed", "run_floods", kind="command"),
    *_ended("crash", "more output than allowed", "run_floods_its_log", kind="command"),
    *_ended("timeout", _OVER, "run_closes_and_stays", kind="command", hangs=True),
    *_honest("run_reads_again", kind="command"),
    # Commands that may start processes
    *_ended(
        "crash", "", "children_kill_their_parent", "children_forge_what_they_used", kind="processes"
    ),
    *_honest("children_outlive", "children_hold_on", kind="processes"),
    *_honest("children_write_after_the_end", kind="processes"),
    # Commands with files for the instance and the answer
    *_ended("crash", "there is no answer", "file_link", "file_link_to_an_answer", kind="file"),
    *_ended("crash", "there is no answer", "file_none", "file_written_by_who_stays", kind="file"),
    *_ended("crash", "is not a plain file", "file_folder", kind="file"),
    *_ended("crash", "", "file_pipe", kind="file"),  # which not every tier lets it make
    *_ended("rejected", "larger than allowed", "file_huge", kind="file"),
    *_ended("rejected", _WRONG, "file_of_the_instance", kind="file"),
    *_honest("file_written_later", kind="file"),
    Hostile(name="file_swapped", ends=("ok", "crash"), kind="file"),
    # Builds
    *_honest("built_by_searching", "built_with_links", "built_by_forgery", kind="built"),
    *_honest("built_by_daemons", kind="built"),
    *_ended("rejected", "leads outside", "built_with_names", kind="built"),
    *_ended("crash", "more than 64 files", "built_of_many", kind="built"),
    *_ended("crash", "ended with exit code 1", "built_badly", kind="built"),
    *_ended("timeout", "the build took more than 2 s", "built_never", kind="built", hangs=True),
    Hostile(
        # Reading it may take longer than there is, on a machine that is busy.
        name="built_large",
        ends=("rejected", "oom", "timeout"),
        says="the build",
        kind="built",
    ),
)
