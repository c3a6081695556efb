"""What can be wrong with a playground request."""

from pathlib import Path

from storage.problems import StudioError


class RequestInvalid(StudioError):
    """Everything that is wrong with a request, at once."""

    def __init__(self, problems: list[str]):
        self.problems = problems
        super().__init__("\n".join(problems))


class PlaygroundMissing(StudioError):
    def __init__(self):
        super().__init__("The playground's process is not running. Start a worker: make studio, or python app.py worker.")


class PlaygroundLost(StudioError):
    kind = "worker_lost"

    def __init__(self):
        super().__init__(
            "The playground's process ended before the answer was complete, perhaps because memory ran out. "
            "The worker starts it again; its log is logs/playground.log in the studio's home."
        )


class AdapterBroken(StudioError):
    kind = "artefact_corrupt"

    def __init__(self, folder: Path, reason: str):
        super().__init__(f"The adapter in '{folder}' cannot be used: {reason}. Choose another adapter, or train it again.")


class AdapterMisfit(StudioError):
    def __init__(self, folder: Path, base: str, reason: str):
        super().__init__(
            f"The adapter in '{folder}' does not fit the base model '{base}': {reason}. "
            "Choose the base model that it was trained on."
        )


class BlendRefused(StudioError):
    def __init__(self, reason: str):
        super().__init__(f"These adapters cannot be blended: {reason}.")


class ArrowRefused(StudioError):
    def __init__(self, reason: str):
        super().__init__(f"These adapters cannot be routed token by token: {reason}.")


class MergeRefused(StudioError):
    def __init__(self, reason: str):
        super().__init__(f"This cannot be merged into the base model: {reason}.")


class BaseUnloadable(StudioError):
    kind = "artefact_corrupt"

    def __init__(self, name: str, task: str, reason: str):
        super().__init__(
            f"The base model '{name}' could not be loaded for {task}: {reason}. Choose another base model, or another task."
        )


class PromptTooLong(StudioError):
    def __init__(self, tokens: int, context: int):
        super().__init__(
            f"The prompt has {tokens:,} tokens, and this model reads at most {context:,}, one of them kept for the answer. "
            "Shorten the prompt."
        )


class PromptUnusable(StudioError):
    """A prompt that this model's tokenizer or chat template makes nothing of."""


class DeviceFull(StudioError):
    kind = "gpu_oom"

    def __init__(self, device: str):
        super().__init__(
            f"The memory of {device} ran out. Take away some adapters, shorten the prompt, or wait until the training on this "
            "device has ended."
        )
