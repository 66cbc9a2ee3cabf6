"""Tasks of other systems, brought over as task folders. Nothing of theirs is executed here."""
