"""From examples to rows of tokens: where answers stand, templates, cutting, the cache, packing, the first batch."""

import json
import shutil

import pytest
import torch

from jobs.data import load_dataset
from jobs.preparing import prepare as preparing
from jobs.preparing.answers import Renderer, TemplateRefuses
from jobs.preparing.collating import IGNORED, TextCollator
from jobs.preparing.encoding import encode_batch, load_tokenizer, settle_template
from jobs.preparing.packing import check_apart, pack, plan, real_tokens
from jobs.preparing.problems import NothingToTrain, PackingRefused, TemplateInvalid
from jobs.preparing.templates import BUILT_IN, check_template
from jobs.recipe_reader import read_recipe
from jobs.submit import submit
from jobs.training.context import TrainingContext
from jobs.training.tasks import load_task
from storage.problems import RecipeInvalid
from storage.records import RunState
from tests.in_process import train_here
from tests.tiny_models import CHAT_TEMPLATE, make_tiny_llama, make_tokenizer, write_chats

SPECIAL = ["<|im_start|>", "<|im_end|>", "<s>", "</s>", "<|User|>", "<|Assistant|>", "<start_of_turn>", "<end_of_turn>",
           "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|endoftext|>"]

# templates that do what many real ones do
THINKING = """{%- set ns = namespace(last=0) %}{%- for m in messages %}{%- if m.role == 'user' %}{%- set ns.last = loop.index0 %}
{%- endif %}{%- endfor %}{%- for m in messages %}{%- if m.role != 'assistant' %}
{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{%- else %}{%- set c = m.content or '' %}
{%- if '</think>' in c %}{%- set c = c.split('</think>')[-1].lstrip('\n') %}{%- endif %}{{- '<|im_start|>assistant\n' }}
{%- if loop.last and loop.index0 > ns.last %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}{{- c }}
{%- for call in m.tool_calls or [] %}{{- '\n<tool_call>\n' + (call.function | tojson) + '\n</tool_call>' }}{%- endfor %}
{{- '<|im_end|>\n' }}{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"""
SYSTEM_IN_THE_FIRST_TURN = """{% if messages[0].role == 'system' %}{% set rest = messages[1:] %}{% set sys = messages[0].content %}
{% else %}{% set rest = messages %}{% set sys = '' %}{% endif %}{% for m in rest %}
{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate') }}{% endif %}
{% if m.role == 'user' %}
{{ bos_token + '[INST] ' + ((sys + '\n\n') if loop.first and sys else '') + m.content | trim + ' [/INST]' }}
{% else %}{{ ' ' + m.content | trim + ' </s>' }}{% endif %}{% endfor %}""".replace("\n{", "{")
ENDS_WITH_EOS = """{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% else %}{{ '<|endoftext|>' }}{% endif %}"""
OPENS_A_THOUGHT = """{% for m in messages %}{% if m.role == 'user' %}<|User|>{{ m.content }}{% elif m.role == 'assistant' %}
<|Assistant|>{{ m.content.split('</think>')[-1] }}</s>{% endif %}{% endfor %}{% if add_generation_prompt %}<|Assistant|><think>
{% endif %}""".replace("%}\n<", "%}<")
MARKED = """{% for m in messages %}<|im_start|>{{ m.role + '\n' }}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}
{%- endgeneration %}{% else %}{{ m.content }}{% endif %}<|im_end|>{{ '\n' }}{% endfor %}
{% if add_generation_prompt %}<|im_start|>assistant{{ '\n' }}{% endif %}"""

ONE = [{"role": "user", "content": "hi there"}, {"role": "assistant", "content": "hello"}]
TWO = [{"role": "user", "content": " hi  "}, {"role": "assistant", "content": " one\n"}, {"role": "user", "content": "two\n\n"},
       {"role": "assistant", "content": "  three  "}]
THOUGHT = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "<think>x</think>b"},
           {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]
TRAP = [{"role": "user", "content": "<|im_start|>assistant\nb<|im_end|>"}, {"role": "assistant", "content": "b", "weight": 0},
        {"role": "user", "content": "b"}, {"role": "assistant", "content": "b"}]
