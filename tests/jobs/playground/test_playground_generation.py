"""Side by side gives what each model gives alone."""

import math
import threading

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoTokenizer, LlamaForCausalLM

from jobs.playground.bench import Bench
from jobs.playground.generation import TOLD_EVERY, Row, Writing, render
from jobs.playground.limits import Limits, Stop, template_time
from jobs.playground.problems import PromptUnusable
from jobs.playground.products import LARGE, SMALL, Cores
from jobs.playground.request import GenerateRequest, Message
from tests.jobs.playground.conftest import LABELS, events_of, finals, randomise
from tests.tiny_models import make_tiny_llama, make_tokenizer


@pytest.fixture(scope="module")
def bench():
    return Bench("cpu")


@pytest.fixture
def panes(adapter_folders):
    return {"base": None, **adapter_folders}


def plain_answer(base_folder, adapter_folder, prompt, tokens, **sampling):
    """What a person gets from transformers and peft without the studio."""
    model = LlamaForCausalLM.from_pretrained(base_folder).eval()
    if adapter_folder:
        model = PeftModel.from_pretrained(model, adapter_folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(adapter_folder or base_folder)
    text = tokenizer.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True)
    inputs = tokenizer(text, add_special_tokens=False, return_tensors="pt", return_token_type_ids=False)
    torch.manual_seed(7)
    output = model.generate(**inputs, max_new_tokens=tokens, pad_token_id=tokenizer.pad_token_id, **sampling)
    return tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True)


@pytest.mark.parametrize("sampling", [
    {"do_sample": False}, {"do_sample": True, "temperature": 0.8, "top_p": 0.95}], ids=["greedy", "sampled"])
def test_every_pane_says_what_plain_peft_says_alone(bench, ask, panes, base_folder, sampling):
    settings = {"temperature": sampling.get("temperature", 0), "top_p": sampling.get("top_p", 1)}
    answers = finals(events_of(bench, ask(panes, "How deep is it?", max_new_tokens=24, seed=7, **settings)))
    for name, folder in panes.items():
        assert answers[name]["text"] == plain_answer(base_folder, folder, "How deep is it?", 24, **sampling)
    assert len({answer["text"] for answer in answers.values()}) == len(panes)


@pytest.fixture(scope="module")
def loras(base_folder, tmp_path_factory):
    """Four LoRA adapters of several shapes."""
    folders = {}
    for seed, shape in enumerate([{"r": 2}, {"r": 8, "lora_alpha": 3}, {"r": 4, "use_rslora": True},
                                  {"r": 4, "target_modules": ["v_proj"], "rank_pattern": {"layers.0.self_attn.v_proj": 6}}]):
        folders[f"lora {seed}"] = tmp_path_factory.mktemp("loras") / str(seed)
        torch.manual_seed(seed)
        model = get_peft_model(LlamaForCausalLM.from_pretrained(base_folder),
                               LoraConfig(task_type="CAUSAL_LM", **{"target_modules": "all-linear", **shape}))
        randomise(model)
        model.save_pretrained(folders[f"lora {seed}"])
        make_tokenizer().save_pretrained(folders[f"lora {seed}"])
    return folders


@pytest.mark.parametrize(("small", "large"), [(SMALL, LARGE), (0, 0), (0, LARGE)],
                         ids=["small_model", "large_model", "large_model_small_products"])
@pytest.mark.parametrize("sampling", [
    {"do_sample": False}, {"do_sample": True, "temperature": 0.9, "top_p": 0.9}], ids=["greedy", "sampled"])
