"""What it takes to be kept on a working line, in words for whoever proposes."""

from protocol.rule import Policy


def kept_if(policy: Policy, *, base: str) -> str:
    """Return when a change is kept, as the end of a sentence; `base` is what it is beside."""
    rechecks_sd = policy.rechecks_sd
    if not rechecks_sd:
        return f"its one run is better than {base}, as nothing scatters here"
    screen = f"one run is at least {policy.screen_sd:g} sd better than {base}"
    if len(rechecks_sd) == 1:
        return f"{screen} and a second run with a fresh seed at least {rechecks_sd[0]:g} sd"
    *before, last = (f"{needed_sd:g}" for needed_sd in rechecks_sd)
    return (
        f"{screen} and up to {len(rechecks_sd)} runs with fresh seeds are, on average of those so "
        f"far, at least {', '.join(before)} and {last} sd better; two suffice that are each "
        f"{policy.plain_sd:g} sd better"
    )
