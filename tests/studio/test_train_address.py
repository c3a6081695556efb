"""The Train page as an address opens it."""

from types import SimpleNamespace

import pytest

from jobs.devices import DeviceFacts
from tests import tiny_models


@pytest.mark.parametrize("address", [{"base": "wide"}, {"base": "wide", "method": "lora"}, {"base": "wide", "data": "gone"}])
def test_an_address_with_a_base_model_tells_the_number_format_for_it(page, services, tmp_path, address):
    services.shelf.add_folder(str(tiny_models.make_tiny_llama(tmp_path / "wide", width=512)))
    services.workers.beat("one", "there", 1, ["cpu"], facts={"cpu": DeviceFacts("cpu", bf16=True).record()})
    opened = page.page_loaded(None, "", SimpleNamespace(query_params=address))
    assert "Precision bf16" in opened[page.settings.precision]
    usual = page.page_loaded(None, "", SimpleNamespace(query_params={}))
    assert "Precision fp32" in usual[page.settings.precision], "the demo model is narrow"
