"""What the trainer server imports before it forks on a machine without a GPU: everything, so that a trainer starts at once."""

import jobs.training.preload_safe  # noqa: F401, I001 (first: it sets the environment)
import jobs.training.process  # noqa: F401
import jobs.training.tasks.text_classification  # noqa: F401
import jobs.training.tasks.text_generation  # noqa: F401
