"""Imports tasks of other systems as task folders. No code of theirs is executed here."""
