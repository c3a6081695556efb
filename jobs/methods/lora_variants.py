"""LoRA's variants: what each one changes, when it is worth it, and where it cannot be used. jobs.training.lora works.

A variant replaces one or two parts of LoRA: how training starts, what an adapted layer computes, how steps are taken, or how the
output is scaled. Variants of different parts go together, those of one part do not: `method_settings.variant` names one, and PEFT's
own names (use_dora, init_lora_weights, velora_config …) may name others.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from jobs.methods.base import MethodSettings

Part = Literal["start", "layer", "step", "scale"]
DECIDES: dict[str, str] = {"start": "how training starts", "layer": "what an adapted layer computes",
                           "step": "how steps are taken", "scale": "how the adapter's output is scaled"}
BITS = ("int8", "nf4", "fp4")
ANY = ("none", *BITS)
FULL = ("none",)
IGNORED = "PEFT would leave it out there without a word."
START_IN_BITS = "It takes the base weights apart, which needs them in full."
FITS_NOTHING = "What it takes out of the base weights would be rounded there, and the adapter would fit no other copy of the base."


@dataclass(frozen=True)
class Variant:
    """One choice. `sets` are fields of PEFT's config; `knobs` settings of its own; `bases` the quantizations that it takes."""

    name: str
    title: str
    does: str
    choose_when: str
    paper: str = ""
    parts: tuple[Part, ...] = ()
    sets: dict[str, Any] = field(default_factory=dict)
    knobs: tuple[str, ...] = ()
    bases: tuple[str, ...] = ANY
    not_there: str = ""       # why not on the other bases
    needs: str = ""           # beside a base model and rows; for people
    looks_at_rows: bool = False  # before the first step
    moves_base: bool = False  # takes something out of the base weights while training; what is saved fits the base as it was
    no_merge: str = ""        # why an adapter of it cannot be merged into the base model
    cannot: str = ""          # why it cannot run at all


