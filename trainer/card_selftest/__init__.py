"""The self-test of a card: which features of torch work, which model size fits, how runs behave.

Each step has a time limit. A step that fails gives a named fault and what runs instead. The same
self-test can run on the processor.
"""
