"""Checked safetensors from stdin, as torch saves them in the file that is named.

A process of its own, as torch is nothing that a node loads.
"""

import sys
from pathlib import Path

import torch

from trainer.language_model.harness.tensors import load


def main() -> None:
    """Save what is read from stdin."""
    torch.save(load(bytearray(sys.stdin.buffer.read())), Path(sys.argv[1]))
