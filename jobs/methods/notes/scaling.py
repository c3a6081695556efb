"""Methods that learn scales for what the base model computes already."""

from jobs.methods.notes.base import Notes

NOTES = {
    "IA3": Notes(
        title="IA³", family="scaling", paper="Liu et al. 2022, arXiv 2205.05638", learning_rate=1e-2,
        summary="Learns one scale for each key, value and feed-forward channel. "
                "Adapters are some hundred times smaller than LoRA's.",
        choose_when="Adapters must be tiny, or there are few rows.",
        avoid_when="The task is far from what the base model does already: it learns less than LoRA.",
        settings={"feedforward_modules": ("Feed-forward layers", "Those of the layers above that are scaled at their input."),
                  "init_ia3_weights": ("Start neutral", "Begin with scales of one, so that the first step starts at the base.")}),
}
