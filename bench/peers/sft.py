"""TRL's SFTTrainer with its defaults on columns `prompt` and `completion`; it puts the end token there itself.

Its defaults here: gradient checkpointing, and autocast to bf16 on a CPU too.
"""

from datasets import Dataset
from peft import LoraConfig
from transformers import AutoTokenizer, set_seed
from trl import SFTConfig, SFTTrainer

from bench.peers import common, work


def main() -> None:
    options = common.chosen()
    set_seed(work.SEED)
    rows = [work.learnt(row) for row in work.read_rows(options.work / "train.jsonl")]
    rows = Dataset.from_list([{"prompt": prompt, "completion": answer.removesuffix(work.END)} for prompt, answer in rows])
    trainer = SFTTrainer(
        common.base_model(options.work),
        args=SFTConfig(**common.arguments(options), max_length=work.read(options.work).max_length), train_dataset=rows,
        processing_class=AutoTokenizer.from_pretrained(options.work / "base"),
        peft_config=LoraConfig(task_type="CAUSAL_LM", r=work.RANK, lora_alpha=work.ALPHA, target_modules="all-linear"))
    common.train(trainer, options.out, "trl")


if __name__ == "__main__":
    main()
