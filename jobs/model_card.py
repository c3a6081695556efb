"""The README of an adapter: what it is, how it was made, what was measured, how to use it."""

import json

from jobs.methods import find_method
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
logits = model(**tokenizer("Your text", return_tensors="pt", return_token_type_ids=False)).logits
print(config.id2label[int(logits.argmax())])''',
}


def model_card(run: Run, recipe: Recipe, results: dict) -> str:
    """The card as Markdown with the Hub's front matter."""
    method = find_method(run.method)
    base, data = run.base, run.data
    front = [f"base_model: {json.dumps(base['hub_id'] or base['name'])}", "library_name: peft",
             f"pipeline_tag: {run.task}", f"tags: [peft, {run.method}, adapter-studio]"]
    base_argument = repr(base["hub_id"]) + f", revision={base['revision']!r}" if base["hub_id"] else '"PATH/TO/THE/BASE/MODEL"'
    rows = [
        ("Base model", f"{base['hub_id'] or base['name']}" + (f" at revision `{base['revision']}`" if base["revision"] else "")),
        ("Base model SHA-256", f"`{base['sha256']}`"),
        ("Method", method.title), ("Task", run.task),
        ("Data", f"{', '.join(data['files'])}: {data['train_rows']:,} rows to learn from, {data['validation_rows']:,} to validate"),
        ("Data SHA-256", f"`{data['sha256']}`"),
        ("Trainable parameters", f"{run.trainable_parameters:,} of {run.total_parameters:,}"),
        ("Steps", f"{results['step']:,}"),
        ("Training time", f"{results['train_seconds']:.1f} s"),
        ("Peak memory", f"{results['peak_memory_bytes'] / 1e6:,.0f} MB ({results['peak_memory_of']})"),
    ]
    rows += [(name.replace("_", " ").capitalize(), f"{value:.4f}") for name, value in results["metrics"].items()]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return "\n".join([
        "---", *front, "---", "", f"# {run.name}", "",
        f"An adapter made with {method.title} in Adapter Studio. {method.summary}", "",
        "| | |", "| --- | --- |", table, "",
        "## Use", "", "```python", USE[run.task].format(base=base_argument), "```", "",
        "The recipe that repeats this run is in `recipe.yaml`, all figures are in `metrics.json`, and `sha256sum -c SHA256SUMS` "
        "checks the files.", ""])
