"""What every entry of the catalogue has."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from jobs.recipe import TASKS, Quantization, Recipe, explain
from storage.problems import RecipeInvalid


class MethodSettings(BaseModel):
    """The settings of one method, by the names of its PEFT config. An unknown name is refused."""

    model_config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False)


@dataclass(frozen=True)
class TrainingMethod:
    """A way to adapt a base model. `build_config` gives the PEFT config; it imports peft when it is called."""

    name: str
    title: str
    family: str
    peft_type: str
    settings: type[MethodSettings]
    summary: str
    choose_when: str
    learning_rate: float
    build_config: Callable[[MethodSettings, Any], Any]  # (settings, jobs.training.context.TrainingContext)
    tasks: tuple[str, ...] = TASKS
    quantizations: tuple[Quantization, ...] = ("none", "int8", "nf4", "fp4")
    capabilities: dict[str, bool] = field(default_factory=dict)

    def read_settings(self, values: dict) -> MethodSettings:
        """Check a recipe's method_settings; raises RecipeInvalid with every problem."""
        try:
            return self.settings.model_validate(values)
        except ValidationError as error:
            raise RecipeInvalid(explain(error, self.settings, "method_settings.")) from error

    def complete(self, recipe: Recipe) -> Recipe:
        """The recipe with this method's defaults written out; raises RecipeInvalid where the two do not fit."""
        settings = self.read_settings(recipe.method_settings)
        quantization = recipe.quantization
        if quantization not in self.quantizations:
            if quantization != "none":
                raise RecipeInvalid([f"quantization is '{quantization}', and {self.title} takes only "
                                     f"{', '.join(self.quantizations)}. Choose one of these."])
            quantization = self.quantizations[0]
        if recipe.task not in self.tasks:
            raise RecipeInvalid([f"{self.title} does not serve the task '{recipe.task}'. Choose another method."])
        training = recipe.training
        if training.learning_rate is None:
            training = training.model_copy(update={"learning_rate": self.learning_rate})
        return recipe.model_copy(update={"method_settings": settings.model_dump(mode="json"),
                                         "quantization": quantization, "training": training})
