"""Judges with one fault each, which `task check` must name, and one without a fault.

Their task is to name numbers below limits, as close as possible.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.trainer.program.tasks import HEAD, ONE_OF_EACH, write_task

METRIC: Final = """\
[metric]
name = "left"
unit = "units"
direction = "min"
max_step = 10.0
"""
SOLVE: Final = """\
def solve(instance):
    return {"values": [0.75 * limit for limit in instance["limits"]]}
"""
CLOSE: Final = SOLVE.replace("0.75 * limit", "limit")
INSTANCE: Final = """\
from judging import Wrong, random_of


def instance(seed, split, index):
    chance = random_of(seed)
    return {"limits": [1 + chance.random() for _ in range(6)]}
"""
READ: Final = """

def read(instance, answer):
    if not isinstance(answer, dict) or set(answer) != {"values"}:
        raise Wrong("not a table with values alone")
    values, limits = answer["values"], instance["limits"]
    if not isinstance(values, list) or len(values) != len(limits):
        raise Wrong(f"not a list of {len(limits)} values")
    for value, limit in zip(values, limits, strict=True):
        if type(value) is not float or not 0 <= value <= limit:
            raise Wrong("a value is no number below its limit")
    return values
"""
CLEAN: Final = (
    INSTANCE
    + READ
    + """

def check(instance, answer):
    return {"left": sum(instance["limits"]) - sum(read(instance, answer))}
"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A planted fault, by its identifier and message; a sound judge has none.

    `more` are additional lines at the top of the task's file, `sections` at its end.
    """

    about: str = ""
    says: str = ""
    judge: str
    solve: str = SOLVE
    level: str = "fault"
    metric: str = METRIC
    instances: str = ONE_OF_EACH
    more: str = ""
    sections: str = ""
    how: str = 'entry = "solve.py:solve"\n'


def write_planted(folder: Path, planted: Planted) -> Path:
    """Write the folder of a task whose judge has a planted fault."""
    return write_task(
        folder,
        head=HEAD.replace('"add"', '"limits"') + planted.more,
        how=f'editable = ["solve.py"]\n{planted.how}',
        metric=planted.metric,
        instances=planted.instances,
        more=planted.sections,
        judge=planted.judge,
        files={"solve.py": planted.solve},
    )


def _checking(body: str, *, before: str = INSTANCE) -> str:
    lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
    return f"{before}\n\ndef check(instance, answer):\n{lines}"


def _making(body: str) -> str:
    lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
    made = f"import time\n\nfrom judging import Wrong, random_of\n\nMADE = []\n\n\n{_DEF}{lines}"
    return made + CLEAN.removeprefix(INSTANCE)


_DEF: Final = "def instance(seed, split, index):\n"
_BITS: Final = """\
def solve(instance):
    return {"values": [1 if limit > 1.4 else 0 for limit in instance["limits"]]}
"""
_TALKING: Final = """

def converse(instance):
    for limit in instance["limits"]:
        yield {"limit": limit}
"""

PLANTED: Final = {
    "a tolerance that can be harvested": Planted(
        about="tolerance",
        says="slightly changed numbers score better until they are refused: 'total'",
        solve=CLOSE.replace("]}", '], "total": sum(instance["limits"])}'),
        judge=_checking(
            """
values = read(instance, {"values": answer["values"]})
if not abs(answer["total"] - sum(values)) <= 1e-6:
    raise Wrong("the total is another")
return {"left": sum(instance["limits"]) - answer["total"]}
""",
            before=INSTANCE + READ,
        ),
    ),
    "a comparison that NaN passes": Planted(
        about="numbers",
        says="rates NaN or infinity in place of numbers, also as text better",
        judge=_checking("""
values = [float(value) for value in answer["values"]]
if len(values) != 6 or any(v > limit for v, limit in zip(values, instance["limits"])):
    raise Wrong("too large, or too few")
return {"left": sum(value < 0.9 * limit for value, limit in zip(values, instance["limits"]))}
"""),
    ),
    "instances from the clock": Planted(
        about="instances",
        says="makes different instances from the same seed",
        judge=_making('return {"limits": [1 + time.monotonic() for _ in range(6)]}'),
    ),
    "instances from the order of a set": Planted(
        about="instances",
        says="makes different instances from the same seed",
        judge=_making("""
