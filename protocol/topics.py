"""Topics: which of a network's records a node hears, and reconciles, with whom.

    /arnode/<network>/<task>/<family>  results of its classes, their patches, intents, noise
    /arnode/<network>/<task>/news      what every node that works on the task reads
    /arnode/<network>/tasks            task records

<task> is the first 16 hex digits of its id, <family> one of `hardware.FAMILIES`. Which topics a
record belongs to follows from the record, with two exceptions that follow from the set: a patch
belongs where the results belong that name it, and records with one (author, seq) are news once
there are two of them. What is about no one task is news of every task: `common_news` is no topic
but that part of each of them.
"""

from collections.abc import Iterable
from typing import Any, Final

from protocol.body import Place
from protocol.hardware import ANY, FAMILIES, family_of
from protocol.record_kinds import PatchBody
from protocol.records import Record

MAX_TOPIC: Final = 128  # characters: the longest network and family leave room
_TASK_DIGITS = 16


def family_topic(net: str, task: bytes, family: str) -> str:
    """Return the topic of what one architecture family makes of a task."""
    return f"/arnode/{net}/{task.hex()[:_TASK_DIGITS]}/{family}"


def news_topic(net: str, task: bytes) -> str:
    """Return the topic of what every node that works on a task reads."""
    return f"/arnode/{net}/{task.hex()[:_TASK_DIGITS]}/news"


def tasks_topic(net: str) -> str:
    """Return the topic of task records."""
    return f"/arnode/{net}/tasks"


def common_news(net: str) -> str:
    """Return the name of the part that the news of all of a network's tasks share."""
    return f"/arnode/{net}/news"


def parts_of(topic: str) -> tuple[str, ...]:
    """Return the names whose records, together, are a topic's."""
    root, _, last = topic.rpartition("/")
    net, _, _task = root.rpartition("/")
    return (topic, f"{net}/news") if last == "news" else (topic,)


def is_of_tasks(topic: str) -> bool:
    """Tell whether a topic is a network's of task records."""
    return topic.endswith("/tasks")


def rank_of(topic: str) -> tuple[int, str]:
    """Return what sorts topics as they are best fetched: tasks, then news, then families' results.

    Boards read nothing of a task that is not known. What is news of a family's results is a part
    of either, and the smaller of them comes first.
    """
    if is_of_tasks(topic):
        return 0, topic
    return 1 if topic.endswith("/news") else 2, topic


def net_of(topic: str) -> str:
    """Return the name of the network that a topic is of."""
    return topic.split("/", 3)[2]


def belongs(record: Record, topic: str) -> bool:
    """Tell whether a record may be in a topic by itself.

    A patch may be in all of its task's: which results name it, it does not say. That halves of an
    equivocation are news as well does not follow from either of them.
    """
    if isinstance(record.body, PatchBody):
        root = news_topic(record.net, record.body.task).rpartition("/")[0]
        return topic.rpartition("/")[0] == root
    return not set(topics_of(record)).isdisjoint(parts_of(topic))


def topics_of(record: Record) -> tuple[str, ...]:
    """Return where a record belongs by itself: nowhere for a patch.

    Kinds that are not known belong to the common news, else they would reach nobody.
    """
    return tuple(_topic(place, record.net, record.body) for place in record.body.places)


def _topic(place: Place, net: str, body: Any) -> str:  # each place has what it needs of the body
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
    """Return the topics of a node: all tasks; of its own their news, its family, and `any`."""
    return _with_tasks(net, tasks, (family_of(hardware_class), ANY))


def all_subscriptions(net: str, tasks: Iterable[bytes]) -> tuple[str, ...]:
    """Return the topics of a bootstrap node: every family.

    Nodes do not forward what they do not subscribe to, so somebody has to.
    """
    return _with_tasks(net, tasks, FAMILIES)


def _with_tasks(net: str, tasks: Iterable[bytes], families: Iterable[str]) -> tuple[str, ...]:
    kinds = tuple(dict.fromkeys(families))
    topics = [tasks_topic(net)]
    for task in sorted(set(tasks)):
        topics.append(news_topic(net, task))
        topics += [family_topic(net, task, family) for family in kinds]
    return tuple(topics)
