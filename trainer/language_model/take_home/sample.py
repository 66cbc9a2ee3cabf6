"""Continue a text: python sample.py "There was" [how many tokens]."""

import runpy
import sys

import prepare
import torch

try:
    runpy.run_path(prepare.ENTRY)
except prepare.Built as built:
    model = built.model
model.load_state_dict(torch.load("model.pt", map_location="cpu", weights_only=True))
model.to("cpu").eval()

tokenizer = prepare.Tokenizer()
tokens = [tokenizer.get_bos_token_id(), *tokenizer.encode("".join(sys.argv[1:2]))]
with torch.no_grad():
    for _ in range(int("".join(sys.argv[2:3]) or 200)):
        logits = model(torch.tensor([tokens[-prepare.MAX_SEQ_LEN :]]))[0, -1].float()
        tokens.append(int(torch.multinomial(logits.softmax(-1), 1)))
print(tokenizer.decode(tokens))
