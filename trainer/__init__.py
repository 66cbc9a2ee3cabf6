"""Tasks, sandbox, runner and evaluators: run untrusted code and measure it from outside."""
