"""Continue a text: python sample.py "There was" [how many tokens]."""

import runpy
import sys
from pathlib import Path

import prepare
import torch

here = Path(__file__).parent
try:
    runpy.run_path(str(here / prepare.ENTRY))
except prepare.Built as built:
    model = built.model
model.load_state_dict(torch.load(here / "model.pt", map_location="cpu", weights_only=True))
model.to("cpu").eval()

tokenizer = prepare.Tokenizer()
tokens = [tokenizer.get_bos_token_id(), *tokenizer.encode("".join(sys.argv[1:2]))]
with torch.no_grad():
    for _ in range(int("".join(sys.argv[2:3]) or 200)):
        logits = model(torch.tensor([tokens[-prepare.MAX_SEQ_LEN :]]))[0, -1].float()
        tokens.append(int(torch.multinomial(logits.softmax(-1), 1)))
print(tokenizer.decode(tokens))
