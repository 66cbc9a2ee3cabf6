"""The self-test of a card: finds the features of torch that work and the model size that fits.

It then checks complete runs. Each step has a time limit. A step that fails reports a named fault,
and what arnode uses instead. The same self-test can run on the processor.
"""
