#!/bin/bash
set -euo pipefail
python -c "import words; assert words.count('a b a') == {'a': 2, 'b': 1}"
