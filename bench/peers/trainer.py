"""transformers.Trainer with PEFT, as its examples have it: rows of tokens, padded to the longest of each batch."""

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    Trainer,
    TrainingArguments,
    set_seed,
)

from bench.peers import common, work

IGNORED = -100  # a label that the loss leaves out


def main() -> None:
    options = common.chosen()
    set_seed(work.SEED)
    tokenizer = AutoTokenizer.from_pretrained(options.work / "base")
    encoded = [(ids[:work.MAX_LENGTH], prompt) for ids, prompt in work.encode(tokenizer, options.work / "train.jsonl")]
    rows = Dataset.from_list([{"input_ids": ids, "attention_mask": [1] * len(ids), "labels": [IGNORED] * prompt + ids[prompt:]}
                              for ids, prompt in encoded])
    model = AutoModelForCausalLM.from_pretrained(options.work / "base", dtype=torch.float32)
    config = LoraConfig(task_type="CAUSAL_LM", r=work.RANK, lora_alpha=work.ALPHA, target_modules="all-linear")
    trainer = Trainer(get_peft_model(model, config), TrainingArguments(**common.arguments(options)),
                      DataCollatorForSeq2Seq(tokenizer), rows, processing_class=tokenizer)
    common.train(trainer, options.out)


if __name__ == "__main__":
    main()
