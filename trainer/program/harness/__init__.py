"""What runs inside the sandboxes of program tasks: a candidate's side, a judge's, a build's."""

HARNESS = "trainer/program/harness"
