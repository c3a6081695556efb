"""The small parts that the tasks are made of: entities, cutting, and who counts as a wrong answer."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from jobs.training.spans import f1_of_spans, spans_of


@pytest.mark.parametrize("tags, spans", [
    ("O B-per I-per O B-loc", {(1, 3, "per"), (4, 5, "loc")}),
    ("B-per B-per I-per", {(0, 1, "per"), (1, 3, "per")}),
    ("I-per I-per O I-loc", {(0, 2, "per"), (3, 4, "loc")}),                  # IOB1: an entity begins with I-
    ("B-per I-loc I-loc", {(0, 1, "per"), (1, 3, "loc")}),                    # another kind begins another entity
    ("S-per B-loc E-loc I-loc", {(0, 1, "per"), (1, 3, "loc"), (3, 4, "loc")}),
    ("U-per B-loc I-loc L-loc", {(0, 1, "per"), (1, 4, "loc")}),
    ("B-creative-work I-creative-work", {(0, 2, "creative-work")}),
    ("per per O loc", {(0, 2, "per"), (3, 4, "loc")}),
    ("O O", set()), ("", set())])
def test_entities_are_read_from_tags(tags, spans):
    assert spans_of(tags.split()) == spans


def test_the_score_is_that_of_the_conll_shared_tasks():
    """The example of the evaluation script's documentation, counted by hand: 2 of 4 found entities are right, of 3 expected."""
    expected = ["B-per I-per O B-loc O B-org".split()]
    found = ["B-per I-per B-loc B-loc O I-loc".split()]  # right: per and the second loc; wrong: a loc too many, and org as loc
    precision, recall = 2 / 4, 2 / 3
    assert f1_of_spans(zip(expected, found, strict=True)) == pytest.approx(2 * precision * recall / (precision + recall))
    assert f1_of_spans([("O O".split(), "O O".split())]) == 1
    assert f1_of_spans([("B-a O".split(), "O O".split())]) == 0
    assert f1_of_spans([("B-a I-a".split(), "B-a O".split())]) == 0, "half an entity is none"


@pytest.fixture(scope="module")
def bert_tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: number for number, token in enumerate(["[PAD]", "[CLS]", "[SEP]", "[UNK]", *"abcdefghijkl"])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]",
                                                        special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="[PAD]", sep_token="[SEP]", cls_token="[CLS]",
                                   unk_token="[UNK]")


def test_a_cut_text_keeps_the_special_tokens_at_its_end(bert_tokenizer):
    from jobs.preparing.cutting import cut_texts

    short, long, pair = cut_texts([("a b",), ("a b c d e f",), ("a b c d e", "f g h")], bert_tokenizer, 7)
    assert (bert_tokenizer.decode(short.ids), short.cut) == ("[CLS] a b [SEP]", False)
    assert (bert_tokenizer.decode(long.ids), long.cut) == ("[CLS] a b c d e [SEP]", True)
    assert (bert_tokenizer.decode(pair.ids), pair.cut) == ("[CLS] a b [SEP] f g [SEP]", True)
    assert len(bert_tokenizer.backend_tokenizer.encode("a b c d e f").ids) == 8, "the tokenizer itself does not cut"
    assert long.ids == bert_tokenizer("a b c d e f", truncation=True, max_length=7)["input_ids"]


def test_several_threads_cut_at_once(bert_tokenizer):
    from jobs.preparing.cutting import cut_texts

    texts = [("a b c d e f g",)] * 200
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda limit: cut_texts(texts, bert_tokenizer, limit), [4, 5, 6, 7] * 20):
            assert len({len(text.ids) for text in found}) == 1


def test_a_partner_that_others_have_too_is_no_wrong_answer():
    import torch

    from jobs.training.tasks.sentence_similarity import WatchedSimilarityTrainer

    candidates = torch.tensor([[5, 6], [7, 8], [5, 6], [7, 8]])  # the partners of two texts, then two wrong answers
    doubles = WatchedSimilarityTrainer.doubles(candidates, torch.arange(2))
    assert doubles.tolist() == [[False, False, True, False], [False, False, False, True]]


def test_each_prompt_meets_the_answer_of_another_row_of_its_batch():
    from jobs.training.tasks.preference import mismatched

    row, other = ({"completion_ids": ids, "completion_mask": mask} for ids, mask in
                  (([1, 2, 3, 4], [0, 0, 1, 1]), ([5, 6, 7, 8, 9], [0, 1, 1, 1, 0])))
    assert mismatched(row, other, 99) == ([1, 2, 6, 7, 8, 9], [0, 0, 1, 1, 1, 0])
    assert mismatched(row, other, 4) == ([1, 2, 6, 7], [0, 0, 1, 1])