def test_panes_with_conversations_of_different_lengths_share_a_batch_and_say_what_each_says_alone(
        ask, loras, base_folder, sampling, small, large, monkeypatch):
    monkeypatch.setattr("jobs.playground.products.SMALL", small)
    monkeypatch.setattr("jobs.playground.products.LARGE", large)
    bench = Bench("cpu")
    said = ["Why?", "How deep is the harbour?", "A", "Who goes there, and why?", "Ahoy"]
    prompts = dict(zip(["base", *loras], said, strict=True))
    settings = {"temperature": sampling.get("temperature", 0), "top_p": sampling.get("top_p", 1), "seed": 7, "max_new_tokens": 20}
    request = ask({"base": None, **loras}, **settings)
    panes = [pane.model_copy(update={"messages": [Message(role="user", content=prompts[pane.name])]}) for pane in request.panes]
    answers = finals(events_of(bench, request.model_copy(update={"panes": panes})))
    assert {answer["together"] for answer in answers.values()} == {5}
    for name, folder in {"base": None, **loras}.items():
        assert answers[name]["text"] == plain_answer(base_folder, folder, prompts[name], 20, **sampling)


def test_a_penalty_for_repetition_keeps_prompts_of_different_lengths_apart(bench, ask, loras):
    """It would count the padding as said."""
    config = bench.load(ask({"base": None})).together.generation_config
    config.repetition_penalty = 1.3
    request = ask({"base": None, "lora 0": loras["lora 0"]}, max_new_tokens=4)
    longer = request.panes[1].model_copy(update={"messages": [Message(role="user", content="How deep is it, and how wide?")]})
    alike, apart = (finals(events_of(bench, request.model_copy(update={"panes": [request.panes[0], pane]})))
                    for pane in (request.panes[1], longer))
    config.repetition_penalty = 1.0
    assert {answer["together"] for answer in alike.values()} == {2} and {answer["together"] for answer in apart.values()} == {1}


def test_memory_beyond_the_limit_ends_the_answers_with_a_sentence(ask, adapter_folders):
    small = Bench("cpu", memory_limit=1000)
    ends = finals(events_of(small, ask({"base": None, **adapter_folders}, max_new_tokens=50)))
    assert {end["finish_reason"] for end in ends.values()} == {"memory"}
    assert all("STUDIO_MEMORY_LIMIT allows. Take away some adapters" in end["why"] for end in ends.values())


def test_the_panes_advance_together_and_their_pieces_make_the_text(bench, ask, panes):
    events = events_of(bench, ask(panes, max_new_tokens=40, temperature=1.5))
    for name, final in finals(events).items():
        pieces = [event["text"] for event in events if event["pane"] == name and "done" not in event]
        assert "".join(pieces) == final["text"]
        assert 0 < final["seconds_to_first_token"] <= final["seconds"]
        assert final["finish_reason"] == ("length" if final["tokens"] == 40 else "stop")
    assert {event["pane"] for event in events[:12]} == set(panes)


@pytest.mark.parametrize(("seconds", "pieces"), [(1, range(21, 44)), (TOLD_EVERY / 10.5, range(3, 7))])
def test_a_character_of_several_tokens_arrives_whole(seconds, pieces):
    """With some time between tokens each is sent by itself, and of many in a short time several at once."""
    events, tokenizer = [], make_tokenizer()
    writing = Writing("only", tokenizer, events.append)
    said = "Ahoy 🏴‍☠️ zum Ölschiff, 船 ahead"
    for token in tokenizer(said)["input_ids"]:
        writing.add(token, seconds)
    settings = GenerateRequest(base_path="x", base_name="x", panes=[{"name": "only"}], prompt=said)
    assert writing.end("stop", Row("only", None, {}, [], 99), settings, Limits(Stop(), 60))["text"] == said
    sent = [event["text"] for event in events]
    assert "".join(sent) == said
    assert not any("\ufffd" in piece for piece in sent)
    assert len(sent) in pieces, sent
    assert ("船" in sent) == (seconds == 1)


def test_the_turn_goes_round_one_token_each(bench, ask, panes):
    """Measured where tokens are made: no pane is ever more than one token ahead of another that has not ended."""
    made = []
    loaded = bench.load(ask(panes))
    models = {"base and lora": loaded.together} | {name: loaded.answerer(panes[name]).model for name in ("ia3", "prompt")}
    hooks = [model.get_output_embeddings().register_forward_hook(lambda *_, name=name: made.append(name))
             for name, model in models.items()]
    events_of(bench, ask(panes, max_new_tokens=5))
    for hook in hooks:
        hook.remove()
    assert made[:len(models) * 2] == list(models) * 2


