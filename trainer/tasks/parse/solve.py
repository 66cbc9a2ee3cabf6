"""Reads log lines one character after another and writes each as a line of JSON."""

import json
import sys

DIGITS = "0123456789"
MAX_DIGITS = 15
ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}


def number_or_text(text):
    """Return a whole number if it is written as one, else the text itself."""
    digits = text.removeprefix("-")
    if digits == "" or len(digits) > MAX_DIGITS:
        return text
    if digits[0] == "0" and len(digits) > 1:
        return text
    for char in digits:
        if char not in DIGITS:
            return text
    return int(text)


def read_bare(line, at):
    """Return the value that begins at a place, and the place behind it."""
    value = ""
    while at < len(line) and line[at] != " ":
        value += line[at]
        at += 1
    return number_or_text(value), at


def read_quoted(line, at):
    """Return the text that begins behind a quote, and the place behind the closing one."""
    value = ""
    while line[at] != '"':
        if line[at] != "\\":
            value += line[at]
            at += 1
        elif line[at + 1] == "x":
            value += chr(int(line[at + 2 : at + 4], 16))
            at += 4
        else:
            value += ESCAPES[line[at + 1]]
            at += 2
    return value, at + 1


def read_key(line, at):
    """Return the key that begins at a place, and the place behind it."""
    key = ""
    while at < len(line) and line[at] not in "= ":
        key += line[at]
        at += 1
    return key, at


def read_line(line):
    """Return the fields of a line."""
    fields = {}
    at = 0
    while at < len(line):
        if line[at] == " ":
            at += 1
            continue
        key, at = read_key(line, at)
        if line[at : at + 1] != "=":
            fields[key] = True
        elif line[at + 1 : at + 2] == '"':
            fields[key], at = read_quoted(line, at + 2)
        else:
            fields[key], at = read_bare(line, at + 1)
    return fields


def written(value):
    """Return a value as JSON."""
    return json.dumps(value)


def as_json(line):
    """Return a line as JSON."""
    return written(read_line(line))


def main():
    log = sys.stdin.buffer.read().decode()
    sys.stdout.reconfigure(encoding="utf-8")
    for line in log.removesuffix("\n").split("\n"):
        print(as_json(line))


main()
