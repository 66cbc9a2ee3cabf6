"""The self-test of a card: which features of torch work, which model size fits, how runs behave.

Each step has a time limit. A step that fails reports a named fault and the replacement that is used
instead. The same self-test can run on the processor.
"""
