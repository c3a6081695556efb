import csv
import io
import json

import pytest
from fastapi.testclient import TestClient
from pyarrow import parquet

from jobs.mends import mend
from jobs.services import open_services
from jobs.uploads import dataset_paths, keep_files
from storage.settings import StudioSettings
from studio.web import create_web_app

ROWS = [{"question": f" what is {n}?", "answer": f"=it is {n}" if n else "-5", "late": [n]} for n in range(2000)]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    home = tmp_path_factory.mktemp("export") / "home"
    return open_services(StudioSettings.from_env({"STUDIO_HOME": str(home)}))


@pytest.fixture(scope="module")
def client(served):
    return TestClient(create_web_app(served), base_url="http://127.0.0.1:7860")


@pytest.fixture(scope="module")
def kept(served, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "fragen é.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return keep_files(served, [path])


def test_any_version_is_downloaded_in_any_form(client, served, kept):
    second = mend(served, kept, None, "", "trim")
    answer = client.get(f"/data/{kept.id}/export?format=jsonl")
    assert [json.loads(line) for line in answer.text.splitlines()] == ROWS
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''fragen%20%C3%A9.jsonl"
    answer = client.get(f"/data/{second.id}/export?format=csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].endswith("fragen%20%C3%A9%20v2.csv")
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert rows[0] == {"question": "what is 0?", "answer": "-5", "late": "[0]"} and rows[1]["answer"] == "'=it is 1"
    answer = client.get(f"/data/{second.id}/export?format=parquet")
    assert parquet.read_table(io.BytesIO(answer.content)).to_pylist()[1999] == {**ROWS[1999], "question": "what is 1999?"}


def test_what_cannot_be_downloaded_is_said_in_words(client, served, kept, tmp_path):
    assert client.get("/data/nothing/export").status_code == 404
    answer = client.get(f"/data/{kept.id}/export?format=xlsx")
    assert answer.status_code == 400 and "not as 'xlsx'" in answer.text
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    other = keep_files(served, [tmp_path / "other.csv"])
    path = dataset_paths(served, other)[0]
    path.write_text("a,b\n1,3\n")
    answer = client.get(f"/data/{other.id}/export?format=csv")
    assert answer.status_code == 400 and "is not what was uploaded" in answer.text
    path.unlink()
    assert client.get(f"/data/{other.id}/export?format=csv").status_code == 404
    served.trash.delete("dataset", other.id)
    answer = client.get(f"/data/{other.id}/export?format=csv")
    assert answer.status_code == 404 and "was deleted" in answer.text


def test_comparisons_are_downloaded_as_a_table(client, served):
    for name, base in (("One, \"two\"?", "a base"), ("=1+1", "a base"), ("Other?", "another")):
        served.comparisons.keep(base_model=base, task="text-generation", conversation=[{"role": "user", "content": name}],
                                settings={}, answers=[{"answerer": "base", "name": base, "text": "An answer"}])
    answer = client.get("/comparisons/export?format=csv&base=a%20base")
    assert answer.headers["content-disposition"].endswith("comparisons%20a%20base.csv")
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [(row["prompt"], row["a base"]) for row in rows] == [("One, \"two\"?", "An answer"), ("'=1+1", "An answer")]
    answer = client.get("/comparisons/export?format=jsonl")
    assert [json.loads(line)["base_model"] for line in answer.text.splitlines()] == ["a base", "a base", "another"]
    assert client.get("/comparisons/export?format=xls").status_code == 400