chance = random_of(seed)
return {"limits": [1 + float(word) for word in {str(chance.random()) for _ in range(6)}]}
"""),
    ),
    "instances from a counter": Planted(
        about="instances",
        says="makes different instances from the same seed",
        judge=_making("""
MADE.append(seed)
return {"limits": [1 + random_of(seed).random() + len(MADE)] * 6}
"""),
    ),
    "the same instance for every seed": Planted(
        about="seeds",
        says="every seed makes the same instances",
        judge=_making('return {"limits": [1.5 + index] * 6, "split": split}'),
    ),
    "secret instances that are public": Planted(
        about="splits",
        says="the secret split has the public split's instances",
        judge=_making('return {"limits": [1.5 + index] * 6}'),
    ),
    "chance in what an answer is worth": Planted(
        about="check",
        says="the judge changes its verdict on the same answer: ",
        judge=_checking(
            """
return {"left": sum(instance["limits"]) - sum(read(instance, answer)) + random.random()}
""",
            before=f"import random\n\n{INSTANCE}{READ}",
        ),
    ),
    "a figure that the answer reports": Planted(
        about="claim",
        says="the judge believes a score that the answer claims: left",
        solve=SOLVE.replace("]}", '], "left": 1.5}'),
        judge=_checking(
            """
read(instance, {"values": answer["values"]})
if type(answer["left"]) is not float:
    raise Wrong("no figure")
return {"left": answer["left"]}
""",
            before=INSTANCE + READ,
        ),
    ),
    "a figure read from text": Planted(
        about="claim",
        says="rates nothing but a claimed score better",
        how='run = ["python", "solve.py"]\nencoding = "bytes"\n',
        solve='print("thinking\\nleft: 1.5")\n',
        judge=_checking(
            """
found = re.search(rb"left:? ([-0-9.]+)", answer)
if not found:
    raise Wrong("no figure")
return {"left": float(found[1])}
""",
            before="import re\n\n"
            + INSTANCE.replace("return {", "return str({").replace("]}", "]}).encode()"),
        ),
    ),
    "an empty answer that is the best": Planted(
        about="missing",
        says="rates an empty answer better",
        judge=_checking("""
values = answer["values"]
both = zip(values, instance["limits"])
return {"left": sum(limit - min(limit, value) for value, limit in both)}
"""),
    ),
    "half an answer that is better": Planted(
        about="missing",
        says="rates half an answer better",
        judge=_checking("""
values = answer["values"]
if not values:
    raise Wrong("nothing")
return {"left": sum(limit - min(limit, value) for value, limit in zip(values, instance["limits"]))}
"""),
    ),
    "any answer of the right length": Planted(
        about="another's",
        says="rates the answer to another instance as good",
        judge=_checking("""
values = answer["values"]
if len(values) != 6 or not all(type(value) is float for value in values):
    raise Wrong("not six numbers")
return {"left": 6 - sum(values) / 10}
"""),
    ),
    "numbers as text": Planted(
        about="types",
        says="rates numbers as text as good",
        judge=_checking(
            """
values = [float(value) for value in answer["values"]]
return {"left": sum(instance["limits"]) - sum(read(instance, {"values": values}))}
""",
            before=INSTANCE + READ,
        ),
    ),
    "true for a number": Planted(
        about="types",
        says="rates true and false in place of numbers ",
        solve=_BITS,
        judge=_checking("""
values = answer["values"]
if len(values) != 6 or not all(isinstance(value, int) and 0 <= value <= 1 for value in values):
    raise Wrong("not six bits")
return {"left": 6 - sum(bit * limit for bit, limit in zip(values, instance["limits"])) / 12}
"""),
    ),
    "parts that count twice": Planted(
        about="rearranged",
        says="rates an answer with repeated items better",
        judge=_checking("""
values = answer["values"]
if any(type(value) is not float or not 0 <= value <= 2 for value in values):
    raise Wrong("not between 0 and 2")
return {"left": max(instance["limits"]) * 6 - sum(values)}
"""),
    ),
    "an odd answer that crashes it": Planted(
        about="stumbles",
        says="check() fails with an exception on ",
        level="note",
        judge=_checking(
            """
if len(answer["values"]) != 6:
    raise Wrong("not six")
