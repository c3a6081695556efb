"""The recipe: all that a run needs to be repeated. One schema for the form, the YAML file, the command line and the record."""

import difflib
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Task = Literal["text-generation", "text-classification", "token-classification", "sentence-similarity"]
Quantization = Literal["none", "int8", "nf4", "fp4"]
DataFormat = Literal["auto", "messages", "instruction", "prompt-completion", "text", "translation", "summarisation", "preference",
                     "binary-preference", "classification", "regression", "tokens", "pairs", "triplets"]
Schedule = Literal["linear", "cosine", "cosine_with_restarts", "cosine_with_min_lr", "polynomial", "inverse_sqrt", "constant",
                   "constant_with_warmup", "warmup_stable_decay"]
Optimizer = Literal["adamw_torch", "adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit", "adafactor",
                    "lion_32bit", "lion_8bit", "paged_lion_32bit", "paged_lion_8bit", "ademamix", "ademamix_8bit",
                    "paged_ademamix_32bit", "paged_ademamix_8bit", "muon", "sgd", "adagrad", "rmsprop", "rmsprop_bnb_8bit"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Score = Literal["eval_loss", "accuracy", "macro_f1", "f1", "pearson", "spearman", "rmse", "reward_accuracy", "reward_margin"]

TASKS: tuple[str, ...] = get_args(Task)
SCORES: dict[str, tuple[str, ...]] = {  # what an evaluation of each task measures, as far as it can decide which state is the best
    "text-generation": ("eval_loss",), "text-classification": ("eval_loss", "accuracy", "macro_f1"),
    "token-classification": ("eval_loss", "f1", "accuracy"), "sentence-similarity": ("eval_loss", "accuracy")}
FORMAT_SCORES: dict[str, tuple[str, ...]] = {  # where a data format of a task is measured otherwise
    "regression": ("eval_loss", "pearson", "spearman", "rmse"), "preference": ("eval_loss", "reward_accuracy", "reward_margin"),
    "binary-preference": ("eval_loss", "reward_margin")}
PEFT_TASKS = {"text-generation": "CAUSAL_LM", "text-classification": "SEQ_CLS", "token-classification": "TOKEN_CLS",
              "sentence-similarity": "FEATURE_EXTRACTION"}  # what peft calls the tasks
LABELLED = ("text-classification", "token-classification")  # tasks with a head of their own and names for what it gives
SMALLER_IS_BETTER = ("eval_loss", "rmse")
IN_BATCH = ("pairs", "triplets", "binary-preference")  # formats whose rows are learnt by comparison with the others of their batch
WARMED_UP = ("linear", "cosine", "cosine_with_restarts", "cosine_with_min_lr", "polynomial", "inverse_sqrt", "constant_with_warmup",
             "warmup_stable_decay")  # schedules that begin with a warm-up
NAME_LENGTH = 80


class Schema(BaseModel):
    """A part of the recipe: unknown names are refused, so that a typing mistake is not silently ignored."""

    model_config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False)


class DatasetChoice(Schema):
    source: str | list[str] = Field(
        title="Data", description="A file, several files, a folder, the id of an upload, or a dataset on the Hub "
                                  "(owner/name:config:split).")
    weights: list[Annotated[float, Field(gt=0, le=1000)]] = Field(
        [], title="Weights",
        description="One for each of several sources, which are then read on their own and mixed: how often an epoch uses their "
                    "training rows (2: twice, 0.5: every second one, chosen by the seed). Empty: several files are one table.")
    format: DataFormat = Field("auto", title="Format", description="What a row holds. Auto looks at the rows.")
    columns: dict[str, str] = Field(
        {}, title="Columns", description="Which column plays which part. Empty: found from the names and the content.")
    validation: float | int | str = Field(
        0.1, title="Validation data",
        description="Rows kept aside to measure what was learnt: a share (0.1), a count (200), a file, the id of an upload, "
                    "or none.")
    group_by: str = Field(
        "", title="Keep together",
        description="A column, such as a speaker or a document: rows that agree there are never on both sides, training and "
                    "validation. Empty: only rows that are the same stay together.")


