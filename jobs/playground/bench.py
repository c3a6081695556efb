"""The base model in memory, and requests answered from it, one after the other."""

import gc
from contextlib import suppress

import torch

from jobs.playground.blending import merge_into_base, save_blend
from jobs.playground.changes import change_map, tokens_changed
from jobs.playground.generation import answer_side_by_side, sentence_for
from jobs.playground.limits import Stop
from jobs.playground.models import Answerer, LoadedBase, fingerprint
from jobs.playground.reading import Tell
from jobs.playground.request import BaseChoice, BlendRequest, ChangesRequest, GenerateRequest, LoadRequest, MergeRequest
from jobs.training.devices import torch_device
from storage.problems import StudioError


class Bench:
    """Holds one base model at a time. Not for several threads at once."""

    def __init__(self, device: str = "auto", memory_limit: int = 0):
        self.memory_limit = memory_limit
        self.device = torch_device("cuda:0" if device == "auto" else device)
        self.loaded: LoadedBase | None = None

    def load(self, choice: BaseChoice) -> LoadedBase:
        """The base model, from memory where it is there already; another one is freed first."""
        if self.loaded is None or _weights(self.loaded.choice) != _weights(choice) or \
                self.loaded.files != fingerprint(choice.base_path):
            self.free()
            self.loaded = LoadedBase(choice, self.device)
        return self.loaded

    def prepare(self, wanted: LoadRequest) -> None:
        """Load ahead of the first prompt. A problem is not told now: the prompt will meet it again."""
        with suppress(StudioError):
            loaded = self.load(wanted)
            for folder in wanted.adapter_folders:
                with suppress(StudioError):
                    loaded.answerer(folder)

    def free(self) -> None:
        """Give the memory back."""
        self.loaded = None
        gc.collect()  # before empty_cache: tensors in reference cycles would otherwise stay on the GPU
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()

    def answer(self, request: GenerateRequest, stop: Stop, tell: Tell) -> None:
        """As answer_side_by_side; a pane whose model cannot be had gets its problem, the others their answers."""
        try:
            loaded = self.load(request)
        except Exception as error:  # told to every pane
            sentence = sentence_for(error, self.device)
            for pane in request.panes:
                tell({"pane": pane.name, "problem": sentence})
            return
        answerers = {}
        for pane in request.panes:
            try:
                answerers[pane.name] = loaded.blend(pane.blend) if pane.blend else loaded.arrow(pane.arrow) if pane.arrow else \
                    loaded.answerer(pane.adapter_folder)
            except Exception as error:  # told to this pane; the others go on
                tell({"pane": pane.name, "problem": sentence_for(error, self.device)})
        loaded.detach_oldest(keep={pane.adapter_folder for pane in request.panes}, memory_limit=self.memory_limit)
        if answerers:
            answer_side_by_side(answerers, request, stop, tell, self.memory_limit, lambda: loaded.together)

    def answers(self, request: GenerateRequest) -> list[dict]:
        """`name`, `text`, `tokens`, `seconds` (and `problem`, or a classifier's `labels`) of every pane, once all have ended."""
        answers = {pane.name: {"name": pane.name, "text": "", "tokens": 0, "seconds": 0.0} for pane in request.panes}

        def keep(event: dict) -> None:
            kept = ("problem",) if "problem" in event else ("text", "tokens", "seconds", "labels") if "done" in event else ()
            answers[event["pane"]].update({key: event[key] for key in kept if key in event})

        self.answer(request, Stop(), keep)
        return list(answers.values())

    def changes(self, request: ChangesRequest) -> list[dict]:
        """What tokens_changed tells of a text; raises a StudioError."""
        loaded = self.load(request)
        return tokens_changed(loaded.answerer(None), self._adapter(loaded, request), request)

    def change_map(self, request: ChangesRequest) -> dict:
        """What change_map tells of an adapter, with the request's text as the probe; raises a StudioError."""
        loaded = self.load(request)
        return change_map(loaded.answerer(None), self._adapter(loaded, request), request.text)

    def save_blend(self, request: BlendRequest) -> dict:
        return {"folder": str(save_blend(self.load(request), request.blend, request.target))}

    def merge(self, request: MergeRequest) -> dict:
        return {"folder": str(merge_into_base(self.load(request), request.adapter_folder, request.blend, request.target))}

    @staticmethod
    def _adapter(loaded: LoadedBase, request: ChangesRequest) -> Answerer:
        return loaded.blend(request.blend) if request.blend else loaded.answerer(request.adapter_folder)


def _weights(choice: BaseChoice) -> tuple:
    """What decides which weights are in memory: not what people call them."""
    return choice.base_path, choice.task, choice.quantization
