"""What was tried and what came of it, by this node and by others, in as much room as there is.

Half of the room is the table's of all experiments, and what the rest leaves. The rest shares the
other half by rank: sums, failures, code of what was kept or came close, peers' figures, own
conclusions, which constants matter, sums by kind, intents, more code, peers' reports, and last
peers' own words, the least promising first out. Everything that somebody else could have written
stands inside the fence.
"""

from agent.model.facts import known_names
from agent.model.others_work import OthersWork
from agent.model.own_work import OwnWork
from agent.model.quoting import Fence
from agent.model.sections import GAP, fitting
from agent.model.table import Table, Teller
from agent.proposal import Context


def digest(context: Context, fence: Fence, *, limit_chars: int) -> dict[str, str]:
    """Return the sections by name, in the order that they are read in, within `limit_chars`.

    Gaps between them count; only those are there that say something.
    """
    known = known_names(context.source)
    teller = Teller(known=known, shows_unverified=context.show_unverified_words)
    own = OwnWork(context=context, teller=teller, fence=fence)
    metric = context.brief.metric if context.brief else "metric"
    table = Table(context.history, teller, fence, metric=metric)
    theirs = OthersWork(context=context, known=known, fence=fence).sections()
    standing = own.standing()
    others = [standing, *own.code_and_failures(), *theirs, *own.lessons()]
    wanted = sum(len(one.text) + len(GAP) for one in others if one.rows)
    first = table.within(max(limit_chars // 2, limit_chars - wanted) - len(GAP))
    shown = fitting(others, limit_chars - len(first) - len(GAP))
    left = limit_chars - sum(len(text) + len(GAP) for text in shown.values())
    told = {standing.name: shown.pop(standing.name, ""), "table": table.within(left - len(GAP))}
    return {name: text for name, text in {**told, **shown}.items() if text}