class TrainingSettings(Schema):
    """How the training goes. `shown` marks the few settings that matter most; the page folds the others away.

    `only_with` [other setting, values]: with other values it does nothing, and the page hides it; the other one may be the recipe's
    own, such as quantization. `only_for` [tasks]: the same for the task.
    """

    epochs: float = Field(3, gt=0, le=1000, title="Epochs", json_schema_extra={"shown": True},
                          description="How many times every row is seen. More learns more, and after a while by heart.")
    learning_rate: float | None = Field(
        None, gt=0, title="Learning rate", json_schema_extra={"shown": True},
        description="Step size. Empty: the method's own. Lower it when the loss jumps about.")
    batch_size: int = Field(8, ge=1, le=4096, title="Batch size", json_schema_extra={"shown": True},
                            description="Rows per step. Larger is steadier and needs more memory.")
    max_length: int = Field(512, ge=8, le=1_048_576, title="Longest row", json_schema_extra={"shown": True, "unit": "tokens"},
                            description="Longer rows are cut here, in tokens. Memory grows with it.")
    max_steps: int = Field(0, ge=0, title="Steps at most", description="End after this many steps. 0: epochs decide.")
    accumulation: int = Field(1, ge=1, le=4096, title="Accumulation",
                              description="Batches added up before each step: a larger batch in the same memory, slower.")
    schedule: Schedule = Field("linear", title="Schedule", description="How the learning rate changes during training.")
    cycles: int = Field(3, ge=1, le=100, title="Restarts", json_schema_extra={"only_with": ["schedule", ["cosine_with_restarts"]]},
                        description="How many cosines in all, each from the full learning rate to nothing.")
    power: float = Field(2.0, gt=0, le=10, title="Power", json_schema_extra={"only_with": ["schedule", ["polynomial"]]},
                         description="How bent the fall is: 1 is a straight line, higher falls faster at first.")
    lowest_rate: float = Field(
        0.1, ge=0, lt=1, title="Lowest rate",
        json_schema_extra={"only_with": ["schedule", ["cosine_with_min_lr", "polynomial", "warmup_stable_decay"]]},
        description="The learning rate at the end, as a share of the one above.")
    decay: float = Field(0.2, gt=0, le=1, title="Decay", json_schema_extra={"only_with": ["schedule", ["warmup_stable_decay"]]},
                         description="Share of all steps, at the end, in which the learning rate falls.")
    warmup: float = Field(0.03, ge=0, title="Warm-up", json_schema_extra={"only_with": ["schedule", list(WARMED_UP)]},
                          description="Start gently: a share of all steps (below 1) or a number of steps.")
    weight_decay: float = Field(0.0, ge=0, le=1, title="Weight decay",
                                description="Pulls weights towards zero; a little can help against overfitting.")
    optimizer: Optimizer = Field(
        "adamw_torch", title="Optimizer",
        description="The update rule. 8 bits, Adafactor and Lion keep less in memory; paged ones give way to the computer's memory "
                    "when a GPU's is short, and on a CPU are as the others. Lion takes about a fifth of AdamW's learning rate, SGD "
                    "far more. Muon steps whole matrices and is slower.")
    max_grad_norm: float = Field(
        1.0, ge=0, le=1000, title="Gradient clipping",
        description="A step's gradient is cut down to this length, against jumps of the loss. 0: never.")
    neftune_noise_alpha: float = Field(
        0, ge=0, le=100, title="NEFTune noise",
        description="Noise on what the model reads while it trains, against learning few rows by heart. 5 is usual, 0 is none. "
                    "Not with preferences.")
    label_smoothing: float = Field(
        0, ge=0, lt=1, title="Label smoothing",
        json_schema_extra={"only_for": ["text-generation", "text-classification", "token-classification"]},
        description="Share of each answer's weight that goes to all others, against being too sure. 0.1 is usual. Text generation "
                    "takes one more pass for it: slower. Evaluations are measured without it.")
    precision: Precision = Field(
        "auto", title="Precision",
        description="Number format to compute in. Auto: bf16 on a GPU that has it, fp16 on one that has not; on a CPU bf16 for a "
                    "wide base model where the CPU has it, else fp32.")
    base_precision: Precision = Field(
        "auto", title="Base model's numbers", json_schema_extra={"only_with": ["quantization", ["none"]]},
        description="Number format that the base model's weights are held in: fp32, or the one computed in. Auto: the one that "
                    "Precision chooses by itself; fp32 for full fine-tuning, whose small steps are lost in fewer bits.")
    gradient_checkpointing: bool = Field(False, title="Gradient checkpointing",
                                         description="Much less memory for activations, about a third slower.")
    packing: bool = Field(False, title="Packing", json_schema_extra={"only_for": ["text-generation"]},
                          description="Put short rows together into full ones. Faster on a GPU; text generation only.")
    eval_steps: int = Field(0, ge=0, title="Evaluate every", json_schema_extra={"unit": "steps"},
                            description="Steps between evaluations. 0: about ten times in the run.")
    save_steps: int = Field(0, ge=0, title="Checkpoint every", json_schema_extra={"unit": "steps"},
                            description="Steps between checkpoints. 0: every half minute.")
    keep_checkpoints: int = Field(2, ge=1, le=1000, title="Checkpoints kept",
                                  description="How many stay on the disk while it trains; the best one stays beside them.")
    keep_best: bool = Field(True, title="Keep the best",
                            description="The adapter is the state that did best on the validation data, not the last one.")
    best_by: Score = Field("eval_loss", title="Best by",
                           description="What decides which state is the best. Accuracy and F1 serve the tasks that have classes.")
    patience: int = Field(5, ge=0, title="Patience", json_schema_extra={"unit": "evaluations"},
                          description="End early after this many evaluations without a better one. 0: never.")