TOOL = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "", "tool_calls": [
    {"type": "function", "function": {"name": "look_up", "arguments": {"a": 1}}}]}, {"role": "tool", "content": "42"},
    {"role": "assistant", "content": "it is 42"}]
CALL = '{"name": "look_up", "arguments": {"a": 1}}'


@pytest.fixture(scope="module")
def tokenizer():
    made = make_tokenizer()
    made.add_tokens(SPECIAL, special_tokens=True)
    made.bos_token = "<s>"
    return made


@pytest.mark.parametrize(("template", "messages", "answers"), [
    (CHAT_TEMPLATE, TWO, [" one\n<|end|>", "  three  <|end|>"]),
    (THINKING, ONE, ["<think>\n\n</think>\n\nhello<|im_end|>"]),
    (THINKING, THOUGHT, ["b<|im_end|>", "<think>\n\n</think>\n\nd<|im_end|>"]),
    (THINKING, TRAP, ["<think>\n\n</think>\n\nb<|im_end|>"]),
    (THINKING, TOOL, [f"\n<tool_call>\n{CALL}\n</tool_call><|im_end|>", "<think>\n\n</think>\n\nit is 42<|im_end|>"]),
    (SYSTEM_IN_THE_FIRST_TURN, [{"role": "system", "content": "be"}, *TWO], [" one </s>", " three </s>"]),
    (ENDS_WITH_EOS, TWO, [" one\n<|im_end|>", "  three  <|im_end|>\n<|endoftext|>"]),
    (OPENS_A_THOUGHT, TWO, [" one\n</s>", "  three  </s>"]),
    (OPENS_A_THOUGHT, THOUGHT, ["b</s>", "d</s>"]),
    (MARKED, TWO, [" one\n<|im_end|>", "  three  <|im_end|>"]),
    (MARKED, TRAP, ["b<|im_end|>"]),
    (BUILT_IN["chatml"], TRAP, ["b<|im_end|>"]),
    (BUILT_IN["chatml"], TOOL, [f"<tool_call>\n{CALL}\n</tool_call><|im_end|>", "it is 42<|im_end|>"]),
    (BUILT_IN["llama-3"], TWO, ["one<|eot_id|>", "three<|eot_id|>"]),
    (BUILT_IN["llama-3"], TOOL, [f"{CALL}<|eot_id|>", "it is 42<|eot_id|>"]),
    (BUILT_IN["gemma"], TWO, ["one<end_of_turn>", "three<end_of_turn>"]),
    (BUILT_IN["alpaca"], TWO, ["one<|end|>", "three<|end|>"]),
    (BUILT_IN["plain"], TOOL, [f" {CALL}<|end|>", " it is 42<|end|>"]),
])
def test_the_answers_are_found_in_what_a_template_writes(tokenizer, template, messages, answers):
    row = encode_batch([{"messages": messages}], tokenizer, "messages", template)[0][""]
    assert row.problem == ""
    assert [tokenizer.decode(row.ids[first:end]) for first, end in row.trained] == answers
    rendered = tokenizer.apply_chat_template(messages, tokenize=True, chat_template=template, return_dict=False)
    assert row.ids == rendered, "the model gets what the template writes, and nothing else"


@pytest.mark.parametrize(("template", "messages", "problem"), [
    (SYSTEM_IN_THE_FIRST_TURN, TOOL, "a conversation that the chat template refuses (Conversation roles must alternate)"),
    (MARKED, TOOL, "a tool call that the chat template leaves out"),
    ("{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}", ONE,
     "an answer that the chat template leaves out"),
    ("{% for m in messages %}{{ m.content | upper }}{% endfor %}{% if add_generation_prompt %}>{% endif %}", TWO,
     "an answer of which the start cannot be told in what the chat template makes of the conversation"),
])
def test_a_conversation_of_which_the_answers_cannot_be_told_is_refused(tokenizer, template, messages, problem):
    row = encode_batch([{"messages": messages}], tokenizer, "messages", template)[0][""]
    assert (row.ids, row.trained, row.problem) == ([], [], problem)


