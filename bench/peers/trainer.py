"""transformers.Trainer with PEFT, as its examples have it: rows of tokens, padded to the longest of each batch."""

from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from transformers import AutoTokenizer, DataCollatorForSeq2Seq, Trainer, TrainingArguments, set_seed

from bench.peers import common, work


def main() -> None:
    options = common.chosen()
    set_seed(work.SEED)
    tokenizer, model = AutoTokenizer.from_pretrained(options.work / "base"), common.base_model(options.work)
    if work.read(options.work).nf4:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=bool(options.checkpointing))
    config = LoraConfig(task_type="CAUSAL_LM", r=work.RANK, lora_alpha=work.ALPHA, target_modules="all-linear")
    trainer = Trainer(get_peft_model(model, config), TrainingArguments(**common.arguments(options)),
                      DataCollatorForSeq2Seq(tokenizer), common.rows_of(options.work, tokenizer), processing_class=tokenizer)
    common.train(trainer, options.out)


if __name__ == "__main__":
    main()