return {"left": sum(instance["limits"]) - sum(read(instance, answer))}
""",
            before=INSTANCE + READ,
        ),
    ),
    "a large answer that holds it up": Planted(
        about="slow",
        says=" s to accept an answer of a million bytes",
        judge=_checking(
            """
values, began_s = answer["values"], time.monotonic()
while len(values) > 100 and time.monotonic() - began_s < 0.5:
    pass
return {"left": sum(instance["limits"]) - sum(values[:6])}
""",
            before=f"import time\n\n{INSTANCE}",
        ),
    ),
    "a bound that the baseline passes": Planted(
        about="bound",
        says="the baseline is better than the impossible bound ",
        judge=CLEAN,
        sections="[bound]\nimpossible = 3.0\n",
    ),
    "any machine, and a clock": Planted(
        about="device",
        says="alongside other work 2 of 2 answers differ",
        judge=CLEAN,
        more='device = "any"\n',
        solve="""\
import time


def solve(instance):
    ends_s, steps = time.monotonic() + 0.01, 0
    while time.monotonic() < ends_s:
        steps += 1
    return {"values": [0.5 + steps / 1e9 for _ in instance["limits"]]}
""",
    ),
    "a transcript that nobody replays": Planted(
        about="transcript",
        says=" forged transcripts as good as the honest one",
        more="interactive = true\n",
        solve='def solve(message):\n    return 0.75 * message["limit"]\n',
        judge=_checking(
            """
replies = [reply for _, reply in transcript_of(answer)]
return {"left": max(0.0, 9 - sum(replies))}
""",
            before=INSTANCE
            + _TALKING
            + """

def transcript_of(answer):
    if not all(type(reply) is float and 0 <= reply <= 2 for _, reply in answer):
        raise Wrong("a reply is no number")
    return answer
""",
        ),
    ),
}

# Judges without a fault

REPAIRED: Final = Planted(
    solve=CLOSE,
    judge=_checking(
        """
values = read(instance, answer)
return {"left": sum(limit - min(limit, value) for limit, value in zip(instance["limits"], values))}
""",
        before=INSTANCE + READ.replace("value <= limit:", "value <= limit + 1e-6:"),
    ),
)
LINES: Final = Planted(
    how='run = ["python", "solve.py"]\nencoding = "bytes"\n',
    solve="""\
import json
import sys

for limit in json.load(sys.stdin)["limits"]:
    print(json.dumps({"value": 0.75 * limit, "number": 1}))
""",
    judge="import json\n\n"
    + INSTANCE.replace("return {", "return json.dumps({").replace("]}", "]}).encode()")
    + READ
    + """

def check(instance, answer):
    try:
        lines = [json.loads(line, parse_constant=float) for line in answer.splitlines()]
        values = [line["value"] for line in lines if set(line) == {"value", "number"}]
        ones = [line["number"] for line in lines]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Wrong("not lines of value and number") from error
    if len(values) != len(lines) or not all(type(one) is int and one == 1 for one in ones):
        raise Wrong("a number is not 1")
    asked = json.loads(instance)
    return {"left": sum(asked["limits"]) - sum(read(asked, {"values": values}))}
""",
)
SPOKEN: Final = Planted(
    more="interactive = true\n",
    solve='def solve(message):\n    return 0.75 * message["limit"]\n',
    judge=INSTANCE
    + READ
    + """

def converse(instance):
    before = None
    for limit in instance["limits"]:
        before = yield {"limit": limit, "before": before}


def check(instance, transcript):
    replies = [reply for _, reply in transcript]
    before = [None, *replies[:-1]]
    asked = [
        {"limit": limit, "before": reply} for limit, reply in zip(instance["limits"], before)
    ]
    if [message for message, _ in transcript] != asked:
        raise Wrong("these are not the messages")
    return {"left": sum(instance["limits"]) - sum(read(instance, {"values": replies}))}
""",
)
# Possible faults, which a person must look at.
ODD: Final = Planted(
    solve="""\
def solve(instance):
    return {"values": sorted((0.75 * limit for limit in instance["limits"]), reverse=True)}
""",
    judge=_checking(
        """
values = answer["values"] if isinstance(answer, dict) else ()
if len(values) != 6 or not all(type(value) is float and 0 <= value <= 2 for value in values):
    raise Wrong("not six values")
return {"left": 100 - sum(number * value for number, value in enumerate(values))}
"""
    ),
)
