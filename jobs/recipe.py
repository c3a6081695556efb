"""The recipe: all that a run needs to be repeated. One schema for the form, the YAML file, the command line and the record."""

import difflib
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Task = Literal["text-generation", "text-classification"]
Quantization = Literal["none", "int8", "nf4", "fp4"]
DataFormat = Literal["auto", "messages", "instruction", "prompt-completion", "text", "classification"]
Schedule = Literal["linear", "cosine", "constant", "constant_with_warmup"]
Optimizer = Literal["adamw_torch", "adafactor", "sgd", "adamw_8bit", "paged_adamw_8bit"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]

TASKS: tuple[str, ...] = get_args(Task)


class Schema(BaseModel):
    """A part of the recipe: unknown names are refused, so that a typing mistake is not silently ignored."""

    model_config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False)


class DatasetChoice(Schema):
    source: str | list[str] = Field(title="Data", description="A file, several files, or the id of an upload.")
    format: DataFormat = Field("auto", title="Format", description="What a row holds. Auto looks at the rows.")
    columns: dict[str, str] = Field(
        {}, title="Columns", description="Which column plays which part. Empty: found from the names and the content.")
    validation: float | int | str = Field(
        0.1, title="Validation data",
        description="Rows kept aside to measure what was learnt: a share (0.1), a count (200), a file, or none.")


class TrainingSettings(Schema):
    """How the training goes. `shown` marks the few settings that matter most; the page folds the others away."""

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
    schedule: Schedule = Field("linear", title="Schedule", description="How the learning rate falls during training.")
    warmup: float = Field(0.03, ge=0, title="Warm-up",
                          description="Start gently: a share of all steps (below 1) or a number of steps.")
    weight_decay: float = Field(0.0, ge=0, le=1, title="Weight decay",
                                description="Pulls weights towards zero; a little can help against overfitting.")
    optimizer: Optimizer = Field("adamw_torch", title="Optimizer",
                                 description="The update rule. 8-bit and Adafactor keep less in memory.")
    precision: Precision = Field("auto", title="Precision",
                                 description="Number format while training. Auto: bf16 on a GPU that has it, else fp32.")
    gradient_checkpointing: bool = Field(False, title="Gradient checkpointing",
                                         description="Much less memory for activations, about a third slower.")
    packing: bool = Field(False, title="Packing",
                          description="Put short rows together into full ones. Faster on a GPU; text generation only.")
    eval_steps: int = Field(0, ge=0, title="Evaluate every", json_schema_extra={"unit": "steps"},
                            description="Steps between evaluations. 0: about ten times in the run.")
    save_steps: int = Field(0, ge=0, title="Checkpoint every", json_schema_extra={"unit": "steps"},
                            description="Steps between checkpoints. 0: every half minute.")


class Recipe(Schema):
    name: str = Field("", max_length=80, title="Name", description="What the run and its adapter are called.")
    base_model: str = Field(min_length=1, title="Base model",
                            description="A model from the shelf, a folder, or a Hub id that was downloaded.")
    task: Task = Field("text-generation", title="Task", description="What the model should learn to do.")
    dataset: DatasetChoice
    method: str = Field("lora", title="Method", description="How the base model is adapted.")
    method_settings: dict[str, Any] = Field({}, title="Method settings",
                                            description="The method's own settings, by the names of its PEFT config.")
    quantization: Quantization = Field(
        "none", title="Quantization", description="Hold the base model in fewer bits: less memory, slower, a little less exact.")
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


def explain(error: ValidationError, schema: type[BaseModel], prefix: str = "") -> list[str]:
    """One sentence for each thing that pydantic found wrong: which setting, which value, what to do."""
    return [_sentence(problem, schema, prefix) for problem in error.errors()]


def _sentence(problem: dict, schema: type[BaseModel], prefix: str) -> str:
    location = [str(part) for part in problem["loc"] if not str(part).startswith("function-")]
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
    return f"{name} is '{value}'. {problem['msg']}. Change it and try again."


def _names(schema: Any, location: list[str]) -> list[str]:
    for part in location:
        field = getattr(schema, "model_fields", {}).get(part)
        schema = field.annotation if field else None
    return list(getattr(schema, "model_fields", {}))