PLAIN = "plain"
VARIANTS: dict[str, Variant] = {variant.name: variant for variant in (
    Variant(
        PLAIN, "Plain LoRA", "Starts neutral, with one matrix of random numbers and one of zeros.",
        "Nothing speaks for another one; every tool knows it.", "Hu et al. 2021, arXiv 2106.09685"),
    Variant(
        "dora", "DoRA", "Learns how long the weights are apart from where they point.",
        "The rank is low (up to 16) and quality counts more than speed: steps take up to twice as long.",
        "Liu et al. 2024, arXiv 2402.09353", ("layer",), {"use_dora": True}),
    Variant(
        "rslora", "rsLoRA", "Scales the output by alpha / √rank, so that high ranks learn as fast as low ones.",
        "The rank is 64 or more.", "Kalajdzievski 2023, arXiv 2312.03732", ("scale",), {"use_rslora": True}),
    Variant(
        "pissa", "PiSSA", "Starts with the strongest directions of each weight, which are taken out of the base while training.",
        "Training should get down quickly, and the time for taking weights apart at the start is there.",
        "Meng et al. 2024, arXiv 2404.02948", ("start",), knobs=("pissa_iterations",), bases=FULL, not_there=START_IN_BITS,
        moves_base=True),
    Variant(
        "olora", "OLoRA", "Starts with directions at right angles from each weight, taken out of the base while training.",
        "As PiSSA, with less work at the start.", "Büyükakyüz 2024, arXiv 2406.01775", ("start",), bases=FULL,
        not_there=FITS_NOTHING, moves_base=True),
    Variant(
        "mica", "MiCA", "Learns only in the weakest directions of each weight, and only one of the two matrices.",
        "New facts should come in without disturbing what the model knows; half as much is trained.", "arXiv 2604.01694",
        ("start", "layer"), {"init_lora_weights": "mica"}, bases=FULL, not_there=START_IN_BITS),
    Variant(
        "orthogonal", "Orthogonal start",
        "Starts with two random matrices whose product is zero, so that both learn from the first step on.",
        "Plain LoRA starts too slowly; it costs nothing. The rank must be even.", "", ("start",),
        {"init_lora_weights": "orthogonal"}, bases=FULL, not_there="PEFT would make its matrices of whole numbers there."),
    Variant(
        "eva", "EVA", "Starts with the directions in which the training rows differ most, and gives layers that matter more rank.",
        "Rows are typical of the task, and a minute at the start is there.", "Paischer et al. 2024, arXiv 2410.07170", ("start",),
        {"init_lora_weights": "eva"}, knobs=("calibration_rows", "eva_rho", "eva_tau", "eva_whiten", "eva_config"),
        needs="Training rows with enough tokens.", looks_at_rows=True),
    Variant(
        "corda", "CorDA", "Starts with the directions of each weight that training rows use most, or least, taken out of the base.",
        "Rows are many and typical: ipm learns the task faster, kpm keeps more of what the model knew.",
        "Yang et al. 2024, arXiv 2406.05223", ("start",), knobs=("calibration_rows", "corda_method", "corda_config"), bases=FULL,
        not_there=START_IN_BITS, needs="Training rows, and memory for a square matrix for each layer.", looks_at_rows=True,
        moves_base=True),
    Variant(
        "lora-ga", "LoRA-GA", "Starts along the first gradient that full fine-tuning would see.",
        "Training should get down quickly, and memory for the gradient of all adapted layers is there once.",
        "Wang et al. 2024, arXiv 2407.05000", ("start",),
        knobs=("calibration_rows", "lora_ga_direction", "lora_ga_scale", "lora_ga_gamma", "lora_ga_config"), bases=FULL,
        not_there="It needs the exact gradient of the base weights.", needs="Training rows.", looks_at_rows=True, moves_base=True),
    Variant(
        "loftq", "LoftQ", "Starts with what holding the base in few bits has lost, as far as the rank goes.",
        "The base model is held in few bits, 4 above all.", "Li et al. 2023, arXiv 2310.08659", ("start",), bases=BITS,
        not_there="It makes good for what few bits lose, and a base in full has lost nothing.",
        needs="The base model's files in full, which lie on the disk anyway."),
    Variant(
        "lora-plus", "LoRA+", "The second matrix takes larger steps than the first.",
        "Training is too slow at the start. Lower the learning rate a little.", "Hayou et al. 2024, arXiv 2402.12354", ("step",),
        knobs=("loraplus_lr_ratio",)),
    Variant(
        "lora-fa", "LoRA-FA", "The first matrix stays as it began, and the second one's steps make up for it.",
        "Memory for activations is short: half as much is trained.", "Zhang et al. 2023, arXiv 2308.03303", ("step",)),
    Variant(
        "riemannian", "Riemannian steps", "Corrects each step for how the two matrices work together, at little cost.",
        "The learning rate is hard to find, or training jumps about.", "Zhang and Pilanci 2024, arXiv 2402.02347", ("step",),
        knobs=("riemannian_damping",)),
    Variant(
        "alora", "aLoRA", "Speaks only from an invocation text on, and leaves all before it as the base model has it.",
        "Several adapters take turns in one long conversation: what was read before stays in the cache.",
        "Greenewald et al. 2025, arXiv 2504.12397", ("layer",), knobs=("alora_invocation", "alora_invocation_tokens"),
        needs="Rows that hold the invocation text.", no_merge="It is switched on in the middle of a text."),
    Variant(
        "velora", "VeLoRA", "Keeps a compressed copy of the activations for the backward pass.",
        "Memory for activations is short on long rows; what is learned is a little less exact.",
        "Miles et al. 2024, arXiv 2405.17991", ("layer",), knobs=("velora_groups", "velora_scale", "velora_init", "velora_config"),
        bases=FULL, not_there="PEFT has it for layers in full only."),
    Variant(
        "kasa", "KaSA", "Throws the weakest directions of each weight away for good, and learns new ones, each with a strength.",
        "The base holds much that the task does not need.", "Wang et al. 2024, arXiv 2412.06071",
        ("start", "layer"), knobs=("kasa_beta", "kasa_gamma", "kasa_config"), bases=FULL, not_there=IGNORED,
        needs="A copy of the base model of its own, wherever it is used."),
    Variant(
        "monteclora", "MonteCLoRA", "Disturbs the first matrix at each step and learns how much: an average over many adapters.",
        "There are few rows, and results differ much from seed to seed; steps are slower.", "Seth et al. 2024, arXiv 2411.04358",
        ("layer",), knobs=("monteclora_samples", "monteclora_scale", "monteclora_kl", "monteclora_config"), bases=FULL,
        not_there=IGNORED),
    Variant(
        "bdlora", "BD-LoRA", "One of the two matrices of a layer consists of blocks, of which each device needs only its own.",
        "The adapter will be served on several devices at once, with as many blocks.", "Wang et al. 2025, arXiv 2510.23346",
        ("start", "layer"), knobs=("bdlora_blocks", "bdlora_rows", "bdlora_columns", "use_bdlora"), bases=FULL, not_there=IGNORED),
    Variant(
        "qalora", "QA-LoRA", "Reads groups of inputs as one, as a base in GPTQ holds them.",
        "The base model is stored in GPTQ.", "Xu et al. 2023, arXiv 2309.14717", ("start", "layer"), {"use_qalora": True},
        knobs=("qalora_group_size",), bases=("gptq",), not_there="PEFT has it for base models that are stored in GPTQ only.",
        no_merge="PEFT cannot merge it."),
    Variant(
        "arrow", "Arrow", "Sends each token to those of several finished adapters that know it best. Nothing is trained.",
        "Several adapters of one kind are there, and nobody knows which one a question needs.",
        "Ostapenko et al. 2024, arXiv 2405.11157", ("start", "layer"),
        cannot="It trains nothing: it chooses among finished adapters while they answer, and PEFT can neither save nor open what "
               "it puts together."),
)}

