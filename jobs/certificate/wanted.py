"""What a certificate is to measure and what it asks for: one schema for the page, the YAML file and the command line."""

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from jobs.recipe import explain
from storage.problems import RecipeInvalid
from storage.settings import REPOSITORY

GENERAL_TEXT = REPOSITORY / "assets" / "general-text.txt"
LONGEST = 100_000  # characters of a prompt
MOST_PROMPTS = 1000
ARROW, OR = "=>", "|"

Prompt = Annotated[str, Field(min_length=1, max_length=LONGEST)]


class Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False, frozen=True, str_strip_whitespace=True)


class Limits(Schema):
    """The numbers: what has to be reached, and how much is measured."""

    least_gain: float = Field(0.02, ge=0, le=1, title="Least gain", description=(
        "What the task's score must gain over the base model: of a loss or an error its relative fall (0.02: 2% lower), of all "
        "others points (0.02: accuracy from 0.80 to 0.82). 0: it must not be worse."))
    least_expected: float = Field(0.9, ge=0, le=1, title="Least share of expected content", description=(
        "The share of your prompts whose answer must hold what you expect."))
    least_consistency: float = Field(0.5, ge=0, le=1, title="Least consistency", description=(
        "How alike the answers to one question in different words must be: the F1 of their words, the mean over all pairs. "
        "1: they have the same words."))
    most_forgetting: float = Field(0.1, ge=0, le=100, title="Most forgetting", description=(
        "By how much the loss on general text may rise over the base model's. 0.1: 10%."))
    most_repetition: float = Field(0.1, ge=0, le=1, title="Most repetition", description=(
        "The share of answers that may go in circles: four words in a row that come more than three times."))
    most_empty: float = Field(0, ge=0, le=1, title="Most empty answers", description="The share of answers that may be empty.")
    rows: int = Field(200, ge=1, le=100_000, title="Validation rows", description=(
        "How many rows of the validation data are measured at most. They are drawn by the run's seed."))
    answers: int = Field(20, ge=0, le=10_000, title="Answers to validation prompts", description=(
        "How many prompts of the validation data are answered, to look for circles and empty answers."))
    answer_tokens: int = Field(64, ge=1, le=2048, title="Longest answer", json_schema_extra={"unit": "tokens"},
                               description="Every answer takes the likeliest word each time, and ends here at the latest.")
    general_text: str = Field("", max_length=1_000_000, title="General text", description=(
        "Text that the adapter was not trained on, to see what was forgotten. Empty: the studio's own sentences about everyday "
        "things, in English."))


class Expectation(Schema):
    """A prompt, and texts of which one must occur in the answer, whatever the case of its letters."""

    prompt: Prompt
    expected: list[Prompt] = Field(min_length=1, max_length=100)

    @field_validator("expected", mode="before")
    @classmethod
    def _one_is_a_list_too(cls, value: Any) -> Any:
        return [str(part) if isinstance(part, int | float) else part for part in (value if isinstance(value, list) else [value])]


class Wanted(Limits):
    """All that a certificate is asked for."""

    prompts: list[Expectation] = Field([], max_length=MOST_PROMPTS, title="Prompts with expected content", description=(
        "One a line, as: prompt => expected. Of several expected texts, with | between them, one must occur in the answer; large "
        "and small letters are the same."))
    groups: list[Annotated[list[Prompt], Field(min_length=2)]] = Field(
        [], max_length=MOST_PROMPTS, title="The same question in different words", description=(
            "One question a line; an empty line between groups. The answers within a group should say the same."))

    def general_lines(self) -> list[str]:
        """The lines of the general text."""
        text = self.general_text or GENERAL_TEXT.read_text("utf-8")
        return [line.strip() for line in text.splitlines() if line.strip()]


def read_wanted(values: Any) -> Wanted:
    """What is wanted from plain values; raises RecipeInvalid with a sentence for each thing that is wrong."""
    if not isinstance(values, dict):
        raise RecipeInvalid(["What a certificate is to measure is a list of settings, with lines such as 'least_gain: 0.05'."])
    try:
        return Wanted.model_validate(values)
    except ValidationError as error:
        raise RecipeInvalid(explain(error, Wanted)) from error


def read_wanted_file(path: Path) -> Wanted:
    """The same from a YAML file; an empty one wants what is usual."""
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise RecipeInvalid([f"There is no file '{path}'. Give the path of a YAML file."]) from error
    except (yaml.YAMLError, UnicodeDecodeError, IsADirectoryError) as error:
        raise RecipeInvalid([f"'{path}' is not a YAML file: {error}. Mend it and try again."]) from error
    return read_wanted({} if values is None else values)


def prompts_from_text(text: str) -> list[dict]:
    """Prompts with expected content as a person writes them, one a line; raises RecipeInvalid for lines without an arrow."""
    prompts, problems = [], []
    for number, line in enumerate(text.splitlines(), 1):
        prompt, arrow, expected = (part.strip() for part in line.rpartition(ARROW))
        several = [part.strip() for part in expected.split(OR) if part.strip()]
        if arrow and prompt and several:
            prompts.append({"prompt": prompt, "expected": several})
        elif line.strip():
            problems.append(f"Line {number} of the prompts is '{line.strip()[:60]}'. Write it as: prompt {ARROW} expected.")
    if problems:
        raise RecipeInvalid(problems)
    return prompts


def groups_from_text(text: str) -> list[list[str]]:
    """Groups of questions, one question a line, with an empty line between groups; raises RecipeInvalid for one on its own."""
    groups, problems = [[]], []
    for line in text.splitlines():
        if line.strip():
            groups[-1].append(line.strip())
        elif groups[-1]:
            groups.append([])
    for group in (group for group in groups if len(group) == 1):
        problems.append(f"The question '{group[0][:60]}' stands alone. Write it in other words on the next line, with an empty "
                        "line between groups.")
    if problems:
        raise RecipeInvalid(problems)
    return [group for group in groups if group]


def prompts_as_text(prompts: list[Expectation]) -> str:
    return "\n".join(f"{' '.join(one.prompt.split())} {ARROW} {f' {OR} '.join(one.expected)}" for one in prompts)


def groups_as_text(groups: list[list[str]]) -> str:
    return "\n\n".join("\n".join(" ".join(question.split()) for question in group) for group in groups)