def test_an_empty_answer_is_context_and_so_are_turns_of_tools(tokenizer):
    messages = [*ONE, {"role": "user", "content": "?"}, {"role": "assistant", "content": " "}, *TOOL[2:]]
    row = encode_batch([{"messages": messages}], tokenizer, "messages")[0][""]
    assert [tokenizer.decode(row.ids[first:end]) for first, end in row.trained] == ["hello<|end|>", "it is 42<|end|>"]


def test_a_text_is_trained_whole_with_its_end_and_begins_once(tokenizer):
    from tokenizers.processors import TemplateProcessing

    begins = make_tokenizer()
    begins.add_tokens(["<s>"], special_tokens=True)
    begins.bos_token = "<s>"
    begins.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", begins.bos_token_id)])
    for text in ("one two", "<s>one two", "<s>one two<|end|>"):
        row = encode_batch([{"text": text}], begins, "text")[0][""]
        assert begins.decode(row.ids) == "<s>one two<|end|>"
        assert row.trained == [(0, len(row.ids))]
    template, sentence = settle_template(begins, "chatml")
    assert "'chatml' is used" in sentence
    ids = encode_batch([{"messages": ONE}], begins, "messages", template)[0][""].ids
    assert begins.decode(ids).startswith("<s><|im_start|>user"), "a built-in template begins as the base model's texts do"


def test_the_base_models_own_template_is_taken_unless_another_one_is_wanted(tokenizer):
    assert settle_template(tokenizer) == (CHAT_TEMPLATE, "")
    bare = make_tokenizer(None)
    template, sentence = settle_template(bare)
    assert template == BUILT_IN["plain"] and "no chat template" in sentence
    assert Renderer(bare, template).render(ONE) == "User: hi there\nAssistant: hello<|end|>\n"
    assert settle_template(tokenizer, "{{ messages }}")[0] == "{{ messages }}"
    with pytest.raises(TemplateRefuses):
        Renderer(bare, "{{ nothing.at.all }}").render(ONE)


@pytest.mark.parametrize(("template", "sentence"), [
    ("chatmll", "'chatmll' is not the name of a built-in one. Choose one of plain, chatml"),
    ("{% for m in messages %}\n{{ m.content }}\n{% endfo %}", "line 3: encountered unknown tag 'endfo'"),
    ("a\nb{% for m in messages %}\n{{ m.content + 3 }}{% endfor %}", "line 3: two turns cannot be rendered"),
    ("{% for m in messages %}{{ m.role }}{% endfor %}", "the question is not in what it writes"),
    ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "Look for a loop that never ends"),
    ("{{ 'abcdefgh' * 3000000000 }}", "Look for something that is repeated"),
    ("x" * 65_537, "at most 65,536"),
])
def test_a_template_that_does_not_work_is_refused_with_its_line(template, sentence, monkeypatch):
    monkeypatch.setattr("jobs.preparing.templates.CHECK_SECONDS", 3)
    with pytest.raises(TemplateInvalid, match="^The chat template") as refused:
        check_template(template)
    assert sentence in str(refused.value)


@pytest.mark.parametrize("template", ["", *BUILT_IN, CHAT_TEMPLATE, THINKING, MARKED, OPENS_A_THOUGHT])
def test_templates_that_work_are_taken(template):
    check_template(template)


# ---- prepared rows


class Said:
    """A report that only listens."""

    def __init__(self):
        self.lines: list[str] = []

    def say(self, text: str, level: str = "info") -> None:
        self.lines.append(text)


@pytest.fixture
def context(tiny_llama, tmp_path):
    def context(form: str = "messages", **training) -> TrainingContext:
        recipe = read_recipe({"base_model": str(tiny_llama), "dataset": {"source": "x"}, "training": training})
        return TrainingContext(
            recipe=recipe, task=load_task("text-generation", form), format=form, device="cpu", precision="fp32",
            base_path=tiny_llama, attempt_dir=tmp_path, prepared_dir=tmp_path / "prepared", report=Said(),
            tokenizer=load_tokenizer(tiny_llama))
    return context


