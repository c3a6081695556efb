"""What is asked of the playground: one schema for the page's form, the command line and the process that answers."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from jobs.playground.problems import RequestInvalid
from jobs.recipe import Quantization, Task, explain


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
    max_seconds: int = Field(120, ge=1, le=3600, title="Time limit", json_schema_extra={"unit": "seconds"},
                             description="All answers of one request end after this time, with what they have by then.")


class Message(Schema):
    role: Literal["system", "user", "assistant"]
    content: str = Field(max_length=1_000_000)


class Pane(Schema):
    """One column of answers: the base model itself, or one adapter on it."""

    name: str = Field(min_length=1, description="Comes back with every event; different in each pane.")
    adapter_folder: Path | None = Field(None, description="A PEFT folder; none for the base model itself.")


class BaseChoice(Schema):
    """The base model that all panes share."""

    base_path: Path = Field(description="The model's folder.")
    base_name: str = Field(description="What people call it.")
    task: Task = "text-generation"
    quantization: Quantization = Field("none", description="Hold the base model in fewer bits.")


class GenerateRequest(BaseChoice):
    """One prompt (or one conversation) for several panes."""

    panes: list[Pane] = Field(min_length=1)
    prompt: str = Field("", max_length=1_000_000)
    messages: list[Message] = Field([], description="A whole conversation, in place of the prompt.")
    settings: GenerationSettings = GenerationSettings()

    @model_validator(mode="after")
    def _one_question_and_different_panes(self):
        if bool(self.prompt.strip()) == bool(self.messages):
            raise ValueError("Write a prompt, or give messages; one of the two")
        if self.messages and self.settings.raw:
            raise ValueError("Messages need a chat template, so they cannot be sent as they are; give a prompt")
        if len({pane.name for pane in self.panes}) < len(self.panes):
            raise ValueError("Two panes have the same name; give each its own")
        if len({pane.adapter_folder for pane in self.panes}) < len(self.panes):
            raise ValueError("Two panes ask the same model, and would get the same answer; take one of them away")
        return self

    def conversation(self) -> list[dict[str, str]]:
        """The messages to answer, with the system prompt first where there is one."""
        messages = [message.model_dump() for message in self.messages] or [{"role": "user", "content": self.prompt}]
        if self.settings.system and messages[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": self.settings.system})
        return messages


def read_settings(values: dict) -> GenerationSettings:
    """Settings from a form; raises RequestInvalid with a sentence for each wrong one."""
    try:
        return GenerationSettings.model_validate(values)
    except ValidationError as error:
        raise RequestInvalid(explain(error, GenerationSettings)) from error


def read_request(values: dict) -> GenerateRequest:
    """A request from plain values; raises RequestInvalid with a sentence for each thing that is wrong."""
    try:
        return GenerateRequest.model_validate(values)
    except ValidationError as error:
        raise RequestInvalid([
            problem["msg"].removeprefix("Value error, ") + "." if problem["type"] == "value_error" else sentence
            for problem, sentence in zip(error.errors(), explain(error, GenerateRequest), strict=True)]) from error
