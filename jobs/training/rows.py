"""What a training is fed: rows of tokens, checked before the weights are loaded."""

from collections.abc import Sequence
from dataclasses import replace

from datasets import Dataset, concatenate_datasets

from jobs.methods import find_method
from jobs.methods.special.tasks import sources_of
from jobs.preparing.answers import Renderer
from jobs.preparing.collating import check_batch, check_ids
from jobs.preparing.encoding import load_tokenizer, settle_template
from jobs.preparing.prepare import Facts, prepare
from jobs.training.context import TrainingContext
from storage.problems import TrainingStopped


def rows_of(train_examples: Sequence[dict], validation_examples: Sequence[dict],
            context: TrainingContext) -> tuple[Dataset, Dataset]:
    """The rows to train on and those to measure with, none or more; gives the context its tokenizer.

    Raises NothingToTrain and BatchInvalid.
    """
    context.tokenizer = load_tokenizer(context.base_path)
    settle(context)
    by_task = find_method(context.recipe.method).special.by_task
    rows, facts = (prepare_by_task if by_task else prepare)(train_examples, context)
    validation_rows, measured = (prepare_by_task if by_task else prepare)(validation_examples, context, validation=True)
    look_at_rows(rows, max(facts.largest_id, measured.largest_id), context)
    context.report.change(data={**context.report.run.data, "longest_row": max(facts.longest, measured.longest)})
    return rows, validation_rows


def prepare_by_task(examples: Sequence[dict], context: TrainingContext, validation: bool = False) -> tuple[Dataset, Facts]:
    """As prepare, with the number of its task for every row: each source of mixed data is one."""
    if not hasattr(examples, "sources") and sources_of(context.recipe) > 1 and len(examples):
        raise TrainingStopped("The validation rows do not say to which task they belong. Keep a share of each source back.")
    sources = examples.sources() if hasattr(examples, "sources") else [0] * len(examples)
    prepared = []
    for task in sorted(set(sources)):
        chosen = [number for number, source in enumerate(sources) if source == task]
        rows, facts = prepare(examples.take(chosen) if len(chosen) < len(sources) else examples, context, validation)
        prepared.append((rows.add_column("task", [task] * len(rows)), facts))
    if not prepared:
        return prepare(examples, context, validation)
    largest, longest = max(facts.largest_id for _, facts in prepared), max(facts.longest for _, facts in prepared)
    return concatenate_datasets([rows for rows, _ in prepared]), replace(prepared[0][1], largest_id=largest, longest=longest)


def settle(context: TrainingContext) -> None:
    """Give the tokenizer the chat template to use, which it takes along with the adapter."""
    if context.peft_task != "CAUSAL_LM" or context.format == "text":
        return
    template, sentence = settle_template(context.tokenizer, context.recipe.chat_template)
    if sentence:
        context.tokenizer.chat_template = template
        context.report.say(sentence)
    if not Renderer(context.tokenizer).ends_answers():
        context.report.say("After an answer, the chat template writes no special token of the base model, so the model may not "
                           "learn where to stop. If it does not, choose another chat_template.", "warning")


def look_at_rows(rows: Dataset, largest_id: int, context: TrainingContext) -> None:
    """Make the first batch and check it, before the weights are loaded: what is wrong with it would show minutes later."""
    check_ids(largest_id, context.base_path)
    first = range(min(context.recipe.training.batch_size, len(rows)))
    check_batch(context.task.collator(context)([rows[number] for number in first]), context.report.run.base.get("context_length"))
