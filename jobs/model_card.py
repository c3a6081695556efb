"""The README of an adapter: what it is, how it was made, what was measured, how to use it."""

import json

from jobs.methods import find_method
from jobs.methods.full import FULL
from jobs.recipe import Recipe
from storage.records import Run

USE = {
    "text-generation": '''from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = AutoModelForCausalLM.from_pretrained({base})
model = PeftModel.from_pretrained(base, "PATH/TO/THIS/FOLDER")
tokenizer = AutoTokenizer.from_pretrained("PATH/TO/THIS/FOLDER")
chat = [{{"role": "user", "content": "Your question"}}]
inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
answer = model.generate(**inputs, max_new_tokens=100)
print(tokenizer.decode(answer[0][inputs["input_ids"].shape[1]:], skip_special_tokens=True))''',
    "text-classification": '''from peft import PeftModel
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

config = AutoConfig.from_pretrained("PATH/TO/THIS/FOLDER")  # holds the label names
base = AutoModelForSequenceClassification.from_pretrained({base}, config=config)
model = PeftModel.from_pretrained(base, "PATH/TO/THIS/FOLDER").eval()
tokenizer = AutoTokenizer.from_pretrained("PATH/TO/THIS/FOLDER")
logits = model(**tokenizer({texts}, return_tensors="pt", return_token_type_ids=False)).logits
print({answer})''',
    "token-classification": '''from peft import PeftModel
from transformers import AutoConfig, AutoModelForTokenClassification, AutoTokenizer

config = AutoConfig.from_pretrained("PATH/TO/THIS/FOLDER")  # holds the names of the tags
base = AutoModelForTokenClassification.from_pretrained({base}, config=config)
model = PeftModel.from_pretrained(base, "PATH/TO/THIS/FOLDER").eval()
tokenizer = AutoTokenizer.from_pretrained("PATH/TO/THIS/FOLDER")
text = "Your text , with spaces around punctuation"
inputs = tokenizer(text, return_tensors="pt", return_token_type_ids=False, return_offsets_mapping=True)
places = inputs.pop("offset_mapping")[0].tolist()
numbers = model(**inputs).logits[0, -len(places):].argmax(-1).tolist()
# the tag of a word is the one of its first token
print([(text[start:end], config.id2label[number]) for (start, end), number in zip(places, numbers) if end > start])''',
    "sentence-similarity": '''import torch
from peft import PeftModel
from transformers import AutoModel, AutoTokenizer

base = AutoModel.from_pretrained({base})
model = PeftModel.from_pretrained(base, "PATH/TO/THIS/FOLDER").eval()
tokenizer = AutoTokenizer.from_pretrained("PATH/TO/THIS/FOLDER")
inputs = tokenizer(["One text", "Another text"], return_tensors="pt", padding=True, return_token_type_ids=False)
mask = inputs["attention_mask"].unsqueeze(-1)
hidden = model(**inputs).last_hidden_state[:, -mask.shape[1]:]
vectors = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)  # the mean over the tokens
print(float(vectors[0] @ vectors[1]))  # the cosine, -1 to 1''',
}
USE_WHOLE = {
    "text-generation": '''from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("PATH/TO/THIS/FOLDER")
tokenizer = AutoTokenizer.from_pretrained("PATH/TO/THIS/FOLDER")
chat = [{{"role": "user", "content": "Your question"}}]
inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
answer = model.generate(**inputs, max_new_tokens=100)
print(tokenizer.decode(answer[0][inputs["input_ids"].shape[1]:], skip_special_tokens=True))''',
    "text-classification": '''from transformers import AutoModelForSequenceClassification, AutoTokenizer

model = AutoModelForSequenceClassification.from_pretrained("PATH/TO/THIS/FOLDER").eval()
tokenizer = AutoTokenizer.from_pretrained("PATH/TO/THIS/FOLDER")
config = model.config  # holds the label names
logits = model(**tokenizer({texts}, return_tensors="pt", return_token_type_ids=False)).logits
print({answer})''',
    "token-classification": '''from transformers import AutoModelForTokenClassification, AutoTokenizer

model = AutoModelForTokenClassification.from_pretrained("PATH/TO/THIS/FOLDER").eval()
tokenizer = AutoTokenizer.from_pretrained("PATH/TO/THIS/FOLDER")
text = "Your text , with spaces around punctuation"
inputs = tokenizer(text, return_tensors="pt", return_token_type_ids=False, return_offsets_mapping=True)
places = inputs.pop("offset_mapping")[0].tolist()
numbers = model(**inputs).logits[0].argmax(-1).tolist()
# the tag of a word is the one of its first token
print([(text[start:end], model.config.id2label[number]) for (start, end), number in zip(places, numbers) if end > start])''',
    "sentence-similarity": '''import torch
from transformers import AutoModel, AutoTokenizer

model = AutoModel.from_pretrained("PATH/TO/THIS/FOLDER").eval()
tokenizer = AutoTokenizer.from_pretrained("PATH/TO/THIS/FOLDER")
inputs = tokenizer(["One text", "Another text"], return_tensors="pt", padding=True, return_token_type_ids=False)
mask = inputs["attention_mask"].unsqueeze(-1)
hidden = model(**inputs).last_hidden_state
vectors = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)  # the mean over the tokens
print(float(vectors[0] @ vectors[1]))  # the cosine, -1 to 1''',
}
OPENED = 'model = PeftModel.from_pretrained(base, "PATH/TO/THIS/FOLDER")'
LABEL, NUMBER = "config.id2label[int(logits.argmax())]", "float(logits)"


