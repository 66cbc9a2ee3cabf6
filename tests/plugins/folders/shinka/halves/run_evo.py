"""Starts the evolution."""

from shinka.core import EvolutionConfig, ShinkaEvolveRunner
from shinka.launch import LocalJobConfig

MESSAGE = """You split numbers into two parts of the same sum.

Think of greedy and exact methods."""

job_config = LocalJobConfig(eval_program_path="evaluate.py", time="00:02:30")
evo_config = EvolutionConfig(
    task_sys_msg=MESSAGE, init_program_path="initial.py", language="python"
)

if __name__ == "__main__":
    ShinkaEvolveRunner(evo_config=evo_config, job_config=job_config).run()
