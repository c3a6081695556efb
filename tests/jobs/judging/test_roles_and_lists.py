"""Roles know what their adapters learned from, and lists of prompts are read from files."""

import pytest

from jobs.imports import read_dataset
from jobs.judging.prompt_list import read_prompts
from jobs.judging.roles import NoRoles, examples_of, learned_prompts, roles_of
from storage.problems import DataInvalid
from tests.browser.lab_book import add_run, finish, start


def test_a_role_has_its_own_prompts_and_those_that_its_adapter_learned_from(services):
    with pytest.raises(NoRoles, match="has a role yet"):
        examples_of(services, [])
    run = finish(services, start(services, add_run(services, "poet")))
    role = services.roles.save(run.id, "poet", ["Write a verse.", " ", "Write a verse."])
    assert roles_of(services, services.adapters.all()) == [role] and roles_of(services, []) == []
    assert learned_prompts(services, run.id) == (), "data that nobody has read are not read for this"
    dataset = services.datasets.find(services.runs.get(run.id).data["dataset_id"])
    read_dataset(services, dataset, **{name: services.runs.get(run.id).recipe["dataset"][name] for name in ("format", "columns")},
                 task="text-generation")
    known = examples_of(services, [role])[0]
    assert known.prompts == ("Write a verse.",) and "What pet does" in " ".join(known.learned) and len(known.learned) > 100
    assert learned_prompts(services, "nobody") == ()


@pytest.mark.parametrize(("name", "content", "found"), [
    ("a.txt", "\ufeffOne?\r\n\r\n  Two?\n", ["One?", "Two?"]),
    ("a.csv", 'id,Prompt\n1,"One,\ntwo?"\n2,Three?\n', ["One,\ntwo?", "Three?"]),
    ("a.jsonl", '{"prompt": "One?"}\n{"prompt": ""}\n{"prompt": "Two?", "more": 1}\n', ["One?", "Two?"])])
def test_prompts_are_read_from_a_file(tmp_path, name, content, found):
    (tmp_path / name).write_text(content, "utf-8", newline="")
    assert read_prompts(tmp_path / name) == found


@pytest.mark.parametrize(("name", "content", "said"), [
    ("a.txt", b"\n \n", "no prompt in 'a.txt'"), ("a.txt", b"\xff\xfe\xfa", "not a text file in UTF-8"),
    ("a.csv", b"question,answer\nOne?,yes\n", "no column 'prompt'. Its columns are 'question', 'answer'"),
    ("a.jsonl", b'{"prompt": ["One?"]}\n', "is not a text"),
    ("a.jsonl", b'{"prompt": "One?"}\n{"prompt":\n', "Line 2 of 'a.jsonl'"),
    ("a.txt", b"One?\n" * 2001, "2,001 prompts")])
def test_what_is_no_list_of_prompts_is_said(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataInvalid) as problem:
        read_prompts(tmp_path / name)
    assert said in str(problem.value)
