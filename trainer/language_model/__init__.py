"""The kind of task that trains a language model and scores its predictions of unseen text.

Nothing outside this folder knows of log-probabilities, rows or tokens. Other packages reach it
through `trainer.task_kinds`.
"""
