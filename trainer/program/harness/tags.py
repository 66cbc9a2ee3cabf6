"""Tags of the frames that program tasks add to those of `trainer.sandbox.inside.channel`."""

import struct

INSTANCE = b"I"  # to a candidate, a descriptor of it; from a judge, its bytes
OUTPUT = b"O"  # to a candidate's command, where its answer goes
TALK = b"T"  # to a candidate's command, what it speaks on; to a judge, the instance to speak about
MESSAGE, REPLY = b"M", b"P"  # one each way
LEFT = b"L"  # from an evaluator: who had loaded the program under this number is gone
REFUSAL = b"W"  # from an evaluator: what cannot cross, which ends the run
CALLS = struct.Struct(">I")  # before a message of an evaluator, and its reply: that number
OVER = b"V"  # the judge has nothing more to say
USED = b"U"  # what a command that was waited for used, and how it ended
BUILT = b"B"  # the files that a build made
ASK = b"Q"  # to a judge, a descriptor on which one question follows
MAKE, CHECK = b"K", b"E"  # its questions: instances for seeds; what an answer is worth
VERDICT = b"Y"
SAY = b"Z"  # to a task's script, a chat that it goes on with
MODELS = b"G"  # to a candidate, a descriptor on which models are asked, and their names
QUESTION = b"X"  # on that, a question; a REPLY follows
ASKED = struct.Struct(">I")  # before a question: its number
REPLIED = struct.Struct(">IH?")  # before a reply: that number, its status, whether it is a stream