def answers_of(*lengths: int) -> list[dict]:
    """Chats with prompts of so many letters, each with an answer of two."""
    return [{"messages": [{"role": "user", "content": "q" * length}, {"role": "assistant", "content": "ab"}]} for length in lengths]


def test_rows_are_made_once_and_found_again(context, chats, monkeypatch):
    examples = load_dataset([chats]).examples
    rows, facts = preparing.prepare(examples, context())
    assert (facts.examples, facts.rows, len(rows)) == (40, 40, 40)
    made = list(rows)

    def fail(*_arguments):
        raise AssertionError("the rows are made again")

    monkeypatch.setattr(preparing, "_write", fail)
    again = context()
    found, found_facts = preparing.prepare(examples, again)
    assert list(found) == made and found_facts == facts
    for other in (context(max_length=64), context("text")):
        with pytest.raises(AssertionError, match="made again"):
            preparing.prepare(examples, other)
    with pytest.raises(AssertionError, match="made again"):
        preparing.prepare(examples.take(range(39)), again)
    again.tokenizer.chat_template = THINKING
    with pytest.raises(AssertionError, match="made again"):
        preparing.prepare(examples, again)


def test_a_change_in_the_tokenizers_files_makes_rows_anew(context, chats, tiny_llama, tmp_path):
    examples, again = load_dataset([chats]).examples, context()
    first, _ = preparing.prepare(examples, again)
    again.base_path = shutil.copytree(tiny_llama, tmp_path / "changed")
    path = again.base_path / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": 77}))
    preparing.prepare(examples, again)
    assert len(list(again.prepared_dir.iterdir())) == 2


def test_up_to_a_twentieth_of_the_rows_may_be_lost_and_that_is_said(context):
    examples = answers_of(*[10] * 95, *[100] * 5, *[44] * 20)
    given = context(max_length=48)
    rows, facts = preparing.prepare(examples, given)
    assert (len(rows), facts.lost_rows, facts.cut, facts.longest) == (115, 5, 25, 48)
    assert given.report.lines == [
        "25 of 120 rows are longer than 48 tokens and were cut.",
        "5 of 120 rows have no token of an answer within 48 tokens, and are left out."]


def test_more_than_a_twentieth_lost_ends_the_run_with_the_figures_and_the_way_out(context):
    examples = answers_of(*[10] * 90, *[60] * 4, *[100] * 6)
    with pytest.raises(NothingToTrain) as refused:
        preparing.prepare(examples, context(max_length=48))
    assert str(refused.value) == (
        "10 of 100 rows (10.0%) would train on nothing, and at most 5% may: 10 have no token of an answer within 48 tokens. "
        "Raise training.max_length from 48 to at least 104, or take these rows out of the data.")
    rows, _ = preparing.prepare(examples, context(max_length=104))
    assert len(rows) == 100
    given = context(max_length=48)
    rows, facts = preparing.prepare(examples, given, validation=True)
    assert (len(rows), facts.lost_rows) == (90, 10), "rows to measure with are left out, and that is said"
    assert "validation rows" in given.report.lines[0]


def test_rows_that_the_template_refuses_count_as_lost(context):
    given = context()
    given.tokenizer.chat_template = SYSTEM_IN_THE_FIRST_TURN.replace("bos_token + ", "")
    twice = {"messages": [ONE[0], *ONE]}
    with pytest.raises(NothingToTrain, match="Choose another chat_template"):
        preparing.prepare([{"messages": ONE}] * 10 + [twice], given)
    rows, facts = preparing.prepare([{"messages": ONE}] * 30 + [twice], given)
    assert len(rows) == 30 and "Conversation roles must alternate" in given.report.lines[-1]


def test_memory_does_not_grow_with_the_rows(context, tmp_path):
    """Examples come and go: of many megabytes of text, a few batches are held at a time."""
    alive = 0
    most = 0

    class Example(dict):
        def __init__(self, number: int):
            nonlocal alive, most
            super().__init__(text=f"{number} " * 20)
            alive += 1
            most = max(most, alive)

        def __del__(self):
            nonlocal alive
            alive -= 1

    class Many(list):
        def __len__(self):
            return 20_000

        def __iter__(self):
            return (Example(number) for number in range(len(self)))

        def digests(self):
            return memoryview(b"many")

    rows, facts = preparing.prepare(Many(), context("text"))
    assert len(rows) == facts.rows == 20_000
    assert most < 4000


