"""The text that reading commands print for people; scripts use `--json`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from node.home.consent import joining_words
from node.reporting.company import company_words
from node.reporting.status import DECISIONS, VERDICTS
from node.terminal.terminal import NO_BREAK, say
from node.terminal.vocabulary import (
    counted,
    gap_words,
    head_words,
    is_judged,
    many,
    mean_text,
    reused_words,
    why_unranked,
    word,
)
from protocol.codecs import plain

_VALUES = 17  # the column of the values of a line of research
_INTENTS = 3
_REACH = {"direct": ", reached from outside", "relay": ", reached through a relay", "unknown": ""}


def print_status(document: Mapping[str, Any], *, online: bool | None = None) -> None:
    """Print the status document as text; `online` is the setting of that name."""
    node = document["node"]
    state = "running" if document["running"] else "not running"
    if document["paused"]:
        state = "paused (`arnode resume` continues)"
    author = (node["author"] or "")[:12] or "no key yet"
    sandbox = f"sandbox tier {document['sandbox']}".replace(" ", NO_BREAK)
    parts = state, plain(node["name"]), f"author {author}".replace(" ", NO_BREAK), sandbox
    say("  ".join(filter(None, parts)))
    if (number := node["reused"]) is not None:
        say(f"{reused_words(number)}: see `arnode doctor`")
    if self_test := document["self_test"]:
        say(plain(self_test["stage"]))
    if network := document["network"]["name"]:
        count = document["network"]["peers"]
        reach = _REACH[document["network"]["reach"]]
        say(f"network {network}, {count} {'peer' if count == 1 else 'peers'}{reach}")
        if lost := document["network"]["lost_messages"]:
            summary = many(lost, "message", "messages")
            say(f"  {summary} arrived too fast to be read; they are fetched again")
        if dht := document["network"]["dht"]:
            say(f"  {dht_words(dht)}")
        for known in document["network"]["lists"]:
            say(f"  {list_words(known)}")
    else:
        network = document["network"]["in_use"]
        say(_offline_words(network, online, is_running=document["running"]))
    cost = document["cost"]
    if calls := cost["calls_today"]:
        asked = f"{calls} {'question' if calls == 1 else 'questions'}"
        tokens, usd = cost["tokens_today"], cost["usd_today"]
        say(f"models today (UTC): {asked}, {tokens} tokens, {usd:.4f} USD")
    if not document["lines"]:
        next_step = "" if document["running"] else ": `arnode start`"
        say(f"nothing has been measured here yet{next_step}")
    for line in document["lines"]:
        _print_line(line)
    if lanes := document["remote_lanes"]:
        print_lanes(lanes)


def parting_words(line: Mapping[str, Any] | None, again: str) -> str:
    """Return the last text of a session: the verified head, unverified patches, how to resume.

    `line` is the `line_document` of the session's line, None if nothing was measured. `again` is
    the command that resumes; it stays on one line.
    """
    head = line["head"]["metric"] if line else None
    if line is None or head is None:
        summary = "nothing was measured yet"
    elif (baseline := line["baseline"]) == head:
        summary = "still the baseline"
    else:
        verified = "verified" if is_judged(line["scoring"]) else "measured"
        before = "" if baseline is None else f"{baseline:.4f} → "
        summary = f"{before}{head:.4f} {verified}"
    if line and (keeps := line["working"]["keeps"]):
        summary += f", {many(keeps, 'patch', 'patches')} not verified yet"
        if (working := line["working"]["metric"]) is not None:
            summary += f" ({working:.4f})"
    command = plain(again).replace(" ", NO_BREAK)
    return f"stopped: {summary}. Resume:{NO_BREAK}{command}"


def print_lanes(lanes: Sequence[Mapping[str, Any]]) -> None:
    """Print the state of remote lanes: open lanes counted by machine, other lanes one by one."""
    count = Counter(lane["machine"] for lane in lanes if lane["stage"] == "open")
    there = ", ".join(f"{plain(machine)} ({many})" for machine, many in sorted(count.items()))
    say(f"\n{sum(count.values())} of {len(lanes)} lanes are open: {there or 'none'}")
    for lane in lanes:
        if lane["stage"] != "open":
            summary = f"{lane['stage']}: {lane['fault']}" if lane["fault"] else lane["stage"]
            say(f"  lane {lane['lane']}  {plain(summary)}")


def dht_words(dht: Mapping[str, Any]) -> str:
    """Return a short text on the last DHT lookup."""
    if dht["last"] is None:
        return "searching for nodes in the DHT"
    if dht["fault"] is not None:
        return f"cannot reach the DHT: {plain(dht['fault'])}"
    if not dht["answered"]:
        return "no server of the DHT answered"
    known = f"{dht['announced']} of {dht['answered']} servers know this node"
    if not dht["announced"]:
        known = f"{dht['answered']} servers answered; this node has no public address"
    found = "no node" if not dht["found"] else many(dht["found"], "node")
    return f"DHT: {found} found, {known}"


def list_words(known: Mapping[str, Any]) -> str:
    """Return a short text on a signed list of addresses."""
    summary = "not read yet"
    if (written_s := known["written"]) is not None:
        at = datetime.fromtimestamp(written_s, UTC)
        summary = f"{many(known['addresses'], 'address', 'addresses')} of {at:%Y-%m-%d %H:%M} UTC"
    fault = "" if known["fault"] is None else f"; last attempt: {known['fault']}"
    return plain(f"list {known['place']}: {summary}{fault}")


def _offline_words(network: str, online: bool | None, *, is_running: bool) -> str:
    """Describe a node that is connected to no network; `online` is the setting."""
    state = f"network {network}, not connected"
    if is_running:  # maybe by a flag of its start; while it runs, no other start can change it
        return f"{state}: `arnode home logs` has the reason"
    if online:
        return state
    why = "" if online is None else " (`online = false`)"
    return f"{state}{why}; {joining_words(network)}"


def print_peers(document: Mapping[str, Any]) -> None:
    """Print the peers document, one row per peer."""
    if document["network"] is None:
        say(
            "this node is not connected to a network: `arnode home logs` has the reason; "
            "`arnode stop`, then `arnode start --network NAME --yes` joins one that "
            "`arnode network show` lists"
        )
        return
    for peer in document["peers"]:
        latency = "–" if peer["latency_ms"] is None else f"{peer['latency_ms']:.0f} ms"
        relay = "" if peer["direct"] else "  through a relay"
        if peer["author"] is None:
            known = "its profile, with name and author, has not arrived yet"
        else:
            classes = ", ".join(peer["classes"]) or "–"
            known = f"{plain(peer['name'])}  author {peer['author'][:12]}  {peer['trust']}"
            known = f"{known}  {classes}  {peer['records']} records"
        say(f"{peer['peer']}  {known}  {latency}{relay}")
    if not document["peers"]:
        say(f"network {document['network']}: no peers are connected yet")


def _print_line(line: Mapping[str, Any]) -> None:
    head, counts, verified = line["head"], line["experiments"], line["verification"]
    metric = "–" if head["metric"] is None else f"{head['metric']:.6f}"
    lanes = f", {count} lanes" if (count := line["lanes"]) > 1 else ""
    say(f"\n{plain(line['task']['name'])} on {line['class']}{lanes}")
    scoring = line["scoring"]
    if (why := why_unranked(scoring)) is not None:
        say(f"  {why}")
    runs = mean_text(head["runs"], head["metric_sd"])
    recheck_pending = f", {word('recheck_pending')}" if head["recheck_pending"] else ""
    called = head_words(scoring)
    if (baseline := line["baseline"]) is not None:
        say(f"  baseline       {'':12}  {baseline:.6f}", hang=_VALUES)
    say(f"  {called}  {head['tree'][:12]}  {metric} ({runs}){recheck_pending}", hang=_VALUES)
    if (known := line["best_known"]) is not None and line["gap"] is not None:
        say(f"  best known     {'':12}  {known:.6f}  {gap_words(line['gap'])}", hang=_VALUES)
    working = line["working"]
    level = "" if working["metric"] is None else f"{working['metric']:.6f}  "
    say(f"  working line   {working['tree'][:12]}  {level}{_on_top(working)}", hang=_VALUES)
    say(f"  experiments    {counts['total']}: {counted(counts, DECISIONS)}", hang=_VALUES)
    say(f"  verification   {counted(verified, VERDICTS)}", hang=_VALUES)
    if company := company_words(line["company"]):
        say(f"  other nodes    {', '.join(company)}", hang=_VALUES)
    for intent in line["intents"][:_INTENTS]:
        say(f"  peers try      {plain(intent['title'])} ({intent['author'][:12]})", hang=_VALUES)
    if now := line["now"]:
        at_work = f": {plain(now['title'])}" if now["title"] else ""
        pausing = ", then a pause" if now["title"] and now["paused"] else ""
        say(f"  now            {plain(now['stage'])}{at_work}{pausing}", hang=_VALUES)
        share = f", candidates running {line['counted_share']:.0%} of the time"
        say(f"  pace           {line['per_hour']:.0f} runs an hour{share}", hang=_VALUES)
    if waiting := line["proposals_waiting"]:
        verb = "waits" if waiting == 1 else "wait"
        wait = f"{many(waiting, 'proposal')} {verb} for you: `arnode approve`"
        say(f"  approval       {wait}", hang=_VALUES)
    if len(proposers := line["proposers"]) > 1:
        for one in proposers:
            say(f"  proposes       {_proposer_words(one)}", hang=_VALUES)
    if planner := line["planner"]:
        waiting = f"; waiting: {plain(planner['waiting'])}" if planner["waiting"] else ""
        aim = plain(planner["aim"] or "none yet")
        say(f"  planner's aim  {aim} ({plain(planner['model'])}{waiting})", hang=_VALUES)


def _proposer_words(one: Mapping[str, Any]) -> str:
    rate = one["gain_per_hour"]
    gain = "–" if rate is None else f"{rate:+.2f} sd"
    waiting = f"; waiting: {plain(one['waiting'])}" if one["waiting"] else ""
    return (
        f"{plain(one['name'])}: {one['share']:.0%} of the latest experiments, {gain} per device"
        f" hour, {one['usd']:.4f} USD{waiting}"
    )


def _on_top(working: Mapping[str, Any]) -> str:
    keeps, branch = working["keeps"], working["branch"]
    if not keeps and not branch:
        return "same as the head: no kept patches"
    where = plain(branch) if branch else "on top"
    after = working.get("trial_after")
    due = f": trial after {after} more at the latest" if after else ""
    return f"{keeps} {'patch' if keeps == 1 else 'patches'} {where}, not verified yet{due}"