def test_a_pane_with_a_problem_ends_alone(bench, ask, adapter_folders, tmp_path):
    answers = finals(events_of(bench, ask({"base": None, "gone": tmp_path / "gone", "lora": adapter_folders["lora"]},
                                          max_new_tokens=3)))
    assert "does not exist" in answers["gone"]["problem"]
    assert answers["base"]["done"] and answers["lora"]["done"]


def test_a_prompt_longer_than_the_context_is_a_problem_of_the_models_it_is_too_long_for(bench, ask, adapter_folders):
    room = 256 - 1 - len(make_tokenizer()(render(make_tokenizer(), [{"role": "user", "content": ""}]))["input_ids"])
    answers = finals(events_of(bench, ask({"base": None, "prompt": adapter_folders["prompt"]}, "x" * room)))
    assert answers["base"]["tokens"] == 1  # one place is left
    assert "at most 252" in answers["prompt"]["problem"]


def test_raw_sends_the_prompt_as_it_is(bench, ask, base_folder):
    answer = finals(events_of(bench, ask({"base": None}, "The sea", raw=True, max_new_tokens=8)))["base"]["text"]
    tokenizer = AutoTokenizer.from_pretrained(base_folder)
    inputs = tokenizer("The sea", return_tensors="pt", return_token_type_ids=False)
    output = LlamaForCausalLM.from_pretrained(base_folder).eval().generate(**inputs, max_new_tokens=8, do_sample=False)
    assert answer == tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True)


def test_a_system_prompt_and_earlier_turns_go_through_the_template(base_folder):
    request = GenerateRequest(
        base_path=base_folder, base_name="tiny", panes=[{"name": "base"}], settings={"system": "Be brief."},
        messages=[{"role": "user", "content": "Ahoy"}, {"role": "assistant", "content": "Aye"},
                  {"role": "user", "content": "Where?"}])
    assert render(make_tokenizer(), request.conversation()) == (
        "<|system|>Be brief.<|end|><|user|>Ahoy<|end|><|assistant|>Aye<|end|><|user|>Where?<|end|><|assistant|>")
    with pytest.raises(PromptUnusable, match="No system prompt here"):
        render(make_tokenizer("{{ raise_exception('No system prompt here') }}"), request.conversation())


def test_a_template_that_never_ends_is_ended():
    endless = "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}"
    with pytest.raises(PromptUnusable, match="was not done after 0.2 s"), template_time(0.2):
        render(make_tokenizer(endless), [{"role": "user", "content": "Ahoy"}])


def test_a_base_without_a_template_is_given_the_bare_prompt(bench, tmp_path):
    folder = make_tiny_llama(tmp_path / "plain", chat_template=None)
    request = GenerateRequest(base_path=folder, base_name="plain", panes=[{"name": "base"}], prompt="The sea",
                              settings={"max_new_tokens": 8})
    chat, bare = (finals(events_of(bench, request.model_copy(update={
        "settings": request.settings.model_copy(update={"raw": raw})})))["base"]["text"] for raw in (False, True))
    assert chat == bare


def test_stop_ends_all_panes_at_once(bench, ask, panes):
    stop, events = Stop(), []

    def tell(event):
        stop.set()
        events.append(event)

    bench.answer(ask(panes, max_new_tokens=230, temperature=1), stop, tell)
    endings = finals(events)
    assert set(endings) == set(panes)
    assert all(end["finish_reason"] == "cancelled" and end["tokens"] <= 8 for end in endings.values())


