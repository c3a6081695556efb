"""Which families of models serve which of the studio's tasks."""

# A model_type is listed where transformers has a sequence classification head for it; a test holds the lists to that.
ENCODERS = frozenset(
    """
    albert bert big_bird camembert canine convbert data2vec-text deberta deberta-v2 distilbert electra ernie esm
    eurobert flaubert fnet funnel ibert longformer luke megatron-bert mobilebert modernbert mpnet mra
    nystromformer rembert roberta roberta-prelayernorm roc_bert roformer squeezebert xlm xlm-roberta
    xlm-roberta-xl xmod yoso
    """.split()
)
DECODERS = frozenset(
    """
    arcee biogpt bloom ctrl deepseek_v2 deepseek_v3 diffllama doge exaone4 falcon gemma gemma2 gemma3
    gemma3_text glm glm4 gpt-sw3 gpt2 gpt_bigcode gpt_neo gpt_neox gpt_oss gptj helium hunyuan_v1_dense
    hunyuan_v1_moe jamba jetmoe llama minimax ministral ministral3 mistral mixtral modernbert-decoder mpt
    nemotron olmo olmo2 olmo3 openai-gpt opt persimmon phi phi3 phimoe qwen2 qwen2_moe qwen3 qwen3_5
    qwen3_5_text qwen3_moe qwen3_next seed_oss smollm3 stablelm starcoder2 xlnet zamba zamba2
    """.split()
)

# Decoders that transformers has no token classification head for.
WITHOUT_TAGS = frozenset(
    """
    ctrl deepseek_v2 doge gemma3 gemma3_text gptj hunyuan_v1_dense hunyuan_v1_moe jamba jetmoe modernbert-decoder olmo
    olmo2 olmo3 openai-gpt opt phimoe qwen3_5_text zamba zamba2
    """.split()
)

# In these the first positions are spent on the padding token: RoBERTa's 514 positions hold 512 tokens.
PADDED_POSITIONS = frozenset(
    """
    camembert data2vec-text ibert longformer mpnet roberta roberta-prelayernorm xlm-roberta xlm-roberta-xl xmod
    """.split()
)


def tasks_of(model_type: str, architecture: str, encoder_decoder: bool) -> tuple[str, ...]:
    """The studio's tasks that a model can be tuned for, by the Hub's names."""
    if encoder_decoder:
        return ()
    if model_type in ENCODERS:
        return ("text-classification", "token-classification", "sentence-similarity")
    # A bare *Model has no head to write text with; some multimodal families write it with *ForConditionalGeneration.
    writes = architecture.endswith(("ForCausalLM", "LMHeadModel")) or (
        model_type in DECODERS and (not architecture or architecture.endswith("ForConditionalGeneration"))
    )
    tasks = ["text-generation"] if writes else []
    if model_type in DECODERS:
        tasks += ["text-classification", *([] if model_type in WITHOUT_TAGS else ["token-classification"]), "sentence-similarity"]
    return tuple(tasks)
