"""The code that runs inside the sandbox with the script: the node trusts none of its figures."""

HARNESS = "trainer/language_model/harness"  # in the form that `trainer.sandbox.visible` uses
