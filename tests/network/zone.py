"""A DNS server on loopback that answers from a test's zone."""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import dns.message
import dns.rcode
import dns.rrset
from dns.rdatatype import TXT

_PREFIX: Final = "_dnsaddr."
_STRING_BYTES: Final = 255

# The texts of a name, none if it is not there; None: no answer.
Zone: TypeAlias = Callable[[str], Sequence[str] | None]


def name_in(data: bytes) -> str:
    """Return the name that is asked for, without what precedes it for this purpose."""
    return str(dns.message.from_wire(data).question[0].name).removeprefix(_PREFIX).rstrip(".")


def answer_of(data: bytes, zone: Zone) -> dns.message.Message | None:
    """Return what is answered to a question, None if nothing is."""
    question = dns.message.from_wire(data)
    answer = dns.message.make_response(question)
    texts = zone(name_in(data))
    if texts is None:
        return None
    if texts:
        strings = map(_in_strings, texts)
        answer.answer.append(
            dns.rrset.from_text(question.question[0].name, 60, "IN", TXT, *strings)
        )
    else:
        answer.set_rcode(dns.rcode.NXDOMAIN)
    return answer


def _in_strings(text: str) -> str:
    parts = [text[at : at + _STRING_BYTES] for at in range(0, len(text), _STRING_BYTES)] or [""]
    return " ".join(f'"{part}"' for part in parts)
