"""What the trainer server may import before it forks, also where there is a GPU: nothing here wakes the driver.

peft is not among it: its import takes bitsandbytes along, which asks the driver about the GPU, and a process that is forked after
that cannot use the GPU any more.
"""

import gc
import os

from jobs.threads import waiting

gc.disable()  # imports make a million objects that all stay; looking through them again and again takes a second
os.environ["HF_HUB_OFFLINE"] = "1"  # a base model is complete on the disk before a run is accepted
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.update(waiting(os.environ))

import datasets  # noqa: E402, F401
import sklearn.metrics  # noqa: E402, F401
import torch  # noqa: E402, F401
import transformers.models.auto.modeling_auto  # noqa: E402, F401
import transformers.models.auto.tokenization_auto  # noqa: E402, F401
import transformers.models.llama.modeling_llama  # noqa: E402, F401
from transformers.conversion_mapping import get_checkpoint_conversion_mapping  # noqa: E402

get_checkpoint_conversion_mapping("llama")  # compiles a thousand patterns, for every family, which the first model would wait for

gc.freeze()  # what trainers share with this process is never looked through by them
gc.enable()
