"""What is asked of the playground: one schema for the page's form, the command line and the process that answers."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from jobs.playground.problems import RequestInvalid
from jobs.recipe import Quantization, Task, explain

Combination = Literal["cat", "svd", "linear", "ties", "dare_linear", "dare_ties", "magnitude_prune"]
MOST_PANES = 17  # the base model and as many adapters as stay in memory


class Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False, frozen=True)


class GenerationSettings(Schema):
    """How an answer is generated. `shown` marks the few settings that matter most; the page folds the others away."""

    max_new_tokens: int = Field(64, ge=1, le=2048, title="Longest answer",
                                json_schema_extra={"shown": True, "unit": "tokens"},
                                description="The answer ends here at the latest, in tokens.")
    temperature: float = Field(0, ge=0, le=2, title="Temperature", json_schema_extra={"shown": True},
                               description="0 always takes the likeliest word. Higher is freer and less reliable.")
    top_p: float = Field(1, gt=0, le=1, title="Top p",
                         description="Draw only from the likeliest words that make up this share. Needs a temperature above 0.")
    seed: int = Field(42, ge=0, lt=2**32, title="Seed", json_schema_extra={"shown": True},
                      description="The same seed draws the same answer. Every pane starts from it.")
    system: str = Field("", max_length=100_000, title="System prompt",
                        description="Instructions before the conversation, where the model's chat template takes them.")
    raw: bool = Field(False, title="Send as it is",
                      description="Leave out the chat template and the system prompt: the model goes on from your text.")
    task: int = Field(0, ge=0, le=999, title="Task", description=(
        "For adapters that learned several tasks (Polytropon, multitask prompts): as which of them they answer, from 0."))
    max_seconds: int = Field(120, ge=1, le=3600, title="Time limit", json_schema_extra={"unit": "seconds"},
                             description="All answers of one request end after this time, with what they have by then.")


class Message(Schema):
    role: Literal["system", "user", "assistant"]
    content: str = Field(max_length=1_000_000)


class BlendPart(Schema):
    adapter_folder: Path = Field(description="A PEFT folder with a LoRA adapter.")
    weight: float = Field(1, ge=-10, le=10, description="How much of it; less than 0 takes it away.")


class Blend(Schema):
    """Several LoRA adapters of one base model, added up into one."""

    parts: tuple[BlendPart, ...] = Field(min_length=1, max_length=8)
    combination: Combination = Field("cat", description=(
        "cat adds the changes up exactly, in as many ranks as all have together; svd brings that down to the largest rank of one; "
        "linear adds the matrices themselves, a rough way; ties, dare and magnitude_prune leave out a share of the numbers first."))
    density: float = Field(0.5, gt=0, le=1, description="Share of the numbers that ties, dare and magnitude_prune keep.")
    majority: Literal["total", "frequency"] = Field("total", description="How ties and dare_ties settle the sign of a number.")
    seed: int = Field(42, ge=0, lt=2**32, description="For dare, which leaves out numbers by chance.")


class Arrow(Schema):
    """Several LoRA adapters of one base model, among which Arrow picks for every token in every layer."""

    adapter_folders: tuple[Path, ...] = Field(min_length=2, max_length=8)
    top_k: int = Field(3, ge=1, le=8, description="How many of them go into a token at most, by their weight.")
    temperature: float = Field(1, gt=0, le=100, description="Higher spreads the weight over more of them.")


class Pane(Schema):
    """One column of answers: the base model itself, or one adapter on it."""

    name: str = Field(min_length=1, description="Comes back with every event; different in each pane.")
    adapter_folder: Path | None = Field(None, description="A PEFT folder; none for the base model itself.")
    blend: Blend | None = Field(None, description="Several adapters as one, in place of a folder.")
    arrow: Arrow | None = Field(None, description="Several adapters routed token by token, in place of a folder.")
    messages: list[Message] = Field([], description="This pane's own conversation, in place of the request's.")


class BaseChoice(Schema):
    """The base model that all panes share."""

    base_path: Path = Field(description="The model's folder.")
    base_name: str = Field(description="What people call it.")
    task: Task = "text-generation"
    quantization: Quantization = Field("none", description="Hold the base model in fewer bits.")


class LoadRequest(BaseChoice):
    """What to have in memory before the first prompt comes."""

    adapter_folders: list[Path] = Field([], max_length=MOST_PANES)


class GenerateRequest(BaseChoice):
    """One prompt (or one conversation) for several panes."""

    id: str = Field("", max_length=64, description="Chosen by the asker, who names it to stop a pane or all of them (POST /stop).")
    panes: list[Pane] = Field(min_length=1, max_length=MOST_PANES)
    prompt: str = Field("", max_length=1_000_000)
    messages: list[Message] = Field([], description="A whole conversation, in place of the prompt.")
    settings: GenerationSettings = GenerationSettings()

    @model_validator(mode="after")
    def _one_question_and_different_panes(self):
        own = all(pane.messages for pane in self.panes)
        if bool(self.prompt.strip()) == bool(self.messages) and not (own and not self.messages):
            raise ValueError("Write a prompt, or give messages; one of the two")
        if any(sum(map(bool, (pane.blend, pane.arrow, pane.adapter_folder))) > 1 for pane in self.panes):
            raise ValueError("A pane asks one adapter, or several as a blend or by Arrow; one of the three")
        if (self.messages or any(pane.messages for pane in self.panes)) and self.settings.raw:
            raise ValueError("Messages need a chat template, so they cannot be sent as they are; give a prompt")
        if len({pane.name for pane in self.panes}) < len(self.panes):
            raise ValueError("Two panes have the same name; give each its own")
        if len({(pane.adapter_folder, pane.blend, pane.arrow, str(pane.messages)) for pane in self.panes}) < len(self.panes):
            raise ValueError("Two panes ask the same model, and would get the same answer; take one of them away")
        return self

    def conversation(self, pane: Pane | None = None) -> list[dict[str, str]]:
        """The messages to answer, a pane's own where it has some, with the system prompt first where there is one."""
        own = pane.messages if pane else []
        messages = [message.model_dump() for message in own or self.messages] or [{"role": "user", "content": self.prompt}]
        if self.settings.system and messages[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": self.settings.system})
        return messages


class ChangesRequest(BaseChoice):
    """A text of which each token is told with what an adapter and its base model hold of it."""

    adapter_folder: Path | None = None
    blend: Blend | None = None
    messages: list[Message] = Field([], description="A conversation to which the text is the answer.")
    prompt: str = Field("", max_length=1_000_000, description="What comes before the text, as it is.")
    text: str = Field(min_length=1, max_length=1_000_000)
    settings: GenerationSettings = GenerationSettings()


class BlendRequest(BaseChoice):
    """A blend to keep, as a new PEFT folder."""

    blend: Blend
    target: Path = Field(description="The folder to write; it must not exist.")


class MergeRequest(BaseChoice):
    """An adapter or a blend to put into the base model's weights, kept as a whole model."""

    adapter_folder: Path | None = None
    blend: Blend | None = None
    target: Path = Field(description="The folder to write; it must not exist.")


def read_settings(values: dict) -> GenerationSettings:
    """Settings from a form; raises RequestInvalid with a sentence for each wrong one."""
    try:
        return GenerationSettings.model_validate(values)
    except ValidationError as error:
        raise RequestInvalid(explain(error, GenerationSettings)) from error


def read_request(values: dict) -> GenerateRequest:
    """A request from plain values; raises RequestInvalid with a sentence for each thing that is wrong."""
    return read_as(GenerateRequest, values)


def read_as(schema: type[BaseChoice], values: dict):
    """The same for any of the requests."""
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise RequestInvalid([
            problem["msg"].removeprefix("Value error, ") + "." if problem["type"] == "value_error" else sentence
            for problem, sentence in zip(error.errors(), explain(error, schema), strict=True)]) from error
