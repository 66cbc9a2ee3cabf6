"""The prompt of a coding agent fits into an argument of its program."""

from agent.proposal import NoProposal
from node.proposing import opening
from node.proposing.opening import _ARGUMENT_BYTES as MOST_BYTES

LONG, SHORT = "ж" * MOST_BYTES, "ж" * (MOST_BYTES // 2)


def test_of_prompts_the_first_is_taken_that_fits_into_an_argument() -> None:
    assert opening._fitting(["a" * MOST_BYTES, SHORT]) == "a" * MOST_BYTES
    assert opening._fitting([LONG, SHORT]) == SHORT
    nothing = NoProposal(reason="the task has no description", retry_s=1.0)
    assert opening._fitting([LONG, nothing]) == nothing


def test_where_none_fits_it_is_said_how_long_the_shortest_is() -> None:
    found = opening._fitting([LONG + SHORT, LONG])
    assert isinstance(found, NoProposal)
    assert f"has {2 * MOST_BYTES} bytes" in found.reason
    assert f"a command-line argument may have at most {MOST_BYTES}" in found.reason
