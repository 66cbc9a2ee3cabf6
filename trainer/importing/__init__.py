"""Imports tasks of other systems as task folders, without executing code of those systems."""
