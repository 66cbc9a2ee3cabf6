"""`start` prints the limits on costs only if all proposers have what they need."""

import pytest

from node.home.config import Config
from node.home.home import Home
from node.proposing.choice import arms_of
from node.proposing.cost_limits import cost_limits
from node.proposing.opening import take_means
from protocol.errors import ConfigurationError


@pytest.mark.parametrize(
    "config",
    [
        Config(agent=("openai/gpt-5",)),
        Config(agent=("openai",)),
        Config(agent=("ollama:llama3",), planner="openai/gpt-5"),
    ],
)
def test_a_model_without_its_key_is_refused_before_any_limit_is_printed(
    home: Home, config: Config
) -> None:
    with pytest.raises(ConfigurationError, match=r"needs an API key|provider .* is unknown"):
        cost_limits(home, config, arms_of(config), take_means({}, config))


def test_the_limits_of_models_and_roles_are_printed(home: Home) -> None:
    config = Config(agent=("openai/gpt-5",), planner="openai/gpt-5-mini")
    means = take_means({"OPENAI_API_KEY": "sk-1"}, config)
    limit = "a day may cost 5 USD (`usd_per_day`)"
    assert cost_limits(home, config, arms_of(config), means) == [
        f"openai/gpt-5: {limit}",
        f"planner openai/gpt-5-mini: {limit}",
    ]
