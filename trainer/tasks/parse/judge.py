"""Lines of a log, and whether each was read as it should be.

A line is made of fields, `key` or `key=value`; values are bare or in quotes, with escapes. What is
read is compared value by value, never as text: however the JSON is spaced or escaped, it counts.
Names, hosts and words are invented for each instance, so that nothing can be known before it is
read. How long reading takes is measured elsewhere.
"""

import json
import re

from judging import Wrong, random_of

SIZE_BYTES = 2_000_000  # of an instance
MAX_DIGITS = 15  # of a number; longer ones are text, as no double holds them

FIELD = re.compile(r'([^ ="]+)(=("(?:[^"\\]|\\.)*"|[^ "]*))?(?: +|$)')
ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|.)")
NUMBER = re.compile(rf"-?(0|[1-9][0-9]{{0,{MAX_DIGITS - 1}}})")
ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}
WRITTEN = {char: f"\\{name}" for name, char in ESCAPES.items()}

SYLLABLES = [
    "ba",
    "do",
    "fi",
    "ga",
    "ke",
    "ko",
    "la",
    "le",
    "mi",
    "na",
    "po",
    "ra",
    "sa",
    "to",
    "zu",
]
SPECIAL = ["é", "ü", "ß", "ø", "—", "“", "日", "☂", "🚲"]
LEVELS = ["debug", "info", "info", "info", "info", "warn", "error"]
METHODS = ["GET", "GET", "GET", "POST", "PUT", "DELETE"]
STATUSES = [200, 200, 200, 201, 204, 301, 400, 404, 500]


# What is made


def instance(seed, split, index):
    """Return a log as bytes: UTF-8, each line with its end."""
    chance = random_of(seed)
    words = Words(chance)
    lines, size, millisecond = [], 0, chance.randrange(86_400_000)
    while size < SIZE_BYTES:
        millisecond += chance.randrange(400)
        line = line_of(fields_of(chance, words, millisecond), chance).encode() + b"\n"
        lines.append(line)
        size += len(line)
    return b"".join(lines)


class Words:
    """The names and words of one log."""

    def __init__(self, chance):
        self.common = [self._word(chance) for _ in range(400)]
        self.keys = [f"{self._word(chance)}_{self._word(chance)}" for _ in range(12)]
        self.hosts = [f"{self._word(chance)}-{chance.randrange(1, 40)}" for _ in range(30)]
        self.users = [f"{self._word(chance)}@{self._word(chance)}.net" for _ in range(300)]
        self.paths = [f"/{self._word(chance)}/{self._word(chance)}" for _ in range(60)]
        self.modules = [f"{self._word(chance)}.{self._word(chance)}" for _ in range(20)]

    @staticmethod
    def _word(chance):
        return "".join(chance.choice(SYLLABLES) for _ in range(chance.randrange(2, 5)))

    def sentence(self, chance):
        """Return a few words, now and then with what needs an escape or more than a byte."""
        words = [chance.choice(self.common) for _ in range(chance.randrange(3, 12))]
        if chance.random() < 0.2:
            words[0] = f'"{words[0]}"'
        if chance.random() < 0.15:
            words[-1] += chance.choice(SPECIAL)
        if chance.random() < 0.05:
            words[1] = chance.choice(["\n", "\t", "\\", "\x1b[1m", "\x07"]) + words[1]
        return " ".join(words)


