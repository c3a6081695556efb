"""What every entry of the catalogue has."""

from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from jobs.recipe import TASKS, Quantization, Recipe, explain
from storage.problems import RecipeInvalid

UNTRIED = "It has not been tried with the installed version of PEFT."


class MethodSettings(BaseModel):
    """The settings of one method, by the names of its PEFT config. An unknown name is refused."""

    # the page reads the fields of every schema, and a process checks values with one or two: validators are built when used
    model_config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False, defer_build=True)


@dataclass(frozen=True)
class TrainingMethod:
    """A way to adapt a base model, with what is known of it."""

    name: str
    title: str
    family: str
    peft_type: str
    settings: type[MethodSettings]
    summary: str
    choose_when: str
    avoid_when: str
    paper: str
    learning_rate: float
    special: Any                            # jobs.methods.special.Special
    is_prompt: bool = False                 # learns vectors that stand before the input
    quantizations: tuple[Quantization, ...] = ("none", "int8", "nf4", "fp4")
    tried: dict[str, Any] = field(default_factory=dict)  # what trying has shown, as jobs.methods.tried tells it

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that it serves, as far as is known."""
        return tuple(task for task in TASKS if not self.reason(f"task {task}"))

    def reason(self, ability: str) -> str:
        """Why it cannot do that, such as `merge` or `int8`; empty where it can, or where nobody has tried."""
        return self.tried.get(ability, "")

    def can(self, ability: str) -> bool | None:
        """Whether it can; None where nobody has tried."""
        return not self.tried[ability] if ability in self.tried else None

    def read_settings(self, values: dict) -> MethodSettings:
        """Check a recipe's method_settings; raises RecipeInvalid with every problem."""
        try:
            settings = self.settings.model_validate(values)
        except ValidationError as error:
            raise RecipeInvalid(explain(error, self.settings, "method_settings.")) from error
        if problems := self.special.check(settings):
            raise RecipeInvalid(problems)
        return settings

    def complete(self, recipe: Recipe) -> Recipe:
        """The recipe with this method's defaults written out; raises RecipeInvalid where the two do not fit."""
        settings = self.read_settings(recipe.method_settings)
        quantization = recipe.quantization
        if quantization not in self.quantizations:
            if quantization != "none":
                raise RecipeInvalid([f"quantization is '{quantization}', and {self.title} takes only "
                                     f"{', '.join(self.quantizations)}. Choose one of these."])
            quantization = self.quantizations[0]
        if quantization != "none" and (why := self.reason(quantization)):
            raise RecipeInvalid([f"quantization is '{quantization}', and {self.title} cannot train on such a base model. {why} "
                                 "Choose none, or another method."])
        if why := self.reason(f"task {recipe.task}"):
            raise RecipeInvalid([f"{self.title} does not serve the task '{recipe.task}'. {why} Choose another method."])
        training = recipe.training
        if training.learning_rate is None:
            training = training.model_copy(update={"learning_rate": self.learning_rate})
        return recipe.model_copy(update={"method_settings": settings.model_dump(mode="json"),
                                         "quantization": quantization, "training": training})
