"""What the adapters of all tools have learnt, by one measure: plain transformers and PEFT in fp32.

`python -m bench.peers.evaluate WORK ADAPTER…` prints the mean loss over the answers' tokens of WORK's test rows, for the base
model alone and for each adapter folder.
"""

import json
import sys
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from bench.peers import work


@torch.inference_mode()
def loss(model, rows: list[tuple[list[int], int]], most: int) -> float:
    """Row by row, so that no padding can play a part; a row is cut at `most` tokens."""
    total = count = 0
    for ids, prompt in rows:
        ids = torch.tensor([ids[:most]], device=model.device)
        answer = ids[0, prompt:]
        logits = model.eval()(input_ids=ids, logits_to_keep=len(answer) + 1).logits[0, :-1].float()
        total += torch.nn.functional.cross_entropy(logits, answer, reduction="sum").item()
        count += len(answer)
    return total / count


def main(folder: Path, *adapters: str) -> dict:
    given = work.read(folder)
    rows = work.encode(AutoTokenizer.from_pretrained(folder / "base"), folder / "test.jsonl")

    def base():
        model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32)
        return model.to("cuda") if given.on_gpu else model

    return {"base": loss(base(), rows, given.max_length),
            "adapters": [loss(PeftModel.from_pretrained(base(), adapter), rows, given.max_length) for adapter in adapters]}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), *sys.argv[2:])))
