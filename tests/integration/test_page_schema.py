"""The API of a real node against its own description, with whatever may and may not be asked."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.integration.nodes import TASK_FLAGS, answered, running_node

# What would end the node, or leave it paused for the rest of the test.
_LEFT_OUT = {"post_stop", "post_pause"}


@pytest.fixture(scope="module")
def api(
    make_home: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """The address of a node that works, and a token that steers it."""
    home = make_home(tmp_path_factory.mktemp("schema") / "home")
    with running_node(home, "--web", "auto", task=TASK_FLAGS) as node:
        node.wait_for("baseline")
        opened = json.loads(answered(home, "view", "--no-browser", "--json").stdout)
        token = answered(home, "view", "--token", "steer").stdout.strip()
        yield opened["address"].rstrip("/"), token
        node.interrupt()
        node.end()


@pytest.mark.parametrize("examples", [4, pytest.param(40, marks=pytest.mark.soak)])
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_no_request_makes_it_fail_and_every_answer_is_as_described(
    api: tuple[str, str], mode: GenerationMode, examples: int
) -> None:
    address, token = api
    with urlopen(f"{address}/api/v1/openapi.json") as answer:  # noqa: S310 (our own node)
        described = json.load(answer)
    schema = schemathesis.openapi.from_dict(described)
    schema.config.update(base_url=address)
    # A text that is too long may make the body too long as well.
    refusals = schema.config.checks.negative_data_rejection
    refusals.expected_statuses = [*refusals.expected_statuses, "413"]
    asked = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.definition.raw["operationId"] in _LEFT_OUT:
            continue

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: schemathesis.Case) -> None:
            nonlocal asked
            asked += 1
            # What is of the right shape may make no sense as things are: a day to come, say.
            case.call_and_validate(
                headers={"Authorization": f"Bearer {token}"},
                excluded_checks=[positive_data_acceptance],
            )

        ask()
    assert asked > 100
