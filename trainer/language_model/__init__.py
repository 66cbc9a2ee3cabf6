"""The kind of task that trains a language model: scored by what it predicts of text it never saw.

Nothing outside this folder knows of log-probabilities, rows or tokens; others reach it through
`trainer.task_kinds`.
"""