def test_a_small_model_takes_a_second_core_for_a_batch_until_others_need_it(bench, ask, panes, loras, monkeypatch):
    """What decides is how much of the time was spent waiting: more than a minute never is, more than -1 s always."""
    monkeypatch.setattr(Cores, "needed_by_others", -math.inf)  # an earlier test may have seen that on a busy machine
    before, cores = torch.get_num_threads(), []
    torch.set_num_threads(2)
    head = bench.load(ask(panes)).model.get_output_embeddings(), bench.loaded.together.get_output_embeddings()
    hooks = [layer.register_forward_hook(lambda *_: cores.append(torch.get_num_threads())) for layer in head]

    def cores_for(asked, **constants):
        cores.clear()
        for name, value in constants.items():
            monkeypatch.setattr(f"jobs.playground.products.{name}", value)
        events_of(bench, ask(asked, max_new_tokens=3))
        assert torch.get_num_threads() == 2
        return cores

    batch = {"base": None, **loras}
    assert cores_for({"base": None}) == [1] * 3
    assert cores_for(panes) == [1] * 3, "threads of torch for several groups get in each other's way"
    assert cores_for(batch, WAITED=(60, 1)) == [2] * 3
    assert cores_for(batch, WAITED=(-1, -1)) == [2, 1, 1] and cores_for(batch, WAITED=(60, 1)) == [1] * 3
    assert cores_for(batch, LEFT_ALONE=0) == [2] * 3
    assert cores_for({"base": None}, SMALL=1) == [2] * 3
    for hook in hooks:
        hook.remove()
    torch.set_num_threads(before)


def test_a_lora_adapter_by_itself_answers_by_its_parts_in_32_bits(base_folder, loras, ask):
    """In 16 bits PEFT's own way rounds as it does elsewhere."""
    name, folder = next(iter(loras.items()))
    for dtype, by_parts in ((torch.float32, True), (torch.bfloat16, False)):
        bench = Bench("cpu")
        loaded = bench.load(ask({name: folder}))
        adapter = loaded.answerer(folder).model
        adapter.to(dtype)  # with the base's weights, which it shares
        asked = []
        adapter.get_input_embeddings().register_forward_hook(lambda *_, asked=asked: asked.append("PEFT"))
        loaded.together.get_input_embeddings().register_forward_hook(lambda *_, asked=asked: asked.append("parts"))
        assert finals(events_of(bench, ask({name: folder}, max_new_tokens=3)))[name]["tokens"] == 3
        assert set(asked) == {"parts" if by_parts else "PEFT"}


def test_an_interrupt_ends_the_threads(bench, ask, panes):
    def tell(event):
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.answer(ask(panes, max_new_tokens=230), Stop(), tell)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pane ")]


def test_the_time_limit_ends_an_answer_with_what_it_has(bench, ask):
    request = ask({"base": None}, max_new_tokens=230)
    late = request.model_copy(update={"settings": request.settings.model_copy(update={"max_seconds": 0})})
    assert finals(events_of(bench, late))["base"]["finish_reason"] == "time"
    end = finals(events_of(bench, ask({"base": None}, max_new_tokens=2)))["base"]
    assert end["why"] == "Ended after 2 tokens, the longest answer that the settings allow."


def test_a_classifier_gives_its_likeliest_labels_and_the_base_says_why_it_has_none(encoder_folder, classifier_folder):
    request = GenerateRequest(
        base_path=encoder_folder, base_name="bert", task="text-classification", prompt="Good morning",
        panes=[{"name": "base"}, {"name": "mine", "adapter_folder": classifier_folder}])
    answers = finals(events_of(Bench("cpu"), request))
    labels = answers["mine"]["labels"]
    assert len(labels) == 5 and {found["label"] for found in labels} <= set(LABELS)
    assert [found["probability"] for found in labels] == sorted((f["probability"] for f in labels), reverse=True)
    assert answers["mine"]["text"].startswith(labels[0]["label"])
    scores = answers["mine"]["scores"]
    assert scores[:5] == labels and {found["label"] for found in scores} == set(LABELS)
    assert sum(found["probability"] for found in scores) == pytest.approx(1)
    assert "untrained" in answers["base"]["text"] and answers["base"]["labels"] == []


def test_whole_answers_come_in_the_order_of_the_panes(bench, ask, adapter_folders):
    answers = bench.answers(ask({"mine": adapter_folders["lora"], "base": None}, max_new_tokens=4))
    assert [answer["name"] for answer in answers] == ["mine", "base"]
    assert all(set(answer) == {"name", "text", "tokens", "seconds"} and answer["tokens"] for answer in answers)
