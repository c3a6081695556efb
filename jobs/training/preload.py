"""What the trainer server imports once, so that a forked trainer starts at once. Nothing here may touch a GPU.

bitsandbytes is left out on purpose: its import asks the driver about the GPU, and a forked child could then not use it.
"""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # a base model is complete on the disk before a run is accepted
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads would take the page's share of the cores
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # torch.cuda.is_available() without waking the driver

import jobs.training.process  # noqa: E402, F401
import jobs.training.tasks.text_classification  # noqa: E402, F401
import jobs.training.tasks.text_generation  # noqa: E402, F401
from transformers import AutoModelForCausalLM, LlamaForCausalLM  # noqa: E402, F401
