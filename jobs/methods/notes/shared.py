"""Methods that share vectors or random matrices over layers, multiply small factors, or learn frequencies of an update."""

from jobs.methods.common import SHARE
from jobs.methods.notes.base import Notes

SEED = {"ge": 0, "lt": 2**32}
BOUND = {"gt": 0, "le": 1}
DROPOUT = ("Dropout", "Share of adapter inputs dropped while training; against overfitting.")
RANDOM_MATRICES = ("Random seed", "Seed of the frozen random matrices; adapters that are used together need the same.")
STORE_MATRICES = ("Store random matrices", "Off makes the file much smaller; loading then draws them again from the seed.")
NAMED_LAYERS = ("Layer numbers", "Only these layers of the stack get an adapter, counted from 0; not with a pattern.")
ROW_DROPOUT = ("Output dropout", "Share of each layer's outputs whose update is left out at a step; against overfitting.")

NOTES = {
    "VERA": Notes(
        title="VeRA", family="shared", paper="Kopiczko et al. 2023, arXiv 2310.11454", learning_rate=3e-3,
        summary="Learns two small vectors per layer that scale one pair of frozen random matrices shared by all layers. "
                "Far fewer values are trained than with LoRA, at nearly its speed and usually below its quality.",
        choose_when="Memory for training is tight, or many adapters of one base model are kept.",
        avoid_when="The task is far from what the base model does already: it learns less than LoRA.",
        shown=("r", "target_modules"), defaults={"target_modules": "all-linear"},
        limits={"r": {"ge": 1, "le": 4096}, "projection_prng_key": SEED, "vera_dropout": SHARE, "d_initial": BOUND,
                "bias": {"choices": ("none", "all", "vera_only")}},
        settings={"r": ("Rank", "Width of the shared random matrices; far higher than LoRA's, such as 256."),
                  "projection_prng_key": RANDOM_MATRICES, "save_projection": STORE_MATRICES, "vera_dropout": DROPOUT,
                  "d_initial": ("Initial scale", "First value of the vector between the two matrices; 0.1 or less is usual.")}),
    "PVERA": Notes(
        title="PVeRA", family="shared", paper="Fillioux et al. 2025, arXiv 2512.07703", learning_rate=3e-3,
        summary="Learns VeRA's scaling vectors and beside them how much random noise each layer's update gets while training. "
                "Adapters are about as small as VeRA's, with about the same speed and quality on text.",
        choose_when="There are few rows, and a little noise may keep the adapter from learning them by heart.",
        avoid_when="Most text tasks: it did no better than VeRA on a language model, and LoRA learns more.",
        shown=("r",),
        limits={"r": {"ge": 1, "le": 4096}, "projection_prng_key": SEED, "pvera_dropout": SHARE, "d_initial": BOUND,
                "bias": {"choices": ("none", "all", "pvera_only")}},
        settings={"r": ("Rank", "Width of the shared random matrices; far higher than LoRA's, such as 256."),
                  "projection_prng_key": RANDOM_MATRICES, "save_projection": STORE_MATRICES, "pvera_dropout": DROPOUT,
                  "d_initial": ("Initial scale", "First value of the vector between the two matrices; 0.1 or less is usual."),
                  "sample_at_inference": ("Noise in use", "Keep the noise when the adapter is used, so that answers vary.")},
        left_out=("generator_seed",)),  # the run's seed serves; this one's noise differs when a checkpointed layer is run again
    "VBLORA": Notes(
        title="VB-LoRA", family="shared", paper="Li et al. 2024, arXiv 2405.15179", learning_rate=1e-3,
        summary="Learns one bank of short vectors for all layers and which of them each layer blends into its low-rank update. "
                "Few values describe an update, but the scores of every choice are trained and stored too, "
                "and quality is a little below LoRA's.",
        choose_when="Layers should share what they learn, for instance in research on compact adapters.",
        avoid_when="Small files or the best quality are wanted, or layer sizes have no useful common divisor.",
        shown=("r", "num_vectors", "vector_length"),
        defaults={"vector_length": 64},  # PEFT's 256 does not divide the layers of many small models
        limits={"num_vectors": {"ge": 16, "le": 65536}, "vector_length": {"ge": 1, "le": 8192}, "topk": {"ge": 2, "le": 16},
                "vblora_dropout": SHARE, "init_vector_bank_bound": BOUND, "init_logits_std": {"gt": 0, "le": 10},
                "bias": {"choices": ("none", "all", "vblora_only")}},
        settings={"num_vectors": ("Vectors", "How many the bank holds; more learn more, such as 1024, and need more memory."),
                  "vector_length": ("Vector length", "It must divide the input and output size of every adapted layer."),
                  "topk": ("Vectors blended", "How many vectors of the bank make up each piece of an update; 2 is usual."),
                  "vblora_dropout": DROPOUT,
                  "init_vector_bank_bound": ("Initial bank", "The bank starts with random values up to this; small is steadier."),
                  "init_logits_std": ("Initial scores", "Spread of the random scores with which the choice of vectors begins.")},
        left_out=("save_only_topk_weights",)),  # such a state cannot be trained on
    "UNILORA": Notes(
        title="Uni-LoRA", family="shared", paper="Li et al. 2025, arXiv 2506.00799", learning_rate=2e-3,
        summary="Learns one single vector whose values fill the low-rank matrices of all layers at fixed random places. "
                "Adapters take about half a megabyte, train about as fast as LoRA and reach somewhat less quality.",
        choose_when="Very many adapters of one base model have to be stored or sent.",
        avoid_when="The last bit of quality counts. It learns nothing on a base model held in 8 or 4 bits.",
        shown=("r", "theta_d_length"),
        defaults={"theta_d_length": 131072},  # PEFT's 256 learnt nothing in its own comparison, this did
        limits={"theta_d_length": {"ge": 1, "le": 16_777_216}, "proj_seed": SEED, "unilora_dropout": SHARE,
                "init_theta_d_bound": BOUND, "bias": {"choices": ("none", "all", "unilora_only")}},
        settings={"r": ("Rank", "Rank of each layer's update; how many values are trained stays the same."),
                  "theta_d_length": ("Vector length", "How many values are trained in all; a short vector learns next to nothing."),
                  "proj_seed": ("Random seed", "It decides which value of the vector goes where."),
                  "unilora_dropout": DROPOUT,
                  "init_theta_d_bound": ("Initial size", "The vector starts with random values up to this size."),
                  "init_weights": ("Small start", "Begin with small values as set below; off begins with much larger random ones."),
                  "save_indices": ("Store places", "Write down where each value goes, for later versions; a larger file."),
                  "layers_to_transform": NAMED_LAYERS},
        only_with={"init_theta_d_bound": ("init_weights", (True,))}),
    "TINYLORA": Notes(
        title="TinyLoRA", family="shared", paper="Morris et al. 2026, arXiv 2602.04118", learning_rate=1e-3,
        summary="Learns a handful of values per layer that steer the strongest directions of the base model's own weights. "
                "Almost nothing is trained, and training on example rows learns very little this way.",
        choose_when="An experiment on how few values suffice; it was made for training by reward.",
        avoid_when="Any task that has to be learned from rows: it showed almost no gain. Large models take minutes to start.",
        shown=("u", "weight_tying"),
        limits={"r": {"ge": 1, "le": 64}, "u": {"ge": 1, "le": 4096}, "weight_tying": {"ge": 0, "le": 1}, "projection_seed": SEED,
                "init_v_bound": BOUND, "tinylora_dropout": SHARE, "init_weights": {"choices": (True, "uniform")},
                "bias": {"choices": ("none", "all", "tinylora_only")}},
        settings={"r": ("Rank", "How many of the strongest directions of each weight are steered; 2 is usual."),
                  "u": ("Trained values", "Per layer or group of layers; without sharing, more than rank × rank add nothing."),
                  "weight_tying": ("Sharing", "0: each layer has values of its own; 1: all share the same; between: groups share."),
                  "projection_seed": ("Random seed", "Seed of the frozen random matrices between the values and the directions."),
                  "save_projection": ("Store random matrices", "Off: drawn from the seed at loading; a slightly smaller file."),
                  "tinylora_dropout": DROPOUT,
                  "init_weights": ("Initial values", "True begins exactly at the base model, uniform with small random values."),
                  "init_v_bound": ("Initial size", "The random initial values go up to this.")},
        only_with={"init_v_bound": ("init_weights", ("uniform",))}),
    "RANDLORA": Notes(
        title="RandLoRA", family="shared", paper="Albert et al. 2025, arXiv 2502.00987", learning_rate=1e-4,
        summary="Learns how to scale and add up many frozen random matrices shared by all layers, so an update has full rank. "
                "It trains about as many values as LoRA and can learn more, but takes more time and memory.",
        choose_when="Hard tasks on which LoRA of a high rank is still not enough.",
        avoid_when="Time is short: each step costs about half as much again as LoRA's, and wide layers need much memory.",
        shown=("r", "randlora_alpha"),
        defaults={"save_projection": False},  # PEFT stores them once per adapted layer: 2.2 GB for q and v of a 3B model
        limits={"randlora_alpha": {"gt": 0, "le": 100_000}, "projection_prng_key": SEED, "randlora_dropout": SHARE,
                "bias": {"choices": ("none", "all", "randlora_only")}},
        settings={"r": ("Basis rank", "Rank of each random matrix; a smaller one trains more values and is slower."),
                  "randlora_alpha": ("Alpha", "How strongly the adapter speaks; about 20 × rank, lower if the loss jumps about."),
                  "projection_prng_key": RANDOM_MATRICES,
                  "save_projection": ("Store random matrices", "Once per adapted layer, often gigabytes; off: from the seed."),
                  "randlora_dropout": DROPOUT,
                  "sparse": ("Sparse matrices", "Use random matrices of only -1, 0 and 1; may help against overfitting."),
                  "very_sparse": ("Very sparse", "Use random matrices of mostly zeros; against overfitting, at some quality.")},
        only_with={"sparse": ("very_sparse", (False,))}),
    "FROD": Notes(
        title="FRoD", family="shared", paper="Wan et al. 2025, arXiv 2512.23485", learning_rate=1e-4,
        summary="Writes each weight in a basis shared by all layers of its kind and learns its scales and a few mixing values. "
                "Updates have full rank and can beat LoRA's quality, but a step takes more than twice as long.",
        choose_when="Hard tasks on small models, where a low-rank update is too little.",
        avoid_when="Large models or wide layers: finding the basis takes minutes whenever the adapter is made or loaded.",
        shown=("sparse_rate",),
        limits={"sparse_rate": {"ge": 0, "le": 0.5}, "regularization_alpha": BOUND, "projection_prng_key": SEED,
                "frod_dropout": SHARE, "bias": {"choices": ("none", "all", "frod_only")}},
        settings={"sparse_rate": ("Mixing share", "Share of the mixing values that are trained; 0.01 is usual, more needs memory."),
                  "regularization_alpha": ("Basis damping", "Keeps the basis steady where layers are much alike; 0.001 is usual."),
                  "projection_prng_key": ("Random seed", "It decides which mixing values are trained."),
                  "save_projection": ("Store the basis", "Loading is exact with it; off makes the file smaller."),
                  "frod_dropout": DROPOUT,
                  "runtime_offload_base_weight": ("Base in main memory",
                                                  "Keep the weights that it replaces off the GPU; needs less of its memory.")},
        left_out=("progressbar",)),
    "LOHA": Notes(
        title="LoHa", family="product", paper="Hyeon-Woo et al. 2021, arXiv 2108.06098", learning_rate=5e-4,
        summary="Learns two low-rank updates per layer and multiplies them value by value, which reaches a far higher rank. "
                "At the same rank it trains twice LoRA's values and is slower, with no better quality on text so far.",
        choose_when="An update of high rank from few values is wanted. It comes from image models.",
        avoid_when="Language models in general: LoRA learned more in less time. GPT-2's layers are not supported.",
        shown=("r", "alpha"), defaults={"r": 32, "alpha": 64},
        settings={"rank_dropout": ROW_DROPOUT}, left_out=("use_effective_conv2d",)),
    "LOKR": Notes(
        title="LoKr", family="product", paper="Yeh et al. 2023, arXiv 2309.14859", learning_rate=3e-3,
        summary="Learns two factors per layer whose Kronecker product is the update, the larger one of low rank. "
                "Adapters are several times smaller than LoRA's at nearly its quality, but each step takes about a third longer.",
        choose_when="Adapters should be smaller than LoRA's without losing much quality.",
        avoid_when="Speed matters: the whole update is computed at each step. GPT-2's layers are not supported.",
        shown=("r", "alpha", "decompose_factor"), defaults={"r": 32, "alpha": 64, "decompose_factor": 4},
        limits={"decompose_factor": {"ge": -1, "le": 1024}, "init_weights": {"choices": (True, False, "lycoris")}},
        settings={"r": ("Rank", "Rank of the larger factor; from half that factor's side on, it is trained whole."),
                  "decompose_factor": ("Small factor", "Side of the smaller factor; -1 makes both about alike: fewest values."),
                  "decompose_both": ("Split both", "Give the smaller factor a low rank too, if the rank is below half its side."),
                  "rank_dropout": ROW_DROPOUT,
                  "rank_dropout_scale": ("Rescale dropout", "Scale the outputs that are kept up, to make up for the dropped ones."),
                  "init_weights": ("Initial values", "True and lycoris begin at the base model, False at random.")},
        left_out=("use_effective_conv2d",)),
    "FOURIERFT": Notes(
        title="FourierFT", family="spectral", paper="Gao et al. 2024, arXiv 2405.03003", learning_rate=3e-2,
        summary="Learns a few coefficients of each layer's update in the frequency domain, at randomly chosen places. "
                "Adapters take a few hundred kilobytes, but training is slower than with LoRA and learns less.",
        choose_when="Tiny adapters for classification or a style, where the size of the file counts.",
        avoid_when="Much has to be learned, or time is short: a step takes nearly twice as long as LoRA's.",
        shown=("n_frequency", "scaling"),
        defaults={"init_weights": True},  # PEFT starts at random, which disturbs a small model
        limits={"n_frequency": {"ge": 1, "le": 1_000_000}, "scaling": {"gt": 0, "le": 10_000}, "random_loc_seed": SEED,
                "bias": {"choices": ("none", "all", "fourier_only")}},
        settings={"n_frequency": ("Coefficients", "How many are trained per layer; at most the number of values in its weight."),
                  "scaling": ("Scaling", "How strongly the adapter speaks; 150 for small models, 300 for large language models."),
                  "random_loc_seed": ("Random seed", "It decides which coefficients are trained."),
                  "n_frequency_pattern": ("Coefficients by layer", "A number of its own for some layers, by name or pattern."),
                  "layers_to_transform": NAMED_LAYERS}),
    "WAVEFT": Notes(
        title="WaveFT", family="spectral", paper="Bilican et al. 2025, arXiv 2505.12532", learning_rate=1e-4,
        summary="Learns a few wavelet coefficients of each layer's update, each of which changes a small patch of the weight. "
                "Adapters take about a megabyte, but training takes about twice as long as LoRA and learns somewhat less.",
        choose_when="Small adapters with a freely chosen number of trained values.",
        avoid_when="Time is short: the whole update is rebuilt at each step. LoRA learns more on text.",
        shown=("n_frequency", "scaling"),
        limits={"n_frequency": {"ge": 1, "le": 1_000_000}, "scaling": {"gt": 0, "le": 10_000}, "random_loc_seed": SEED,
                "wavelet_family": {"choices": ("db1", "db2", "db4", "db8", "sym4", "sym8", "coif1", "coif2")},
                "bias": {"choices": ("none", "all", "waveft_only")}},
        settings={"n_frequency": ("Coefficients", "How many are trained per layer; at most the number of values in its weight."),
                  "scaling": ("Scaling", "How strongly the adapter speaks; 25 is usual, and each step grows with it."),
                  "wavelet_family": ("Wavelet", "Shape of the patches; db1 is the simplest and fastest by far."),
                  "use_idwt": ("Use wavelets", "Off trains single weights at random places instead: faster, usually weaker."),
                  "random_loc_seed": ("Random seed", "It decides which coefficients are trained."),
                  "n_frequency_pattern": ("Coefficients by layer", "A number of its own for some layers, by name or pattern."),
                  "proportional_parameters": ("Share by size", "Give large layers more of the coefficients; no gain is known."),
                  "layers_to_transform": NAMED_LAYERS},
        only_with={"wavelet_family": ("use_idwt", (True,)), "n_frequency_pattern": ("proportional_parameters", (False,))}),
    "C3A": Notes(
        title="C³A", family="spectral", paper="Chen et al. 2024, arXiv 2407.19342", learning_rate=1e-1,
        summary="Learns short kernels whose circular convolution is the update, computed in blocks with the Fourier transform. "
                "It reaches LoRA's quality with fewer trained values, at about a fifth less speed.",
        choose_when="LoRA's quality from fewer values, or an update that is not of low rank.",
        avoid_when="Layer sizes have no useful common divisor, or the base model is held in 8 or 4 bits. "
                   "GPT-2's layers are not supported.",
        shown=("block_size",),
        defaults={"block_size": 64},  # PEFT's 256 does not divide the layers of many small models
        limits={"block_size": {"ge": 1, "le": 16_384},
                "init_weights": {"choices": (True, "xavier_uniform", "kaiming_uniform", "gaussian")},
                "bias": {"choices": ("none", "all", "c3a_only")}},
        settings={"block_size": ("Block size", "It must divide every adapted layer's input and output size; smaller learns more."),
                  "block_size_pattern": ("Block sizes by layer", "A block size of its own for some layers, by name or pattern."),
                  "init_weights": ("Initial values", "True begins exactly at the base model, the others with small random values."),
                  "layers_to_transform": NAMED_LAYERS}),
}
