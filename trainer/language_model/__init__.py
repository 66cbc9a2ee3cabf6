"""The kind of task that trains a language model and scores its predictions of unseen text.

Only this folder handles log-probabilities, rows and tokens. Other packages use it through
`trainer.task_kinds`.
"""
