#!/bin/bash
set -euo pipefail
cd "$(dirname "$0")/.."
python bench.py
