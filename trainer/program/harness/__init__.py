"""The code inside the sandboxes of program tasks: for candidates, judges and builds."""

HARNESS = "trainer/program/harness"