# PEFT's own settings that choose a variant, where they are not empty
BY_FIELD: dict[str, str] = {
    "use_dora": "dora", "use_rslora": "rslora", "velora_config": "velora", "kasa_config": "kasa", "monteclora_config": "monteclora",
    "use_bdlora": "bdlora", "alora_invocation_tokens": "alora", "use_qalora": "qalora", "loftq_config": "loftq"}
BY_START: dict[str, str] = {"pissa": "pissa", "olora": "olora", "mica": "mica", "orthogonal": "orthogonal", "eva": "eva",
                            "corda": "corda", "lora_ga": "lora-ga", "loftq": "loftq"}
# PEFT's settings for a variant that do not choose it
ONLY_FOR: dict[str, str] = {"eva_config": "eva", "corda_config": "corda", "lora_ga_config": "lora-ga"}

MANY_TENSORS = "LoRA-FA takes a layer's tensors two by two, and {} has more of them, or others."
APART: dict[frozenset[str], str] = {
    **{frozenset(("lora-fa", other)): MANY_TENSORS.format(VARIANTS[other].title)
       for other in ("dora", "monteclora", "kasa", "bdlora")},
    frozenset(("lora-fa", "mica")): "LoRA-FA learns only the second matrix, and MiCA only the first.",
    frozenset(("lora-fa", "velora")): "VeLoRA spares memory for learning the first matrix, which LoRA-FA does not learn.",
    frozenset(("lora-plus", "mica")): "LoRA+ steps further with the second matrix, which MiCA does not learn.",
    frozenset(("riemannian", "mica")): "Riemannian steps need both matrices, and MiCA learns only one.",
    frozenset(("riemannian", "bdlora")): "Riemannian steps need whole matrices, and BD-LoRA has blocks.",
    frozenset(("loftq", "dora")): "DoRA would measure the weights before LoftQ makes good for them.",
    **{frozenset(("alora", other)): f"{VARIANTS[other].title} takes something out of the base for all tokens, and aLoRA leaves the "
       "tokens before the invocation to the base as it was." for other in ("pissa", "olora", "corda", "lora-ga", "loftq")},
}


def chosen(settings: MethodSettings) -> dict[str, Variant]:
    """The variants that the settings choose, by name: the one of `variant` first. Plain LoRA is none."""
    names = [settings.variant, *(variant for name, variant in BY_FIELD.items() if getattr(settings, name, None))]
    if started := start_of(settings):
        names.append(started)
    return {name: VARIANTS[name] for name in names if name != PLAIN}


def start_of(settings: MethodSettings) -> str:
    """The variant that init_lora_weights chooses, or ""."""
    how = settings.init_lora_weights
    return BY_START.get(str(how).split("_niter_")[0].lower(), "") if isinstance(how, str) else ""


def of_part(settings: MethodSettings, part: Part) -> str:
    """The variant that decides a part, or ""."""
    return next((name for name, variant in chosen(settings).items() if part in variant.parts), "")


def misfits(settings: MethodSettings) -> list[str]:
    """Why the chosen variants do not go together, one sentence for each pair that does not."""
    problems, names = [], list(chosen(settings))
    for place, name in enumerate(names):
        for other in names[place + 1:]:
            first, second = VARIANTS[name], VARIANTS[other]
            shared = next((part for part in first.parts if part in second.parts), None)
            why = f"Both decide {DECIDES[shared]}." if shared else APART.get(frozenset((name, other)))
            if why:
                problems.append(f"method_settings chooses {first.title} and {second.title}. {why} Choose one of them.")
    return problems