# ---- packing


def test_the_plan_fills_rows_and_is_always_the_same():
    lengths = [7, 2, 5, 5, 3, 8, 1, 1, 4]
    rows = plan(lengths, 10)
    assert rows == plan(lengths, 10) == [[1, 5], [0, 4], [2, 3], [6, 7, 8]]
    assert plan([], 10) == [] and plan([10, 10], 10) == [[0], [1]]


def configs():
    from transformers import GemmaConfig, GPT2Config, LlamaConfig, MistralConfig

    like_llama = dict(vocab_size=120, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                      num_key_value_heads=2, max_position_embeddings=64, head_dim=8)
    return {"llama": LlamaConfig(**like_llama), "gemma": GemmaConfig(**like_llama),
            "learned positions": GPT2Config(vocab_size=120, n_embd=32, n_layer=2, n_head=4, n_positions=64),
            "sliding window": MistralConfig(**like_llama, sliding_window=4)}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", ["llama", "gemma", "learned positions", "sliding window"])
def test_a_packed_example_gives_what_it_gives_alone(family, attention, tmp_path):
    from datasets import Dataset
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(configs()[family], attn_implementation=attention).eval()
    examples = [torch.randint(120, (length,)).tolist() for length in (9, 4, 2, 11, 3, 7, 5)]
    source = Dataset.from_dict({"input_ids": examples, "trained": [[1, len(ids)] for ids in examples],
                                "length": list(map(len, examples))})
    assert sorted(pack(source, 16, tmp_path / "packed.arrow")) == [9, 16, 16]
    packed = Dataset.from_file(str(tmp_path / "packed.arrow"))
    assert sum(map(len, packed["parts"])) == 7
    batch = TextCollator(0)(list(packed))
    assert real_tokens(batch) == sum(map(len, examples))
    with torch.inference_mode():
        logits = model(input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False).logits
        seen = []
        for row, row_logits, labels in zip(packed, logits, batch["labels"], strict=True):
            place = 0
            for length in row["parts"]:
                ids = row["input_ids"][place:place + length]
                alone = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
                assert torch.allclose(row_logits[place:place + length], alone, atol=1e-5, rtol=0)
                assert labels[place:place + length].tolist() == [IGNORED, *ids[1:]], "no example foretells the next one's beginning"
                seen.append(ids)
                place += length
            assert set(labels[place:].tolist()) <= {IGNORED}
    assert sorted(seen) == sorted(examples)
    check_apart(model, 120)


def test_a_base_model_that_mixes_the_examples_of_a_row_is_refused():
    from transformers import BloomConfig, BloomForCausalLM

    torch.manual_seed(0)
    model = BloomForCausalLM(BloomConfig(vocab_size=120, hidden_size=32, n_layer=2, n_head=4)).train()
    with pytest.raises(PackingRefused, match="Switch training.packing off"):
        check_apart(model, 120)
    assert model.training


# ---- whole runs


@pytest.fixture
def run_here(services, tiny_llama, chats):
    def run_here(**changes):
        values = {"name": "try", "base_model": str(tiny_llama), "dataset": {"source": str(chats)},
                  "training": {"epochs": 1, "learning_rate": 1e-2}, **changes}
        run = submit(services, read_recipe(values))
        train_here(services)
        return services.runs.get(run.id)
    return run_here


def test_a_packed_run_learns_and_says_how_full_its_rows_are(services, run_here):
    run = run_here(training={"epochs": 3, "learning_rate": 1e-2, "packing": True, "max_length": 128, "batch_size": 2})
    assert (run.state, run.problem) == (RunState.FINISHED, "")
    assert run.eval_loss < run.eval_loss_before
    lines = [line.text for line in services.runs.log_lines(run.id)]
    assert any(line.startswith("Packed 36 rows into ") for line in lines)
    assert run.tokens_per_second > 0


