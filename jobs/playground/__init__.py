"""The playground: a base model and any number of its adapters answer the same prompt, from one copy of the weights.

`request`, `client` and `launch` are free of torch; `models`, `generation` and `bench` need it and run beside the worker.
"""
