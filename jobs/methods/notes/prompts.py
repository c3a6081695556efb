"""Methods that put learnt vectors before the input or into the attention, and those that mix several adapters."""

from jobs.methods.common import SHARE
from jobs.methods.notes.base import Notes

FROM_THE_MODEL = ("token_dim", "num_transformer_submodules", "num_attention_heads", "num_layers")  # read off the base model
START_TEXT = ("Start text", "Repeated or cut until it fills the virtual tokens.")

NOTES = {
    "PROMPT_TUNING": Notes(
        title="Prompt tuning", family="prompt", paper="Lester et al. 2021, arXiv 2104.08691", learning_rate=3e-2,
        summary="Learns a few vectors that stand before every input; the model itself is not touched at all. Adapters stay below a "
                "megabyte.",
        choose_when="Many adapters share one large model, or a good prompt nearly does the task already.",
        avoid_when="The base model is small, where it learns little, or the task needs much that the model does not know.",
        shown=("num_virtual_tokens", "prompt_tuning_init"),
        defaults={"num_virtual_tokens": 16, "prompt_tuning_init": "SAMPLE_VOCAB"},
        limits={"prompt_tuning_init": {"choices": ("SAMPLE_VOCAB", "TEXT", "RANDOM")}},
        settings={"prompt_tuning_init": ("Start from", "Tokens drawn from the vocabulary, a text, or random numbers, which learn "
                                                       "least."),
                  "prompt_tuning_init_text": START_TEXT},
        only_with={"prompt_tuning_init_text": ("prompt_tuning_init", ("TEXT",))},
        left_out=(*FROM_THE_MODEL, "tokenizer_name_or_path", "tokenizer_kwargs")),
    "MULTITASK_PROMPT_TUNING": Notes(
        title="Multitask prompt tuning", family="prompt", paper="Wang et al. 2023, arXiv 2303.02861", learning_rate=3e-2,
        summary="Learns one prompt for all tasks in the data, and for each task a thin matrix that bends it. Tasks that are alike "
                "help each other, and the adapter stays about as small as with prompt tuning.",
        choose_when="One adapter serves several related tasks, and each comes as a source of its own in mixed data.",
        avoid_when="There is a single task: prompt tuning does the same. On small models it learns little.",
        shown=("num_virtual_tokens", "num_tasks", "num_ranks"),
        defaults={"num_virtual_tokens": 32},
        limits={"num_ranks": {"ge": 1, "le": 64},
                "prompt_tuning_init": {"choices": ("RANDOM", "TEXT")}},
        settings={"num_ranks": ("Rank of a task", "How freely a task bends the shared prompt. 1 is usual."),
                  "prompt_tuning_init": ("Start from", "Random numbers or a text."),
                  "prompt_tuning_init_text": START_TEXT},
        only_with={"prompt_tuning_init_text": ("prompt_tuning_init", ("TEXT",))},
        # a start from another run's prompt stays in the config, and the finished adapter would not load without that run's file
        left_out=(*FROM_THE_MODEL, "tokenizer_name_or_path", "tokenizer_kwargs", "prompt_tuning_init_state_dict_path",
                  "prompt_tuning_init_task")),
    "P_TUNING": Notes(
        title="P-tuning", family="prompt", paper="Liu et al. 2021, arXiv 2103.10385", learning_rate=5e-4,
        summary="Learns the vectors before the input through a small network, which is dropped after training. Adapters are as "
                "small as with prompt tuning, and training needs somewhat more memory.",
        choose_when="Prompt tuning learns too slowly on the task, and adapters must stay tiny.",
        avoid_when="The base model is small, or the adapter is to be trained on later: its network is not stored.",
        shown=("num_virtual_tokens", "encoder_reparameterization_type"),
        defaults={"num_virtual_tokens": 20},
        limits={"encoder_reparameterization_type": {"choices": ("MLP", "LSTM")}, "encoder_hidden_size": {"ge": 1, "le": 16_384},
                "encoder_num_layers": {"ge": 1, "le": 8}, "encoder_dropout": SHARE},
        settings={"encoder_reparameterization_type": ("Network", "MLP is the plain choice. LSTM links neighbouring vectors and is "
                                                                 "slower."),
                  "encoder_hidden_size": ("Network width", "Width of its hidden layers. Empty: the base model's own."),
                  "encoder_num_layers": ("LSTM layers", "How many layers the LSTM has."),
                  "encoder_dropout": ("LSTM dropout", "Share of values dropped between the LSTM's layers, if it has several.")},
        only_with={"encoder_num_layers": ("encoder_reparameterization_type", ("LSTM",)),
                   "encoder_dropout": ("encoder_reparameterization_type", ("LSTM",))},
        left_out=FROM_THE_MODEL),
    "PREFIX_TUNING": Notes(
        title="Prefix tuning", family="prompt", paper="Li and Liang 2021, arXiv 2101.00190", learning_rate=5e-3,
        summary="Learns keys and values that every attention layer reads before the input. It can learn more than prompt tuning, "
                "and adapters have some megabytes.",
        choose_when="Text generation where prompt tuning learns too little and the base model must stay untouched.",
        avoid_when="Gradient checkpointing is needed, which it excludes, or the model takes no past keys, as DistilBERT.",
        shown=("num_virtual_tokens", "start"),
        defaults={"num_virtual_tokens": 32},
        limits={"encoder_hidden_size": {"ge": 1, "le": 16_384}},
        settings={"prefix_projection": ("Projection", "Learn through a small network, which is not stored: no run can go on."),
                  "encoder_hidden_size": ("Network width", "Width of its hidden layer. Empty: the base model's own.")},
        only_with={"encoder_hidden_size": ("prefix_projection", (True,))},
        left_out=(*FROM_THE_MODEL, "init_weights")),  # the studio's own start says it
    "CPT": Notes(
        title="Context-aware prompt tuning", family="prompt", paper="Blau et al. 2024, arXiv 2410.17222", learning_rate=1e-4,
        summary="Puts some training examples before every input and learns small shifts of their embeddings. It learns from few "
                "rows without leaving them far behind, and the examples take their room in the context at every call.",
        choose_when="There are only some dozens of short rows, each with a clear answer such as a label.",
        avoid_when="There are many rows or long ones: other methods learn more, and their calls are faster.",
        shown=("context_rows", "context_tokens"),
        defaults={"opt_weighted_loss_type": "decay", "opt_loss_decay_factor": 0.95},
        limits={"opt_weighted_loss_type": {"choices": ("decay", "none")}, "opt_loss_decay_factor": {"gt": 0, "le": 1},
                "opt_projection_epsilon": {"gt": 0, "le": 100}, "opt_projection_format_epsilon": {"gt": 0, "le": 100}},
        settings={"opt_weighted_loss_type": ("Loss weights", "decay counts an example less the earlier it stands, none counts all "
                                                             "alike."),
                  "opt_loss_decay_factor": ("Decay", "The weight of an example, as a share of that of the next one."),
                  "opt_projection_epsilon": ("Shift of inputs", "How far the inputs of the examples may move from their own "
                                                                "embeddings."),
                  "opt_projection_format_epsilon": ("Shift of the template", "How far the words around inputs and answers may "
                                                                             "move.")},
        only_with={"opt_loss_decay_factor": ("opt_weighted_loss_type", ("decay",))},
        left_out=(*FROM_THE_MODEL, "num_virtual_tokens", "cpt_token_ids", "cpt_mask", "cpt_tokens_type_mask",
                  "tokenizer_name_or_path")),
    "CARTRIDGE": Notes(
        title="Cartridge", family="prompt", paper="Eyuboglu et al. 2025, arXiv 2506.06266", learning_rate=5e-3,
        summary="Learns a small key-value cache that stands in for a long text. Questions about the text then need it in the "
                "context no longer, and every text takes a training of its own.",
        choose_when="Many questions are asked about one long text that hardly changes, and rows with such questions are there.",
        avoid_when="A manner or a task is to be learned, or gradient checkpointing is needed, which it excludes.",
        shown=("num_virtual_tokens", "num_frozen_tokens"),
        defaults={"num_virtual_tokens": 256},
        limits={"num_virtual_tokens": {"ge": 1, "le": 8192}, "num_frozen_tokens": {"ge": 0, "le": 8192}},
        settings={"num_virtual_tokens": ("Cache length", "For how many tokens it stands. Each takes one token of the context."),
                  "num_frozen_tokens": ("Frozen tokens", "The first of them, which are not learned; 1 keeps training steady. Never "
                                                         "more than there are.")},
        left_out=FROM_THE_MODEL),
    "ADAPTION_PROMPT": Notes(
        title="LLaMA-Adapter", family="prompt", paper="Zhang et al. 2023, arXiv 2303.16199", learning_rate=5e-3,
        summary="Learns vectors that the attention of the upper layers reads through a gate, which is shut at first. Training "
                "begins exactly at the base model, and adapters have some megabytes.",
        choose_when="Text generation with a Llama, Mistral or GPT-2 model, where longer prompts must not cost context.",
        avoid_when="The base model is of another family, which it does not know, or a head for classes has to be trained.",
        shown=("adapter_len", "adapter_layers"),
        defaults={"adapter_len": 100, "adapter_layers": 0},
        limits={"adapter_len": {"ge": 1, "le": 1024}, "adapter_layers": {"ge": 0, "le": 1024}},
        settings={"adapter_len": ("Vectors in a layer", "How many each layer reads. They take no room in the context."),
                  "adapter_layers": ("Layers", "How many layers get them, from the top down, never more than there are. 0: all.")},
        left_out=("target_modules",)),
    "XLORA": Notes(
        title="X-LoRA", family="mixture", paper="Buehler and Buehler 2024, arXiv 2402.07148", learning_rate=1e-3,
        summary="Learns a small network that weighs several finished LoRA adapters anew at every token. The adapters stay as they "
                "are, and the base model runs twice at every step.",
        choose_when="There are LoRA adapters of one base model for several fields, and inputs mix these fields.",
        avoid_when="Answers must come fast, as it generates without a cache, or the base model is quantised.",
        shown=("experts", "xlora_depth", "layerwise_scalings", "top_k_lora"),
        limits={"xlora_depth": {"ge": 1, "le": 8}, "xlora_size": {"ge": 1, "le": 16_384}, "xlora_dropout_p": SHARE,
                "softmax_temperature": {"gt": 0, "le": 100}, "top_k_lora": {"ge": 1, "le": 64},
                "scaling_pass_value": {"ge": 0, "le": 100}, "global_scaling_weight": {"gt": 0, "le": 100}},
        settings={"xlora_depth": ("Network depth", "Layers of the weighing network. 1 is a single linear layer."),
                  "xlora_size": ("Network width", "Width of its hidden layers."),
                  "xlora_dropout_p": ("Network dropout", "Share of its hidden values dropped while training; against overfitting."),
                  "layerwise_scalings": ("Weights by layer", "Weigh the adapters anew in every layer, not once for all layers."),
                  "top_k_lora": ("Adapters at once", "How many are used at a token, never more than there are. Empty: all."),
                  "enable_softmax": ("Softmax", "Make the weights of all adapters add up to one."),
                  "softmax_temperature": ("Temperature", "Below 1 prefers single adapters more, above 1 mixes more."),
                  "enable_softmax_topk": ("Softmax of the chosen", "Let the weights of those used add up to one; switch Softmax "
                                                                   "off for it."),
                  "scaling_pass_value": ("Weight in the first pass", "How much the adapters count while their weights are found. "
                                                                     "0: not at all."),
                  "global_scaling_weight": ("Strength", "Multiplies what all adapters add.")},
        only_with={"xlora_size": ("xlora_depth", tuple(range(2, 9))), "xlora_dropout_p": ("xlora_depth", tuple(range(2, 9))),
                   "softmax_temperature": ("enable_softmax", (True,)),
                   "enable_softmax_topk": ("top_k_lora", tuple(range(1, 65)))},
        # adapters that are trained too would be lost: peft loads them again from where they came
        left_out=("hidden_size", "adapters", "use_trainable_adapters")),
    "POLY": Notes(
        title="Polytropon", family="mixture", paper="Ponti et al. 2022, arXiv 2202.13914", learning_rate=1e-3,
        summary="Learns a stock of small LoRA skills and, for each task in the data, how to mix them. One adapter serves all "
                "tasks, and is as large as that many LoRA adapters.",
        choose_when="There are several related tasks, and each comes as a source of its own in mixed data.",
        avoid_when="There is a single task, where LoRA does the same, or the adapter must merge into the base model.",
        shown=("r", "n_skills", "n_tasks"),
        limits={"n_skills": {"ge": 1, "le": 64}, "n_splits": {"ge": 1, "le": 64}},
        settings={"r": ("Rank", "Size of each skill, by which its output is divided. Higher can learn more."),
                  "n_skills": ("Skills", "How many small adapters each layer mixes."),
                  "n_splits": ("Blocks", "Mix so many blocks of each skill on their own. Must divide the widths of all layers.")},
        left_out=("poly_type",)),
}
