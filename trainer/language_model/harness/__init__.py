"""The code inside the sandbox, on the untrusted side: the node believes none of its figures."""

HARNESS = "trainer/language_model/harness"  # in the form that `trainer.sandbox.visible` uses
