"""Deciding in the playground: four methods, a blind vote, three roles, the table, tokens routed, a blend and a merged model,
with the real process.

The adapters are real ones of PEFT on the demo model, with a little noise in place of what training would leave.
"""

import csv
import hashlib
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from jobs.playground.client import PlaygroundClient
from jobs.playground.launch import PlaygroundHost
from jobs.services import Services
from storage.records import RunState
from tests.browser.conftest import serious, serve_studio

PROMPTS = {
    "poet": ["Write a verse about the sea.", "Sing of the moss fox.", "A rhyme about the harbour, please."],
    "scientist": ["What does research show about moths?", "Report your measurements of the tower.",
                  "What is the evidence that newts eat duckweed?"],
    "pirate": ["Ahoy matey, where is the treasure?", "Tell me a yarn of the seven seas, ye scallywag.",
               "Arr, which ship sails tonight?"],
}
MESSAGES = {
    "poet": ["Sing of the lantern moth.", "Please write a verse about Mount Tamsin.", "A short rhyme about honey"],
    "scientist": ["What does the research say about the button crab?", "Report the measurements of Mudlark.",
                  "Is there evidence that the plum bat sleeps in caves?"],
    "pirate": ["Ahoy! Where be the treasure, matey?", "Tell me a yarn about Greywick", "Arr, who sails the ship?"],
}
LOADING = 90_000  # ms; torch is imported and the base model loaded, on a busy machine


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    studio = serve_studio(tmp_path_factory.mktemp("judging"), STUDIO_DEVICES="cpu")
    host = PlaygroundHost(studio.services.settings)
    host.start()  # as a worker does
    studio.adapters = publish(studio.services)
    for name, prompts in PROMPTS.items():
        studio.services.roles.save(studio.adapters[name], name, prompts)
    yield studio
    host.end()
    studio.stop()


@pytest.fixture
def heard(monkeypatch) -> list[dict]:
    """What the page hears from the process, in its order."""
    events, generate = [], PlaygroundClient.generate

    def listen(client, request):
        for event in generate(client, request):
            events.append(event)
            yield event

    monkeypatch.setattr(PlaygroundClient, "generate", listen)
    return events


