import json
import subprocess
import sys
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from jobs.services import open_services
from storage.settings import REPOSITORY, StudioSettings
from studio.guard import HEADERS
from studio.web import create_web_app


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    home = tmp_path_factory.mktemp("web") / "home"
    return open_services(StudioSettings.from_env({"STUDIO_HOME": str(home)}))


@pytest.fixture(scope="module")
def client(served):
    return TestClient(create_web_app(served), base_url="http://127.0.0.1:7860")


@pytest.mark.parametrize(
    "path", ["/", "/guide", "/runs", "/run", "/playground", "/library", "/healthz", "/download/nothing", "/no-such-page"]
)
def test_every_answer_carries_the_security_headers(client, path):
    answer = client.get(path)
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert "access-control-allow-origin" not in answer.headers


def test_health_tells_whether_somebody_works(client, served):
    assert client.get("/healthz").json() == {"status": "ok", "workers": 0, "queued": 0}
    served.workers.beat("one", "here", 1, ["cpu"])
    assert client.get("/healthz").json()["workers"] == 1


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:7860", "[", ""])
def test_a_foreign_host_name_is_refused(client, host):
    assert client.get("/", headers={"host": host}).status_code == 400


@pytest.mark.parametrize("host", ["localhost:7860", "127.0.0.1", "[::1]:7860"])
def test_the_names_of_this_machine_are_served(client, host):
    assert client.get("/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
    ],
)
def test_a_request_from_another_site_is_refused(client, headers):
    assert client.post("/gradio_api/queue/join", json={}, headers=headers).status_code == 403
    assert client.post("/gradio_api/upload", files={"files": b"x"}, headers=headers).status_code == 403


def test_the_studios_own_page_may_upload(client):
    answer = client.post(
        "/gradio_api/upload", files={"files": ("a.txt", b"x")}, headers={"origin": "http://127.0.0.1:7860"}
    )
    assert answer.status_code == 200


def test_bound_to_other_addresses_the_studio_has_any_name_but_still_one_origin(services):
    client = TestClient(
        create_web_app(replace(services, settings=replace(services.settings, host="0.0.0.0"))),
        base_url="http://gpu-box:7860",
    )
    assert client.get("/healthz").status_code == 200
    assert client.post("/gradio_api/queue/join", json={}, headers={"origin": "http://evil.example"}).status_code == 403


def test_uploads_wait_inside_the_home_and_have_a_limit(services):
    small = replace(services, settings=replace(services.settings, upload_limit=1000))
    client = TestClient(create_web_app(small), base_url="http://127.0.0.1:7860")
    kept = client.post("/gradio_api/upload", files={"files": ("a.txt", b"x" * 500)}).json()[0]
    assert kept.startswith(str(services.settings.temporary_dir))
    assert client.post("/gradio_api/upload", files={"files": ("b.txt", b"x" * 5000)}).status_code == 413


@pytest.mark.parametrize(
    "path", ["/download/../../studio.db", "/download/%2e%2e%2fstudio.db", "/log/..%2f..", "/download/nothing"]
)
def test_only_what_a_run_left_can_be_downloaded(client, path):
    assert client.get(path).status_code == 404


def test_the_studios_files_are_not_served_by_gradio(client, served):
    (served.settings.uploads_dir / "secret.csv").write_text("secret")
    for path in (served.settings.uploads_dir / "secret.csv", served.settings.home / "studio.db"):
        assert client.get(f"/gradio_api/file={path}").status_code == 403


def test_the_page_records_nothing_in_the_browser_and_offers_no_tools(client):
    assert client.get("/gradio_api/runs").status_code == 404
    assert client.get("/gradio_api/mcp/").status_code == 404
    assert client.get("/docs").status_code == 404


def test_no_page_names_another_host_to_load_from(client):
    config = client.get("/config").json()
    assert "fonts.googleapis" not in json.dumps(config)
    assert "fonts.googleapis" not in client.get("/theme.css").text


def test_the_web_process_never_imports_torch():
    code = (
        "import sys, studio.web, studio.pages, studio.theme, studio.guard;"
        "print([name for name in ('torch', 'transformers', 'peft', 'pandas', 'pyarrow.parquet') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_gradio_finds_pandas_all_the_same_once_it_asks_for_it():
    code = ("import sys, studio.lean_gradio, gradio, gradio.caching; assert 'pandas' not in sys.modules;"
            "frame = gradio.caching.pd.DataFrame({'a': [1]}); import pandas; print(isinstance(frame, pandas.DataFrame))")
    found = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "True"


def test_gradio_comes_without_what_nothing_here_needs():
    code = ("import studio.lean_gradio as lean, gradio, gradio.component_meta as meta; from gradio.queueing import Queue;"
            "taken_out = (meta.create_or_modify_pyi, gradio.events.EventListener.set_doc, Queue.compute_analytics_summary);"
            "print(all(function is lean._do_nothing for function in taken_out))")
    found = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "True", "Gradio has changed: see whether studio/lean_gradio.py still helps"
