"""What the trainer server imports before it forks on a machine without a GPU: everything, so that a trainer starts at once."""

import gc

import jobs.training.preload_safe  # noqa: F401, I001 (first: it sets the environment)

gc.disable()

import jobs.training.lora.before  # noqa: E402, F401
import jobs.training.lora.changed_base  # noqa: E402, F401
import jobs.training.lora.starts  # noqa: E402, F401
import jobs.training.lora.steps  # noqa: E402, F401
import jobs.training.process  # noqa: E402, F401
import jobs.training.tasks.preference  # noqa: E402, F401
import jobs.training.tasks.sentence_similarity  # noqa: E402, F401
import jobs.training.tasks.text_classification  # noqa: E402, F401
import jobs.training.tasks.text_generation  # noqa: E402, F401
import jobs.training.tasks.token_classification  # noqa: E402, F401

gc.freeze()
gc.enable()