def fields_of(chance, words, millisecond):
    """Return a line's fields in their order: a bare key is True, all else a number or text."""
    second = millisecond // 1000 % 86_400
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    fields = {
        "time": f"2026-03-{1 + millisecond // 86_400_000:02}T{clock}.{millisecond % 1000:03}Z",
        "level": chance.choice(LEVELS),
        "host": chance.choice(words.hosts),
        "pid": chance.randrange(1, 32_768),
        "module": chance.choice(words.modules),
        "msg": words.sentence(chance),
    }
    if chance.random() < 0.6:
        query = f"?{chance.choice(words.common)}={chance.randrange(100)}"
        fields["method"] = chance.choice(METHODS)
        fields["path"] = chance.choice(words.paths) + (query if chance.random() < 0.3 else "")
        fields["status"] = chance.choice(STATUSES)
        fields["took"] = f"{chance.randrange(1, 3_000) / 1000}"
    if chance.random() < 0.5:
        fields["user"] = chance.choice(words.users)
    if chance.random() < 0.2:
        fields["trace"] = f"{chance.getrandbits(64):020}"
    for key in chance.sample(words.keys, chance.randrange(4)):
        fields[key] = odd_value(chance, words)
    return fields


def odd_value(chance, words):
    """Return a value of one of many kinds, most of them easy to read wrongly."""
    match chance.randrange(12):
        case 0:
            return True
        case 1:
            return ""
        case 2:
            return -chance.randrange(1, 1_000)
        case 3:
            return f"{chance.randrange(100):05}"  # zeros in front: no number
        case 4:
            return f"+{chance.randrange(100)}"
        case 5:
            return f"C:\\{chance.choice(words.common)}\\new"  # a backslash without quotes is itself
        case 6:
            return str(chance.randrange(100))  # a number in quotes is text
        case 7:
            return f"{chance.choice(words.common)}={chance.choice(words.common)}"
        case 8:
            return chance.randrange(10**14, 10**15)
        case 9:
            return chance.choice(SPECIAL)
        case _:
            return words.sentence(chance)


def line_of(fields, chance):
    """Write fields as a line; what needs no quotes has them now and then."""
    written = []
    for key, value in fields.items():
        if value is True:
            written.append(key)
        elif isinstance(value, int):
            written.append(f"{key}={value}")
        elif needs_quotes(value) or chance.random() < 0.02:
            inside = "".join(WRITTEN.get(char) or hidden(char) for char in value)
            written.append(f'{key}="{inside}"')
        else:
            written.append(f"{key}={value}")
        written.append("  " if chance.random() < 0.01 else " ")
    return "".join(written[:-1])


def needs_quotes(text):
    """Whether text would be read otherwise if it stood bare."""
    odd = any(char in ' "' or char < " " for char in text)
    return odd or NUMBER.fullmatch(text) is not None


def hidden(char):
    """Return a character as it stands in quotes: control characters by their number."""
    return f"\\x{ord(char):02x}" if char < " " else char


# What was answered


def check(instance, answer):
    """Compare a line of JSON with each line of the log."""
    lines = instance.decode().split("\n")[:-1]
    try:
        read = bytes(answer).decode().removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise Wrong("the answer is not UTF-8") from error
    if len(read) != len(lines):
        raise Wrong(f"there are {len(lines)} lines, the answer has {len(read)}")
    for number, (line, text) in enumerate(zip(lines, read, strict=True), start=1):
        if canonical(text, number) != json.dumps(fields_in(line), sort_keys=True):
            raise Wrong(f"line {number} reads otherwise")
    return {"lines": len(lines)}


def canonical(text, number):
    """Return JSON in one of its many spellings: 1, 1.0, "1" and true stay apart."""
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists in lists
        raise Wrong(f"line {number} of the answer is no JSON") from error


def fields_in(line):
    """Read a line."""
    fields, at = {}, 0
    while at < len(line):
        found = FIELD.match(line, at)
        if found is None:
            raise ValueError(f"no field at {at}: {line!r}")
        key, has_value, value = found.groups()
        fields[key] = value_of(value) if has_value else True
        at = found.end()
    return fields


def value_of(text):
    """Read a value."""
    if text.startswith('"'):
        return ESCAPE.sub(unescaped, text[1:-1])
    return int(text) if NUMBER.fullmatch(text) else text


def unescaped(found):
    """Return the character that an escape stands for."""
    name = found[1]
    return ESCAPES[name] if len(name) == 1 else chr(int(name[1:], 16))
