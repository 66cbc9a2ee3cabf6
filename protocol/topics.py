"""Topics: the groups of records that nodes subscribe to, gossip and reconcile.

    /arnode/<network>/<task>/<family>  results of its classes, their patches, intents, noise
    /arnode/<network>/<task>/news      records for every node that works on the task
    /arnode/<network>/tasks            task records

<task> is the first 16 hex digits of the task's id, <family> one of `hardware.FAMILIES`. The topics
of a record depend on the record alone, with two exceptions. A patch belongs to the topics of the
results that name it. If two records have the same (author, seq), both are news. Records about no
single task are news of every task. `common_news` names this shared set; it is not a topic itself.
"""

from collections.abc import Iterable
from typing import Any, Final

from protocol.body import Place
from protocol.hardware import ANY, FAMILIES, family_of
from protocol.record_kinds import PatchBody
from protocol.records import Record

MAX_TOPIC: Final = 128  # characters; enough for the longest network and family
_TASK_DIGITS = 16


def family_topic(net: str, task: bytes, family: str) -> str:
    """Return the topic of one hardware family's results on a task."""
    return f"/arnode/{net}/{task.hex()[:_TASK_DIGITS]}/{family}"


def news_topic(net: str, task: bytes) -> str:
    """Return the topic that every node working on a task reads."""
    return f"/arnode/{net}/{task.hex()[:_TASK_DIGITS]}/news"


def tasks_topic(net: str) -> str:
    """Return the topic of task records."""
    return f"/arnode/{net}/tasks"


def common_news(net: str) -> str:
    """Return the name of the set of records that belong to the news of every task of a network."""
    return f"/arnode/{net}/news"


def parts_of(topic: str) -> tuple[str, ...]:
    """Return the names of the sets of records that together make up a topic."""
    root, _, last = topic.rpartition("/")
    net, _, _task = root.rpartition("/")
    return (topic, f"{net}/news") if last == "news" else (topic,)


def is_of_tasks(topic: str) -> bool:
    """Return True if a topic holds task records."""
    return topic.endswith("/tasks")


def rank_of(topic: str) -> tuple[int, str]:
    """Return a sort key for the best order to fetch topics: tasks, news, then families' results.

    Leaderboards need the task first. Some results are in both the news and a family's topic, and
    the news is smaller.
    """
    if is_of_tasks(topic):
        return 0, topic
    return 1 if topic.endswith("/news") else 2, topic


def net_of(topic: str) -> str:
    """Return the name of a topic's network."""
    return topic.split("/", 3)[2]


def belongs(record: Record, topic: str) -> bool:
    """Return True if a record, looked at alone, may be in a topic.

    A patch may be in any topic of its task, because it does not say which results name it. The two
    halves of an equivocation are news as well, but neither half shows that alone.
    """
    if isinstance(record.body, PatchBody):
        root = news_topic(record.net, record.body.task).rpartition("/")[0]
        return topic.rpartition("/")[0] == root
    return not set(topics_of(record)).isdisjoint(parts_of(topic))


def topics_of(record: Record) -> tuple[str, ...]:
    """Return the topics of a record, looked at alone; a patch has none.

    Unknown kinds belong to the common news, because otherwise they would reach nobody.
    """
    return tuple(_topic(place, record.net, record.body) for place in record.body.places)


def _topic(place: Place, net: str, body: Any) -> str:  # bodies with a place have its fields
    match place:
        case "tasks":
            return tasks_topic(net)
        case "family":
            return family_topic(net, body.task, family_of(body.hardware_class))
        case "news":
            return news_topic(net, body.task)
        case "everybody":
            return common_news(net)


def subscriptions(net: str, tasks: Iterable[bytes], hardware_class: str) -> tuple[str, ...]:
    """Return a node's topics: all task records, and news, its family and `any` of its own tasks."""
    return _with_tasks(net, tasks, (family_of(hardware_class), ANY))


def all_subscriptions(net: str, tasks: Iterable[bytes]) -> tuple[str, ...]:
    """Return the topics of a bootstrap node: those of every family.

    Nodes forward only topics that they subscribe to, so bootstrap nodes subscribe to all.
    """
    return _with_tasks(net, tasks, FAMILIES)


def _with_tasks(net: str, tasks: Iterable[bytes], families: Iterable[str]) -> tuple[str, ...]:
    kinds = tuple(dict.fromkeys(families))
    topics = [tasks_topic(net)]
    for task in sorted(set(tasks)):
        topics.append(news_topic(net, task))
        topics += [family_topic(net, task, family) for family in kinds]
    return tuple(topics)
