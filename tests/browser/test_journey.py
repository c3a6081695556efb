"""The whole journey as a person makes it: make studio's command, upload, train, watch, compare, download, use elsewhere."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile

import pytest
from playwright.sync_api import expect

from tests.conftest import ROOT

QUESTION = "Where does the moss fox live?"
MINUTES = 5 * 60_000  # ms; training waits for its share of a busy machine


@pytest.fixture
def running_studio(tmp_path):
    """`python app.py serve --with-worker`, as make studio runs it; stopped with Ctrl-C's signal."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = tmp_path / "home"
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "app.py"), "serve", "--with-worker"], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "STUDIO_HOME": str(home), "STUDIO_PORT": str(port), "COLUMNS": "200"})
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{address}/healthz", timeout=5).read()
            break
        except OSError:
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.1)
    yield address, home
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    assert address in output and "Traceback" not in output, output
    left = subprocess.run(["pgrep", "-f", str(home)], capture_output=True, text=True).stdout.split()
    assert left == [], "processes are left after Ctrl-C"


def test_from_an_upload_to_an_adapter_that_answers_the_same_elsewhere(running_studio, pages, tmp_path):
    address, home = running_studio
    page = pages.open(address)

    # upload, and see what was recognised
    page.locator("#upload input[type=file]").set_input_files(ROOT / "assets" / "samples" / "pirate.csv")
    expect(page.locator("#data")).to_contain_text("pirate.csv")
    expect(page.locator("#data")).to_contain_text("372")
    page.locator("#TrainingSettings-epochs input").fill("6")
    page.locator("#TrainingSettings-learning_rate input").fill("0.002")
    page.locator("#TrainingSettings-batch_size input").fill("16")
    page.locator("#name textarea, #name input").first.fill("My pirate")

    # train and watch; a reload changes nothing
    page.locator("#start").click()
    page.wait_for_url(re.compile(r"/run\?id="), timeout=60_000)
    run_id = page.url.split("id=")[1]
    expect(page.locator("h1")).to_have_text("My pirate")
    page.reload()
    expect(page.locator("#run-links")).to_contain_text("Download zip", timeout=MINUTES)
    expect(page.locator("#run-figures")).to_contain_text("Peak memory")
    expect(page.locator("#run-samples")).to_contain_text(re.compile("matey|arr", re.IGNORECASE))

    # download
    with page.expect_download() as download:
        page.locator("#run-links").get_by_role("link", name=re.compile("Download zip")).click()
    zip_path = tmp_path / download.value.suggested_filename
    download.value.save_as(zip_path)
    assert zip_path.name == "My-pirate.zip"

    # compare, side by side with the base model
    page.locator("#run-links").get_by_role("link", name="Open in the playground").click()
    page.wait_for_url(re.compile(f"/playground\\?run={run_id}"))
    page.locator("#prompt textarea").fill(QUESTION)
    page.locator("#send").click()
    base, adapter = page.locator(".st-pane").nth(0), page.locator(".st-pane").nth(1)
    expect(base.locator("footer")).to_contain_text("tokens", timeout=MINUTES)
    expect(adapter.locator("footer")).to_contain_text("tokens", timeout=MINUTES)
    in_playground = adapter.locator(".st-answer").inner_text()
    assert in_playground != base.locator(".st-answer").inner_text()

    # the library has it too
    page.goto(f"{address}/library")
    expect(page.locator("#adapters")).to_contain_text("My pirate")

    # elsewhere: plain peft and transformers on the unpacked zip
    unpacked = tmp_path / "elsewhere"
    with zipfile.ZipFile(zip_path) as archive:
        archive.extractall(unpacked)
    assert answer_elsewhere(unpacked) == in_playground


def answer_elsewhere(folder) -> str:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(ROOT / "assets" / "demo-base", dtype=torch.float32)
    model = PeftModel.from_pretrained(base, folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer.apply_chat_template([{"role": "user", "content": QUESTION}], add_generation_prompt=True,
                                           return_tensors="pt", return_dict=True)
    output = model.generate(**inputs, max_new_tokens=64, do_sample=False)
    return tokenizer.decode(output[0][inputs["input_ids"].shape[1]:], skip_special_tokens=True).strip()
