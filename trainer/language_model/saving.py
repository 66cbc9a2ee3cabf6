"""A program that reads checked safetensors from stdin and saves them with torch to a given file.

It is a process of its own, since the node never imports torch.
"""

import sys
from pathlib import Path

import torch

from trainer.language_model.harness.tensors import load


def main() -> None:
    """Save the tensors from stdin to the file in the first argument."""
    torch.save(load(bytearray(sys.stdin.buffer.read())), Path(sys.argv[1]))