def usage(run: Run) -> str:
    """The Python lines that ask the adapter, or the whole model, something."""
    base = run.base
    base = repr(base["hub_id"]) + f", revision={base['revision']!r}" if base["hub_id"] else '"PATH/TO/THE/BASE/MODEL"'
    texts = '"Your text", "The other text"' if "text_pair" in run.data["columns"] else '"Your text"'
    answer = NUMBER if run.data["format"] == "regression" else LABEL
    lines = (USE_WHOLE if run.method == FULL else USE)[run.task].format(base=base, texts=texts, answer=answer)
    if opening := find_method(run.method).special.opening:
        lines = lines.replace("import PeftModel", "import PeftConfig, PeftModel").replace(OPENED, opening)
    return lines


def model_card(run: Run, recipe: Recipe, results: dict) -> str:
    """The card as Markdown with the Hub's front matter."""
    method = find_method(run.method)
    kind = method.special.kind_of(method.read_settings(recipe.method_settings))
    base, data = run.base, run.data
    library, what = ("transformers", "A model") if run.method == FULL else ("peft", "An adapter")
    front = [f"base_model: {json.dumps(base['hub_id'] or base['name'])}",
             *(["base_model_relation: finetune"] if run.method == FULL else []), f"library_name: {library}",
             f"pipeline_tag: {run.task}", f"tags: [{library}, {run.method}, adapter-studio]"]
    rows = [
        ("Base model", f"{base['hub_id'] or base['name']}" + (f" at revision `{base['revision']}`" if base["revision"] else "")),
        ("Base model SHA-256", f"`{base['sha256']}`"),
        ("Method", f"{method.title} ({kind})" if kind else method.title), ("Task", run.task),
        ("Data", f"{', '.join(data['files'])}: {data['train_rows']:,} rows to learn from, {data['validation_rows']:,} to validate"),
        ("Data SHA-256", f"`{data['sha256']}`"),
        ("Trainable parameters", f"{run.trainable_parameters:,} of {run.total_parameters:,}"),
        ("Steps", f"{results['step']:,}"),
    ]
    if start := base.get("adapter"):
        rows.insert(2, ("Trained on from", f"the {what.split()[1]} {start['name']}, SHA-256 `{start['sha256']}`"))
    if run.continues:
        rows.insert(2, ("Continues", f"the run {run.continues}"))
    # the last checkpoint of a trainer that is gone tells less than a trainer does
    if "train_seconds" in results:
        rows.append(("Training time", f"{results['train_seconds']:.1f} s"))
    if peak := results.get("peak_memory_bytes", run.peak_memory_bytes):
        rows.append(("Peak memory", f"{peak / 1e6:,.0f} MB ({results.get('peak_memory_of', run.peak_memory_of)})"))
    rows += [(name.replace("_", " ").capitalize(), f"{value:.4f}") for name, value in results.get("metrics", {}).items()]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return "\n".join([
        "---", *front, "---", "", f"# {run.name}", "",
        f"{what} made with {method.title} in Adapter Studio. {method.summary}", "",
        "| | |", "| --- | --- |", table, "",
        "## Use", "", "```python", usage(run), "```", "", *([method.special.asking, ""] if method.special.asking else []),
        "The recipe that repeats this run is in `recipe.yaml`, all figures are in `metrics.json`, and `sha256sum -c SHA256SUMS` "
        "checks the files.", ""])
