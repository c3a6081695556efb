"""What to change where a run does not fit: the search, over a device whose memory is worked out by a plain formula."""

from jobs.forecast.result import PARTS, Forecast
from jobs.forecast.suggest import nearest_changes
from jobs.recipe import Recipe
from storage.problems import TrainingStopped

BYTES = {"none": 4000, "int8": 1000, "nf4": 500}


def recipe(**changes) -> Recipe:
    training = {"batch_size": 16, "max_length": 512, **changes.pop("training", {})}
    data = {"source": "-", "format": changes.pop("format", "messages")}
    return Recipe(base_model="x", dataset=data, training=training, **changes)


class Device:
    """Weights, and activations in proportion to rows and their length."""

    def __init__(self, memory: int, refuses: str = ""):
        self.memory, self.refuses, self.asked = memory, refuses, 0

    def __call__(self, recipe: Recipe) -> Forecast:
        self.asked += 1
        if recipe.quantization == self.refuses:
            raise TrainingStopped("not in these bits")
        training = recipe.training
        weights = BYTES[recipe.quantization] / (2 if training.base_precision == "bf16" else 1)
        activations = training.batch_size * training.max_length / (4 if training.gradient_checkpointing else 1)
        parts = dict.fromkeys(PARTS, 0) | {"base weights": round(weights), "activations": round(activations)}
        peak = sum(parts.values())
        return Forecast("cuda", peak, parts, "", 1, 2, 3, 4, device_memory_bytes=self.memory, fits=peak <= self.memory)


def found(memory: int, refuses: str = "", **changes) -> list[str]:
    """What is suggested, in words up to the cost."""
    device, wanted = Device(memory, refuses), recipe(**changes)
    told = list(nearest_changes(wanted, device(wanted), device))
    assert all(suggestion.fits and suggestion.peak_memory_bytes <= memory for suggestion in told)
    assert device.asked <= 14
    return [suggestion.words.partition(":")[0] for suggestion in told]


def test_the_smallest_change_of_each_kind_with_room_to_spare():
    assert found(9000) == ["8 rows at a time", "Gradient checkpointing", "Rows of at most 256 tokens"]
    assert found(9000, training={"batch_size": 12}) == ["6 rows at a time", "Gradient checkpointing", "The base model in int8"]


def test_what_only_just_fits_stands_after_what_fits():
    one_row = {"batch_size": 1, "max_length": 4096}
    assert found(5000, training=one_row)[:2] == ["Rows of at most 384 tokens", "The base model in nf4"]


def test_less_of_what_is_enough_with_something_else():
    assert found(5200)[2] == "Gradient checkpointing and 4 rows at a time"


def test_what_needs_two_kinds_gets_two_and_nothing_that_is_needless():
    assert found(1300) == ["1 row at a time and the base model in nf4"]


def test_nothing_is_told_where_nothing_is_enough():
    assert found(400) == []


def test_bits_that_the_method_does_not_go_with_are_left_out():
    assert not any("int8" in words or "nf4" in words for words in found(9000, refuses="nf4", training={"batch_size": 12}))


def test_rows_that_are_compared_are_taken_apart_last():
    assert found(9000, format="pairs", task="sentence-similarity")[2] == "8 rows at a time"


def test_a_change_says_what_it_costs_and_keeps_the_batch():
    device, wanted = Device(9000), recipe()
    first = next(nearest_changes(wanted, device(wanted), device))
    assert first.words == "8 rows at a time: 8.1 kB instead of 12.2 kB, learns the same, somewhat slower."
    assert first.change == {"training.batch_size": 8, "training.accumulation": 2}
