"""Whether the playground says, token by token, what plain peft and transformers say with the same seed."""

import torch
from transformers import AutoTokenizer

from jobs.methods import find_method
from jobs.playground.generation import answer_side_by_side
from jobs.playground.limits import Stop
from jobs.playground.request import GenerateRequest

PROMPT, TOKENS, SEED = "<|user|>Say apple<|end|><|assistant|>", 8, 11
SAMPLING = {"temperature": 0.8, "top_p": 0.95}


def assert_says_what_plain_peft_says(workshop, trained, folder) -> int:
    """The adapter beside the base model, drawn with one seed. Returns how many panes shared a batch."""
    loaded = workshop.playground(trained)
    request = GenerateRequest(
        base_path=loaded.choice.base_path, base_name="tiny", prompt=PROMPT,
        panes=[{"name": "base"}, {"name": "adapter", "adapter_folder": folder}],
        settings={"raw": True, "max_new_tokens": TOKENS, "seed": SEED, **SAMPLING})
    answerers = {pane.name: loaded.answerer(pane.adapter_folder) for pane in request.panes}
    events = []
    answer_side_by_side(answerers, request, Stop(), events.append, together=lambda: loaded.together)
    ends = {event["pane"]: event for event in events if "text" not in event or event.get("done")}
    base, adapter = workshop.plain_base(trained, folder).eval(), workshop.plain(trained, folder)
    tasks = {"task_ids": torch.zeros(1, dtype=torch.long)} if find_method(trained.recipe.method).special.by_task else {}
    assert ends["base"]["ids"] == said(base, folder), ends
    assert ends["adapter"]["ids"] == said(adapter, folder, **tasks), ends
    return ends["adapter"]["together"]


def said(model, folder, **options) -> list[int]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(PROMPT, return_tensors="pt", return_token_type_ids=False)
    torch.manual_seed(SEED)
    output = model.generate(**inputs, max_new_tokens=TOKENS, do_sample=True, **SAMPLING, **options)
    return output[0, inputs["input_ids"].shape[1]:].tolist()
