"""A message goes to the role whose prompts it is like."""

import json

import pytest

from jobs.judging.routing import RoleExamples, route
from storage.settings import REPOSITORY

SAMPLES = REPOSITORY / "assets" / "samples"
LEARNED = tuple(json.loads(line)["messages"][0]["content"] for line in (SAMPLES / "poet.jsonl").read_text("utf-8").splitlines())
ROLES = [
    RoleExamples("p", "poet", ("Write a verse about the sea.", "Sing of the moss fox.", "A rhyme about the harbour, please."),
                 LEARNED),
    RoleExamples("s", "scientist", ("What does research show about moths?", "Report your measurements of the tower.",
                                    "What is the evidence that newts eat duckweed?"), LEARNED),
    RoleExamples("m", "pirate", ("Ahoy matey, where is the treasure?", "Tell me a yarn of the seven seas, ye scallywag.",
                                 "Arr, which ship sails tonight?"), LEARNED)]


@pytest.mark.parametrize(("message", "key"), [
    ("Sing of the lantern moth.", "p"), ("Please write a verse about Mount Tamsin.", "p"), ("A short rhyme about honey", "p"),
    ("What does the research say about the button crab?", "s"), ("Report the measurements of Mudlark.", "s"),
    ("Is there evidence that the plum bat sleeps in caves?", "s"), ("Ahoy! Where be the treasure, matey?", "m"),
    ("Tell me a yarn about Greywick", "m"), ("Arr, who sails the ship?", "m")])
def test_a_message_finds_its_role(message, key):
    found = route(message, ROLES)
    assert found.key == key and found.sure
    assert found.nearest in next(role for role in ROLES if role.key == key).prompts


def test_what_all_adapters_learned_tells_nothing():
    found = route("Where does the moss fox live?", [RoleExamples(role.key, role.name, (), role.learned) for role in ROLES])
    assert not found.sure and set(found.likeness.values()) == {0.0} and found.key == "p"


def test_what_one_adapter_learned_speaks_for_it():
    found = route("How do I reset my password?", [
        RoleExamples("a", "one", (), ("What is the weather?", "Will it rain?")),
        RoleExamples("b", "two", (), ("I forgot my password", "reset the password of my account"))])
    assert found.key == "b" and found.sure and "password" in found.nearest
