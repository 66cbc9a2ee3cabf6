"""Runs code that nobody trusts and measures it from outside: tasks, sandbox, runner, evaluator."""
