"""The types that need more than a config. A new one is one module here and one line in this table."""

from jobs.methods.special import adalora, adamss, cpt, lora, prompts, selective, tasks, xlora
from jobs.methods.special.base import TURNED_OVER, Special

LEARNS_NOTHING = "On a base model in few bits PEFT builds it so that nothing is learned."
WRONG_IN_BITS = "On a base model in few bits PEFT gets its rotations wrong without a word."

SPECIALS: dict[str, Special] = {
    "LORA": lora.SPECIAL,
    "ADALORA": adalora.ADALORA,
    "ADAMSS": adamss.ADAMSS,
    "XLORA": xlora.XLORA,
    "POLY": tasks.POLYTROPON,
    "MULTITASK_PROMPT_TUNING": tasks.MULTITASK,
    "PROMPT_TUNING": prompts.PROMPT_TUNING,
    "P_TUNING": prompts.P_TUNING,
    "PREFIX_TUNING": prompts.PREFIX_TUNING,
    "CARTRIDGE": prompts.CARTRIDGE,
    "CPT": cpt.CPT,
    "TRAINABLE_TOKENS": selective.TRAINABLE_TOKENS,
    "LN_TUNING": selective.LN_TUNING,
    "OSF": selective.OSF,
    "BOFT": selective.BOFT,
    "ADAPTION_PROMPT": selective.ADAPTION_PROMPT,
    "SHADOW": selective.SHADOW,
    "PSOFT": selective.PSOFT,
    "C3A": Special(divides="block_size", not_on=TURNED_OVER),
    "VBLORA": Special(divides="vector_length"),
    "GRALORA": Special(divides="gralora_k"),
    "UNILORA": Special(not_in_bits=LEARNS_NOTHING),
    "HRA": Special(not_in_bits=WRONG_IN_BITS, not_on=TURNED_OVER),
    **{kind: Special(not_on=TURNED_OVER) for kind in (
        "BEFT", "DELORA", "GLORA", "LILY", "LOHA", "LOKR", "MISS", "OFT", "PEANUT", "ROAD", "SHIRA",
        "SUPERTUNING")},
}
PLAIN = Special()


def special_of(peft_type: str) -> Special:
    return SPECIALS.get(peft_type, PLAIN)


__all__ = ["SPECIALS", "Special", "special_of"]
