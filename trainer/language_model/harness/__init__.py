"""The untrusted side: what stands inside the sandbox. Nothing it says is believed outside."""

HARNESS = "trainer/language_model/harness"  # as `trainer.sandbox.visible` names it