class Recipe(Schema):
    name: str = Field("", max_length=NAME_LENGTH, title="Name", description="What the run and its adapter are called.")
    base_model: str = Field(min_length=1, title="Base model",
                            description="A model from the shelf, a folder, or a Hub id that was downloaded.")
    task: Task = Field("text-generation", title="Task", description="What the model should learn to do.")
    dataset: DatasetChoice
    method: str = Field("lora", title="Method", description="How the base model is adapted.")
    method_settings: dict[str, Any] = Field({}, title="Method settings",
                                            description="The method's own settings, by the names of its PEFT config.")
    quantization: Quantization = Field(
        "none", title="Quantization", description="Hold the base model in fewer bits: less memory, slower, a little less exact.")
    start_from: str = Field(
        "", title="Start from", description="An adapter to train on from: a run's id, or an adapter's folder. Empty: a fresh one. "
                                            "Its own method settings are taken. Full fine-tuning takes what it left before.")
    chat_template: str = Field(
        "", max_length=65_536, title="Chat template",
        description="How a conversation is written. Empty: as the base model does. Or plain, chatml, llama-3, gemma or alpaca, or "
                    "the text of one in Jinja. It travels with the adapter.")
    training: TrainingSettings = TrainingSettings()
    seed: int = Field(42, ge=0, lt=2**32, title="Seed", description="The same seed and data give the same run.")

    @model_validator(mode="before")
    @classmethod
    def _fill_in_nothing(cls, values: Any) -> Any:
        # `training:` with nothing under it is YAML for "the defaults"
        if isinstance(values, dict):
            return {key: value for key, value in values.items() if value is not None}
        return values

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def scores_of(task: str, format: str) -> tuple[str, ...]:
    """What an evaluation of a task measures on data of a format."""
    return FORMAT_SCORES.get(format, SCORES[task])


def explain(error: ValidationError, schema: type[BaseModel], prefix: str = "") -> list[str]:
    """One sentence for each thing that pydantic found wrong: which setting, which value, what to do."""
    found: dict[tuple, tuple[list[str], dict]] = {}
    for problem in error.errors():
        location = [str(part) for part in problem["loc"] if not str(part).startswith("function-")]
        place = tuple(_settings_at(schema, location))
        # a setting of several types has a problem for each type: the one that goes deepest comes nearest to what was meant
        if place not in found or len(location) >= len(found[place][0]):
            found[place] = location, problem
    return [_sentence(list(place), problem, schema, prefix) for place, (_, problem) in found.items()]


def _settings_at(schema: Any, location: list[str]) -> list[str]:
    """A problem's location as far as it names settings: after one of several types come the types and what is in them."""
    for depth, part in enumerate(location):
        kinds = [schema, *(kind for kind in get_args(schema) if kind is not types.NoneType)]
        if get_origin(schema) in (Union, types.UnionType) and len(kinds) > 2:
            return location[:depth]
        fields = next((kind.model_fields for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), {})
        schema = fields[part].annotation if part in fields else None
    return location


def _sentence(location: list[str], problem: dict, schema: type[BaseModel], prefix: str) -> str:
    name = prefix + ".".join(location)
    value, limits = problem["input"], problem.get("ctx", {})
    match problem["type"]:
        case "extra_forbidden":
            close = difflib.get_close_matches(location[-1], _names(schema, location[:-1]), n=1)
            hint = f"Did you mean '{close[0]}'?" if close else \
                f"The settings here are {', '.join(_names(schema, location[:-1]))}."
            return f"'{name}' is not a setting. {hint}"
        case "missing":
            return f"'{name}' is missing. Add it to the recipe."
        case "greater_than_equal":
            return f"{name} is {value}. It must be at least {limits['ge']:g}."
        case "greater_than":
            return f"{name} is {value}. It must be greater than {limits['gt']:g}."
        case "less_than_equal":
            return f"{name} is {value}. It must be at most {limits['le']:g}."
        case "less_than":
            return f"{name} is {value}. It must be less than {limits['lt']:g}."
        case "literal_error":
            return f"{name} is '{value}'. Choose one of {limits['expected'].replace(chr(39), '')}."
        case "string_too_short":
            return f"{name} is empty. Fill it in."
        case "float_parsing" | "int_parsing" | "float_type" | "int_type" | "int_from_float" | "finite_number":
            kind = "a whole number" if problem["type"].startswith("int") else "a number"
            return f"{name} is '{value}'. It must be {kind}."
        case "dict_type" | "model_type":
            return f"{name} is '{value}'. It must be names with values, such as q_proj: 8."
        case "bool_parsing" | "bool_type":
            return f"{name} is '{value}'. It must be true or false."
    return f"{name} is '{value}'. {problem['msg']}. Change it and try again."


def _names(schema: Any, location: list[str]) -> list[str]:
    for part in location:
        field = getattr(schema, "model_fields", {}).get(part)
        schema = field.annotation if field else None
    return list(getattr(schema, "model_fields", {}))
