"""The process that forecasts: what it keeps, and when it gives its memory back."""

import logging

from transformers import LlamaConfig

from jobs.devices import DeviceFacts
from jobs.forecast.process import Forecaster
from jobs.recipe import Recipe

SMALL = {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
         "num_key_value_heads": 2, "max_position_embeddings": 64}


def test_it_ends_when_nobody_asks_and_what_it_said_stays(tmp_path, caplog):
    LlamaConfig(**SMALL).save_pretrained(tmp_path)
    forecaster = Forecaster(idle=0.5)
    recipe = Recipe(base_model="x", dataset={"source": "-"}, training={"batch_size": 1, "max_length": 16})
    try:
        found = forecaster.ask(recipe, tmp_path, DeviceFacts("cpu", bf16=True))
        process = forecaster._process
        process.join(30)
        assert process.exitcode == 0
        with caplog.at_level(logging.WARNING):
            assert forecaster.ask(recipe, tmp_path, DeviceFacts("cpu", bf16=True)) is found and forecaster._process is process
        assert found.suggestions == [] and not caplog.records
    finally:
        forecaster.close()