@pytest.mark.parametrize("method", ["prompt-tuning"])
def test_packing_with_a_method_that_stands_before_a_row_is_refused_before_the_start(run_here, method):
    with pytest.raises(RecipeInvalid, match="Prompt tuning learns what stands before a row"):
        run_here(method=method, training={"packing": True})


def test_a_recipes_template_travels_with_the_adapter_to_the_playground(services, run_here, tiny_llama):
    from jobs.playground.generation import render
    from jobs.playground.models import LoadedBase
    from jobs.playground.request import BaseChoice

    run = run_here(chat_template="chatml")
    assert run.state == RunState.FINISHED, run.problem
    folder = services.settings.adapters_dir / services.adapters.get(run.id).folder
    base = LoadedBase(BaseChoice(base_path=tiny_llama, base_name="tiny"), "cpu")
    assert render(base.answerer(folder).tokenizer, ONE[:1]) == "<|im_start|>user\nhi there<|im_end|>\n<|im_start|>assistant\n"
    assert render(base.answerer(None).tokenizer, ONE[:1]) == "<|user|>hi there<|end|><|assistant|>"
    lines = [line.text for line in services.runs.log_lines(run.id)]
    assert any("'chatml' is used" in line for line in lines)
    assert any("may not learn where to stop" in line for line in lines), "the tiny base model has no token for its end of a turn"


def test_a_bad_template_is_told_with_everything_else_that_is_wrong(run_here):
    with pytest.raises(RecipeInvalid) as refused:
        run_here(chat_template="{% for m in messages %}", base_model="no/such-model")
    assert len(refused.value.problems) == 2 and "line 1" in str(refused.value)


def test_a_tokenizer_that_does_not_go_with_the_weights_is_told_before_they_are_loaded(run_here, tmp_path, monkeypatch):
    base = make_tiny_llama(tmp_path / "base")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "vocab_size": 100}))
    monkeypatch.setattr("jobs.training.tasks.text_generation.load_model", lambda context: pytest.fail("the weights are loaded"))
    run = run_here(base_model=str(base))
    assert run.state == RunState.FAILED
    assert "the base model knows 100 tokens" in run.problem and "they do not belong together" in run.problem


def test_the_second_run_finds_its_rows_made(services, run_here):
    run_here()
    folders = {path: path.stat().st_ino for path in services.settings.prepared_dir.iterdir()}
    run = run_here(training={"epochs": 1, "learning_rate": 1e-3})
    assert run.state == RunState.FINISHED
    assert {path: path.stat().st_ino for path in services.settings.prepared_dir.iterdir()} == folders and len(folders) == 2


def test_a_conversation_with_tools_is_trained_with_them(services, run_here, tmp_path):
    path = tmp_path / "tools.jsonl"
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}]
    path.write_text("\n".join(json.dumps({"messages": [*TOOL, {"role": "user", "content": str(number)}, ONE[1]], "tools": tools})
                              for number in range(12)), "utf-8")
    run = run_here(dataset={"source": str(path)}, chat_template="plain", training={"max_length": 256, "epochs": 1})
    assert (run.state, run.problem) == (RunState.FINISHED, "")


def test_many_rows_of_like_length_go_together_without_reading_them_one_by_one(services, run_here, tmp_path):
    source = write_chats(tmp_path / "many.jsonl", 1200)
    run = run_here(dataset={"source": str(source)}, training={"max_steps": 2, "batch_size": 8, "learning_rate": 1e-3})
    assert (run.state, run.problem) == (RunState.FINISHED, "")


def test_a_model_stops_where_the_template_ends_an_answer(tokenizer):
    end, eos = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|end|>"])
    assert Renderer(tokenizer, BUILT_IN["chatml"]).stops(eos) == [eos, end]
    assert Renderer(tokenizer, BUILT_IN["chatml"]).stops([end]) == [end]
    assert Renderer(tokenizer, BUILT_IN["plain"]).stops(None) == [eos]
    assert Renderer(tokenizer, "{% for m in messages %}{{ m.content }}\n{% endfor %}").stops(7) == [7]
