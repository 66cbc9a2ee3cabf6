"""Task `tiny`: a small GPT on the text of a generated world. Nothing here enters a sandbox but
`train.py`: the generator and its seeds stay on the trusted side."""