def publish(services: Services) -> dict[str, str]:
    """Run ids of an adapter for each of four methods, and of a second LoRA to blend with, by name."""
    import torch
    from peft import IA3Config, LoraConfig, OFTConfig, PromptTuningConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    layers = ["q_proj", "v_proj"]
    configs = {
        "poet": ("lora", LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=layers)),
        "scientist": ("ia3", IA3Config(task_type="CAUSAL_LM", target_modules=layers, feedforward_modules=[])),
        "pirate": ("oft", OFTConfig(task_type="CAUSAL_LM", oft_block_size=16, target_modules=layers)),
        "sage": ("prompt-tuning", PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)),
        "bard": ("lora", LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=layers)),
    }
    base = services.settings.demo_base
    found = {}
    for name, (method, config) in configs.items():
        services.runs.submit(name=name, task="text-generation", method=method, base_model="demo-base", recipe={}, base={}, data={})
        run = services.leases.claim_next("cpu", "here")
        folder = services.settings.adapters_dir / f"{run.id}-{run.fence}"
        torch.manual_seed(len(found))
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
        with torch.no_grad():
            for weight in filter(lambda weight: weight.requires_grad, model.parameters()):
                weight.add_(torch.randn_like(weight) * 0.05)
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(base).save_pretrained(folder)
        files = [{"name": path.name, "bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
                 for path in folder.iterdir() if path.is_file()]
        assert services.leases.end(run.id, run.fence, RunState.FINISHED, adapter={
            "name": name, "folder": folder.name, "zip_name": f"{folder.name}.zip", "files": files, "bytes": 1, "zip_bytes": 0,
            "task": "text-generation", "method": method, "base_model": "demo-base", "base_path": str(base), "base_hash": ""})
        found[name] = run.id
    return found


def ask(page: Page, services: Services, prompt: str, answers: int):
    """The comparison that is kept of a prompt, once all panes have answered."""
    page.get_by_label("Prompt", exact=True).fill(prompt)
    page.get_by_label("Prompt", exact=True).press("Enter")
    deadline = time.monotonic() + LOADING / 1000
    while not (kept := services.comparisons.all(limit=1)) or kept[0].conversation[-1]["content"] != prompt:
        assert time.monotonic() < deadline, page.inner_text("main")
        page.wait_for_timeout(50)  # until the state is there
    expect(page.get_by_role("button", name="Send")).to_be_enabled()
    expect(page.locator(".st-pane .st-answer:not(.st-soft)")).to_have_count(answers)
    return kept[0]


def test_four_methods_are_judged_blind_three_roles_routed_and_the_table_exported(pages, studio, heard, tmp_path: Path):
    services, four = studio.services, {name: run_id for name, run_id in studio.adapters.items() if name != "bard"}
    names = {run_id: name for name, run_id in four.items()} | {"base": "demo-base"}
    page = pages.open(studio.url(f"/playground?run={','.join(four.values())}"))
    expect(page.locator(".st-pane h2")).to_have_text(["demo-base", *four])
    expect(page.get_by_role("button", name="Send")).to_be_enabled()

    # four methods and the base model answer at once, without names
    page.get_by_label("Blind", exact=True).check()
    kept = ask(page, services, "Where does the moss fox live?", 5)
    assert not any(answer.get("problem") for answer in kept.answers), kept.answers
    begun = [next(at for at, event in enumerate(heard) if event.get("pane") == id and "text" in event) for id in names]
    assert max(begun) < next(at for at, event in enumerate(heard) if event.get("done")), "one waited for another to end"
    titles = page.locator(".st-pane h2")
    expect(titles).to_have_text([f"Answer {letter}" for letter in "ABCDE"])
    assert serious(page) == []
    page.get_by_role("button", name="Best: Answer C").click()
    expect(titles.filter(has_text="Answer")).to_have_count(0)
    assert sorted(titles.all_inner_texts()) == sorted(names.values())
    judged = services.comparisons.get(kept.id)
    assert names[judged.best] == titles.nth(2).inner_text() and serious(page) == []

    # a message goes to the adapter whose role it is for
    page.get_by_label("Blind", exact=True).uncheck()
    page.get_by_label("Route by request", exact=True).check()
    picked = {message: names[ask(page, services, message, 1).answers[0]["answerer"]]
              for messages in MESSAGES.values() for message in messages}
    right = [message for role, messages in MESSAGES.items() for message in messages if picked[message] == role]
    assert len(right) >= 8, picked
    expect(page.locator("#route")).to_contain_text("pirate answers.")
    expect(page.locator("#route q")).to_have_text("Arr, which ship sails tonight?")
    page.get_by_role("button", name="Answer instead: poet").click()
    expect(page.locator("#route")).to_contain_text("poet answers. As you chose; by its likeness the prompt would go to pirate.")
    expect(titles).to_have_text(["poet"])
    expect(page.locator(".st-pane footer")).to_contain_text("tokens in")

    # the table
    page.get_by_role("link", name="All comparisons and standings").click()
    best = names[judged.best]
    expect(page.locator("#standings tbody tr").first).to_contain_text(best)
    expect(page.locator("#comparisons")).to_contain_text(f"{best} is best")
    assert serious(page) == []
    with page.expect_download() as download:
        page.get_by_role("link", name="Download CSV").click()
    download.value.save_as(tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["prompt"] for row in rows[:2]] == ["Where does the moss fox live?", "Sing of the lantern moth."]
    assert rows[0]["best"] == best and rows[0]["verdict"] == "best" and all(rows[0][name] for name in names.values())


def test_two_are_routed_token_by_token_and_blended_saved_and_merged(pages, studio):
    studio.services.roles.save(studio.adapters["bard"], "bard", [])
    page = pages.open(studio.url(f"/playground?run={studio.adapters['poet']},{studio.adapters['bard']}"))
    expect(page.get_by_role("button", name="Send")).to_be_enabled()
    page.get_by_role("button", name="Blend adapters").click()
    page.get_by_label("number input for bard").fill("-0.25")
    page.get_by_label("number input for bard").press("Tab")
    page.get_by_label("Hear the blend", exact=True).check()
    page.get_by_label("Route token by token", exact=True).check()
    kept = ask(page, studio.services, "Who keeps the harbour light?", 5)
    expect(page.locator(".st-pane h2").nth(3)).to_have_text("0.5 poet + -0.25 bard")
    assert kept.answers[3]["answerer"].startswith("blend-") and not kept.answers[3].get("problem")
    routed = page.locator(".st-pane").last
    expect(routed.locator("h2")).to_have_text("poet / bard")
    assert {*routed.locator(".st-scores span").all_inner_texts()} == {"poet", "bard"}
    assert sum(int(share.rstrip("%")) for share in routed.locator(".st-scores b").all_inner_texts()) in (99, 100, 101)
    page.get_by_label("Route token by token", exact=True).uncheck()
    page.get_by_role("button", name="What changed: poet").click()
    expect(page.get_by_role("heading", name="What poet changed")).to_be_focused()
    expect(page.locator("#changes .st-changed").last).to_have_text(kept.answers[1]["text"])
    expect(page.locator("#changes .st-map")).to_contain_text("q_proj")
    assert serious(page) == []
    page.get_by_label("Name of the blend").fill("poet and bard")
    page.get_by_role("button", name="Save as an adapter").click()
    expect(page.locator("#blend-notice")).to_contain_text("'poet and bard' is in the library now")
    made = studio.services.adapters.all()[0]
    assert made.name == "poet and bard" and [parent["weight"] for parent in made.blend["parents"]] == [0.5, -0.25]

    # and the blend becomes a whole model, which is on the shelf from then on
    page.get_by_role("button", name="Merge into the base model").click()
    expect(page.locator("#merge-hint")).to_contain_text("This writes the whole base model once more")
    page.get_by_label("What is merged").click()
    page.get_by_role("option", name="The blend, as its sliders stand").click()
    page.get_by_label("Name of the new model").fill("bardic base")
    page.get_by_role("button", name="Write the merged model").click()
    expect(page.locator("#merge-notice")).to_contain_text("'bardic base'", timeout=LOADING)
    expect(page.locator("#merge-notice")).to_contain_text("is in the library now")
    assert studio.services.shelf.resolve("bardic base").path.parent == studio.services.settings.models_dir
    assert serious(page) == []
    page.locator("#merge-notice").get_by_role("link", name="Playground").click()
    expect(page.locator(".st-pane h2")).to_have_text(["demo-base", "bardic base"])
    ask(page, studio.services, "Who minds the light?", 2)
    page.goto(studio.url("/?base=bardic%20base"))
    expect(page.locator("#base input")).to_have_value("bardic base")
