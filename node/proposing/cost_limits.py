"""The limits on what proposers and roles may cost, in words."""

from collections.abc import Sequence

from node.home.config import Config
from node.home.home import Home
from node.proposing.choice import Arm, ModelChoice, OwnChoice, ProgramChoice
from node.proposing.command import terms_of
from node.proposing.model import settings_for
from node.proposing.opening import Means
from node.proposing.roles import roles_at_work, words_of_roles


def cost_limits(home: Home, config: Config, arms: Sequence[Arm], means: Means) -> list[str]:
    """Return the limit on the costs of each proposer and role that can spend money.

    Raises ConfigurationError if one of them lacks its program or its key.
    """
    words: list[str] = []
    for arm in arms:
        own = arm.settings(config)
        match choice := arm.choice:
            case ProgramChoice():
                terms = terms_of(choice.name, own, home, env=means.environment)
                words.append(f"{arm.name}: {terms.words(config)}")
            case ModelChoice():
                settings_for(own, choice, means.keys)  # raises if it lacks its key
                limit = f"a day may cost {config.usd_per_day:g} USD (`usd_per_day`)"
                words.append(f"{arm.name}: {limit}")
            case OwnChoice():
                pass
    for role in roles_at_work(config, arms).values():
        settings_for(config, role, means.keys)
    return words + words_of_roles(config, arms)
