"""The notes about methods say only what is used: nothing of settings that PEFT does not have, or that the studio has as its own."""

import pytest

from jobs.methods.library import installed_types
from jobs.methods.notes import NOTES
from jobs.methods.special import special_of

TYPES = {found["type"]: {field["name"] for field in found["fields"]} for found in installed_types() if found["type"] in NOTES}


@pytest.mark.parametrize("type_name", TYPES)
def test_every_note_is_about_a_setting_of_its_type(type_name):
    notes = NOTES[type_name]
    own = set(special_of(type_name).settings)
    noted = {*notes.settings, *notes.limits, *notes.defaults, *notes.only_with}
    assert not noted - (TYPES[type_name] - own - set(notes.left_out))
    assert not set(notes.left_out) - TYPES[type_name]
    assert not set(notes.shown) - (TYPES[type_name] | own)
