"""Methods that rotate the base model's weights, train a choice of them, or set a small network beside them."""

from jobs.methods.common import SHARE
from jobs.methods.notes.base import Notes

NORMS = ["input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm", "norm",
         "final_layernorm", "final_layer_norm", "ln_1", "ln_2", "ln_f", "layer_norm", "self_attn_layer_norm",
         "encoder_attn_layer_norm", "LayerNorm", "sa_layer_norm", "output_layer_norm", "mlp_norm"]  # as usual families name them
SERIES = {"ge": 3, "le": 50}
BY_NAME = ("Layer numbers", "Only these layers of the stack are trained, counted from 0; not with a pattern.")
QUICK = ("Quick rotations", "Compute the rotations by a short series: faster, but not exactly orthogonal.")
TERMS = ("Terms of the series", "How long that series is; more terms are more exact and slower.")

NOTES = {
    "OFT": Notes(
        title="OFT", family="orthogonal", paper="Qiu et al. 2023, arXiv 2306.07280", learning_rate=2e-4,
        summary="Turns the inputs of each layer by learned rotations, block by block. It learns about as well as LoRA with "
                "adapters of the same size, and trains about a fifth slower.",
        choose_when="What the base model knows should suffer as little as possible, also on a quantised base.",
        avoid_when="Speed matters most: LoRA is faster.",
        shown=("oft_block_size",),
        defaults={"target_modules": "all-linear"},
        limits={"r": {"ge": 0, "le": 65536}, "oft_block_size": {"ge": 0, "le": 4096}, "eps": {"gt": 0, "le": 1},
                "num_cayley_neumann_terms": SERIES},
        settings={
            "oft_block_size": ("Block size", "Inputs rotated together; the nearest size that divides a layer's inputs is taken."),
            "r": ("Number of blocks", "Blocks in each layer, instead of their size: then the block size must be 0."),
            "coft": ("Constrained", "Keep every rotation within a small distance of none (COFT)."),
            "eps": ("Freedom", "How far a constrained rotation may go."),
            "block_share": ("Share blocks", "One rotation for all blocks of a layer: far smaller, and it learns less."),
            "use_cayley_neumann": QUICK, "num_cayley_neumann_terms": TERMS, "layers_to_transform": BY_NAME},
        only_with={"eps": ("coft", (True,)), "num_cayley_neumann_terms": ("use_cayley_neumann", (True,))},
        left_out=("module_dropout", "fan_in_fan_out")),  # neither does anything in peft's linear layers
    "BOFT": Notes(
        title="BOFT", family="orthogonal", paper="Liu et al. 2023, arXiv 2311.06243", learning_rate=5e-4,
        summary="Learns rotations of each layer's inputs, chained like a butterfly, and a scale for each output. Adapters are "
                "small, but training takes about seven times as long as LoRA's and more memory.",
        choose_when="Published results with BOFT are to be repeated, or OFT lacks a scale for each output.",
        avoid_when="Mostly OFT does much the same, faster. Wide layers take very much memory.",
        shown=("boft_block_size",),
        limits={"boft_block_size": {"ge": 0, "le": 4096}, "boft_block_num": {"ge": 0, "le": 65536},
                "boft_dropout": SHARE,
                "bias": {"choices": ("none", "all", "boft_only")}},
        settings={
            "boft_block_size": ("Block size", "Inputs that are rotated together; it must divide the inputs of every chosen layer."),
            "boft_block_num": ("Number of blocks", "Blocks in each layer, instead of their size: then the block size must be 0."),
            "boft_dropout": ("Block dropout", "Share of the blocks that stay unrotated at a step; against overfitting."),
            "layers_to_transform": BY_NAME},
        # more than one factor needs code that is compiled for a GPU on the spot, and the adapter would open nowhere else
        left_out=("boft_n_butterfly_factor", "fan_in_fan_out")),
    "HRA": Notes(
        title="HRA", family="orthogonal", paper="Yuan et al. 2024, arXiv 2405.17484", learning_rate=5e-4,
        summary="Reflects the inputs of each layer in a chain of learned mirrors, which together rotate them. Adapters are about "
                "half as large as LoRA's of the same rank, but training is slower and takes much more memory.",
        choose_when="What the base model knows should suffer as little as possible, and adapters should be small.",
        avoid_when="Layers are wide or memory is short. A quantised base cannot be used.",
        shown=("r",),
        limits={"bias": {"choices": ("none", "all", "hra_only")}},
        settings={
            "r": ("Reflections", "Mirrors in each layer's chain; an odd number does not start at the base model."),
            "apply_GS": ("Perpendicular mirrors", "Make a layer's mirrors perpendicular (Gram-Schmidt); it does not start at the "
                                                  "base model then."),
            "layers_to_transform": BY_NAME}),
    "PSOFT": Notes(
        title="PSOFT", family="orthogonal", paper="Wu et al. 2025, arXiv 2505.11235", learning_rate=5e-4,
        summary="Rotates and scales each layer's weights within their strongest directions. Adapters are far smaller than LoRA's, "
                "but the start is slow, as every layer is decomposed first.",
        choose_when="Adapters must be tiny and still learn more than scales alone.",
        avoid_when="The adapter moves between machines: its directions are computed again from the base model at every load, and "
                   "may come out otherwise there.",
        shown=("r",),
        limits={"psoft_dropout": SHARE, "psoft_svd_lowrank_niter": {"ge": 1, "le": 100}, "random_seed": {"ge": 0, "lt": 2**32},
                "num_cayley_neumann_terms": SERIES, "cayley_neumann_eps": {"gt": 0, "lt": 1}},
        settings={
            "r": ("Rank", "How many directions take part, usually 32 to 256; at most as many as the narrowest chosen layer has."),
            "psoft_dropout": ("Dropout", "Share of adapter inputs dropped while training; against overfitting."),
            "ab_svd_init": ("Split", "psoft_init makes strict rotations; pissa_init splits the strength evenly, less strictly."),
            "psoft_svd": ("Decomposition", "How directions are found: full is exact and slow, lowrank quick and approximate."),
            "psoft_svd_lowrank_niter": ("Iterations", "How often the quick decomposition refines its directions."),
            "random_seed": ("Seed of the directions", "Where the quick decomposition starts; kept to find them again."),
            "psoft_orth": ("Rotate only", "Keep what is learned a rotation; off: any matrix."),
            "psoft_mag_a": ("Scale before", "Learn a scale for each direction before the rotation."),
            "psoft_mag_b": ("Scale after", "Learn a scale for each direction after the rotation."),
            "use_cayley_neumann": QUICK, "num_cayley_neumann_terms": TERMS,
            "cayley_neumann_eps": ("Bound", "Keeps the rotations small enough for the series, such as 0.9; empty: no bound."),
            "layers_to_transform": BY_NAME},
        only_with={"psoft_svd_lowrank_niter": ("psoft_svd", ("lowrank",)), "random_seed": ("psoft_svd", ("lowrank",)),
                   "use_cayley_neumann": ("psoft_orth", (True,)),
                   "num_cayley_neumann_terms": ("use_cayley_neumann", (True,)),
                   "cayley_neumann_eps": ("use_cayley_neumann", (True,))},
        left_out=("psoft_alpha", "fan_in_fan_out")),  # alpha cancels out: the split divides by it, the output multiplies by it
    "ROAD": Notes(
        title="RoAd", family="orthogonal", paper="Liao and Monz 2024, arXiv 2409.00119", learning_rate=1e-3,
        summary="Rotates and scales each layer's outputs in pairs, with two numbers for each pair. Adapters are some thirty times "
                "smaller than LoRA's, and one batch can be answered with several of them.",
        choose_when="Many small adapters are to serve one base model side by side, also a quantised one.",
        avoid_when="The task is far from what the base model does already: it learns less than LoRA.",
        shown=("variant",),
        defaults={"target_modules": "all-linear", "group_size": 32},
        limits={"variant": {"choices": ("road_1", "road_2", "road_4")}, "group_size": {"ge": 2, "le": 1024}},
        settings={
            "variant": ("Variant", "road_1 is the smallest; road_2 and road_4 learn two and four times as many numbers."),
            "group_size": ("Group size", "An even number that divides the outputs of every chosen layer; it changes speed, not "
                                         "quality.")}),
    "LN_TUNING": Notes(
        title="LayerNorm tuning", family="selective", paper="Zhao et al. 2023, arXiv 2312.11420", learning_rate=1e-3,
        summary="Trains copies of the model's normalisation layers and nothing else. Adapters are tiny and cost no speed, but "
                "little can be learned.",
        choose_when="Tone or format should shift a little, with tiny files.",
        avoid_when="The task is new to the model: it learns far less than LoRA.",
        shown=("target_modules",),
        defaults={"target_modules": NORMS},
        settings={
            "target_modules": ("Layers", "Names of the normalisation layers to train; names that the model does not have are "
                                         "passed over."),
            "exclude_modules": ("Layers left out", "Names of layers that stay as they are, though the setting above names them.")}),
    "BEFT": Notes(
        title="BEFT", family="scaling", paper="Huang et al. 2025, arXiv 2509.15974", learning_rate=1e-3,
        summary="Learns one vector for each value projection and adds it to the projection's output. Adapters take some hundred "
                "kilobytes and train quickly, but little can be learned.",
        choose_when="There are few rows, and the task is close to what the model does already.",
        avoid_when="There is much data, or the adapter is to be merged: most newer models have no biases to merge it into.",
        shown=("target_modules",),
        settings={"target_modules": ("Layers", "Names of the layers that get a vector; empty: the family's value projections.")}),
    "SHIRA": Notes(
        title="SHiRA", family="selective", paper="Bhardwaj et al. 2024, arXiv 2406.13175", learning_rate=3e-4,
        summary="Trains a random choice of the base model's own weights, as many as a LoRA would add. It learns as well as LoRA in "
                "about the same time, but its files are about three times as large.",
        choose_when="LoRA's low rank seems to hold the training back, or several adapters are to be merged into one model.",
        avoid_when="Files must be small, or memory is short and many layers are chosen: each is copied at every step.",
        shown=("r",),
        defaults={"r": 16},
        limits={"random_seed": {"ge": 0, "lt": 2**32}},
        settings={
            "r": ("Size", "Trains as many weights as LoRA of this rank would add; a narrow layer may have too few for a high one."),
            "random_seed": ("Seed of the choice", "Decides which weights are trained; empty: always the same ones.")},
        left_out=("mask_type", "fan_in_fan_out")),  # one mask only, others are Python functions; only linear layers are taken
    "TRAINABLE_TOKENS": Notes(
        title="Trainable tokens", family="selective", learning_rate=5e-3,
        summary="Trains the vectors of a few chosen tokens of the vocabulary, and no layer. Adapters take some kilobytes, and "
                "texts without these tokens hardly change.",
        choose_when="Some tokens should get a meaning of their own, such as the marks of a format or new words.",
        avoid_when="The model should learn a task: a few token vectors can carry little.",
        shown=("token_indices",),
        settings={
            "target_modules": ("Token layer", "Name of the layer with the token vectors; empty: the model's input embeddings."),
            "init_weights": ("Start from present vectors", "Begin with the tokens' vectors as they are; off: with random ones.")}),
    "OSF": Notes(
        title="OSF", family="selective", paper="Nayak et al. 2025, arXiv 2504.07097", learning_rate=5e-5,
        summary="Keeps the strongest directions of each layer's weights and trains the others. Little is forgotten, but it takes "
                "far more memory and larger files than LoRA.",
        choose_when="Several tasks are learned one after the other, and none may be forgotten.",
        avoid_when="Memory is short or files must be small. The start is slow, as every layer is decomposed first.",
        shown=("effective_rank",),
        defaults={"effective_rank": 0.9},
        limits={"effective_rank": {"gt": 0, "le": 65536}},
        settings={
            "effective_rank": ("Kept directions", "A share below 1 of a layer's directions, or their number; the rest is trained."),
            "rank_pattern": ("Kept by layer", "A share or number of its own for some layers, by name or pattern.")},
        left_out=("target_svd_config",)),  # peft ignores it
    "SUPERTUNING": Notes(
        title="Super-Tuning", family="selective", paper="Ilin et al. 2026, arXiv 2607.09287", learning_rate=3e-4,
        summary="Trains the largest one per cent of each chosen layer's weights and leaves the others as they are. Files are about "
                "as small as LoRA's, and what is learned is not bound to a low rank.",
        choose_when="LoRA's low rank seems to hold the training back, or sparse and low-rank changes are to be combined.",
        avoid_when="The base is quantised, or memory is short and many layers are chosen: each is copied at every step.",
        shown=("sparsity", "r"),
        limits={"sparsity": {"ge": 0, "lt": 1}},
        settings={
            "sparsity": ("Share left alone", "Share of a layer's weights that stay as they are; 0.99 trains one in a hundred."),
            "select_top": ("Largest weights", "Train the largest weights; off: the smallest."),
            "r": ("LoRA rank", "Rank of a LoRA beside the chosen weights; empty: none."),
            "lora_alpha": ("LoRA alpha", "Strength of that LoRA, only with a rank; empty: twice the rank."),
            "lora_dropout": ("LoRA dropout", "Share of that LoRA's inputs dropped while training; does nothing without a rank."),
            "save_precomputed_indices": ("Store positions", "Keep in the file which weights are meant; off: found again from the "
                                                            "very same base model.")}),
    "SHADOW": Notes(
        title="ShadowPEFT", family="side", paper="Li et al. 2026, arXiv 2604.19254", learning_rate=2e-4,
        summary="Trains a small network beside the base model that follows it block by block and corrects what goes into each. It "
                "reacts to every text anew, but it cannot be merged and makes answers slower.",
        choose_when="A language model's weights must stay untouched, and corrections should depend on the text.",
        avoid_when="Adapters are to be merged or answers must be quick. Encoders such as BERT cannot be used.",
        shown=("r", "shadow_num_hidden_layers", "shadow_intermediate_size"),
        defaults={"shadow_num_hidden_layers": 1, "shadow_intermediate_size": 256},
        limits={"shadow_alpha": {"gt": 0, "le": 100}, "shadow_dropout": SHARE, "shadow_num_hidden_layers": {"ge": 1, "le": 128},
                "shadow_hidden_size": {"ge": 1, "le": 65536}, "shadow_num_attention_heads": {"ge": 1, "le": 1024},
                "shadow_intermediate_size": {"ge": 1, "le": 262144}, "update_hidden_size": {"ge": 1, "le": 65536},
                "auxiliary_loss_weight": {"ge": 0, "le": 100}},
        settings={
            "target_modules": ("Blocks", "Names of the whole transformer blocks that are corrected, without a gap; empty: all."),
            "exclude_modules": ("Blocks left out", "Names of blocks that are not corrected, at the start or end of the stack."),
            "r": ("Rank", "Width of the narrow place that corrections pass through; higher can learn more."),
            "shadow_alpha": ("Strength", "How strongly a correction is added to a block's input."),
            "shadow_dropout": ("Dropout", "Share of the corrections' inputs dropped while training; against overfitting."),
            "shadow_num_hidden_layers": ("Shadow layers", "How many layers the small network has."),
            "shadow_hidden_size": ("Shadow width", "Empty: the base model's; any other trains token vectors of its own."),
            "shadow_num_attention_heads": ("Shadow heads", "Empty: the base model's; else a multiple of its key-value heads that "
                                                           "divides the width."),
            "shadow_intermediate_size": ("Shadow feed-forward width", "Inner width of the small network; empty: the base model's, "
                                                                      "several times larger."),
            "share_embeddings": ("Share token vectors", "Feed the small network the base model's token vectors, where the widths "
                                                        "agree."),
            "update_hidden_size": ("Update width", "Inner width of what carries the shadow from block to block; empty: the rank."),
            "auxiliary_loss_weight": ("Own loss", "How much the small network's own prediction counts; 0: not at all.")},
        # shadow_model would load any model by name; peft ignores the other two for whole blocks named in full
        left_out=("shadow_model", "layers_to_transform", "layers_pattern")),
}
