"""Tags of the frames that program tasks add to those of `trainer.sandbox.inside.channel`."""

import struct

INSTANCE = b"I"  # to a candidate, its descriptor; from a judge, its bytes
OUTPUT = b"O"  # to a candidate's command, the descriptor for its answer
TALK = b"T"  # to a candidate's command, a descriptor for messages; to a judge, the instance
MESSAGE, REPLY = b"M", b"P"  # to a candidate, and its reply
LEFT = b"L"  # from an evaluator: the process with this load's number has ended
REFUSAL = b"W"  # from an evaluator: a value is not plain data, which ends the run
CALLS = struct.Struct(">I")  # before an evaluator's message and its reply: the load's number
OVER = b"V"  # the judge ends the conversation
USED = b"U"  # the cost and the exit code of a command that was waited for
BUILT = b"B"  # the files that a build made
ASK = b"Q"  # to a judge, a descriptor on which one question follows
MAKE, CHECK = b"K", b"E"  # the judge's questions: make instances for seeds; check an answer
VERDICT = b"Y"
SAY = b"Z"  # to a task's script, a chat to continue
MODELS = b"G"  # to a candidate, a descriptor for asking models, and their names
QUESTION = b"X"  # on that descriptor, a question; a REPLY follows
ASKED = struct.Struct(">I")  # before a question: its number
REPLIED = struct.Struct(">IH?")  # before a reply: that number, its status, True if it is a stream
