"""The API of a real node against its own description, with whatever may and may not be asked."""

import json
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit
from urllib.request import urlopen

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.core.failures import AcceptedNegativeData, FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.integration.nodes import TASK_FLAGS, UNHURRIED_FLAGS, answered, running_node

# What would end the node, or leave it paused for the rest of the test.
_LEFT_OUT = {"post_stop", "post_pause"}


@pytest.fixture(
    scope="module",
    params=[(UNHURRIED_FLAGS, 3), pytest.param((TASK_FLAGS, 40), marks=pytest.mark.soak)],
    ids=["program", "language model"],
)
def api(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[tuple[str, str, int]]:
    """The address of a node that works, a token that steers it, and how many examples to ask."""
    task, examples = request.param
    home = tmp_path_factory.mktemp("schema") / "home"
    with running_node(home, "--web", "auto", task=task) as node:
        node.wait_for("baseline")
        opened = json.loads(answered(home, "view", "--no-browser", "--json").stdout)
        token = answered(home, "view", "--token", "steer").stdout.strip()
        yield opened["address"].rstrip("/"), token, examples
        code = node.process.poll()
        assert code is None, f"it ended ({code}): {node.all_said()}"
        node.interrupt()
        node.end()


def is_lost(fault: FailureGroup, case: schemathesis.Case, url: str) -> bool:
    """Return whether the only fault is an extra parameter whose value is not in the URL."""
    parameters = case.operation.definition.raw.get("parameters", ())
    sent = {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
    is_more = all(
        isinstance(one, AcceptedNegativeData) and "additionalProperties" in str(one)
        for one in fault.exceptions
    )
    return is_more and sent <= {one["name"] for one in parameters if one["in"] == "query"}


@pytest.mark.parametrize(
    "mode",
    [
        GenerationMode.POSITIVE,
        pytest.param(GenerationMode.NEGATIVE, marks=pytest.mark.soak),
    ],
)
def test_no_request_makes_it_fail_and_every_answer_is_as_described(
    api: tuple[str, str, int], mode: GenerationMode
) -> None:
    address, token, examples = api
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
            response = case.call(headers={"Authorization": f"Bearer {token}"})
            try:
                # What is of the right shape may make no sense as things are: a day to come, say.
                case.validate_response(response, excluded_checks=[positive_data_acceptance])
            except FailureGroup as fault:
                if not is_lost(fault, case, str(response.request.url)):
                    raise

        ask()
    assert asked > 100
