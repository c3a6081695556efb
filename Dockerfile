# docker build .                       for a CPU
# docker build --build-arg DEVICE=cuda .   for an NVIDIA GPU (run it with --gpus all)
FROM python:3.11-slim

ARG DEVICE=cpu
RUN apt-get update && apt-get install -y --no-install-recommends make git && rm -rf /var/lib/apt/lists/*
WORKDIR /studio
COPY requirements.txt Makefile ./
# the package index's own torch is the CUDA build; PyTorch's index has the much smaller CPU build of the same version
RUN python3 -m venv .venv \
    && if [ "$DEVICE" = cpu ]; then \
         .venv/bin/pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu "$(grep '^torch==' requirements.txt)"; \
       fi \
    && PIP_NO_CACHE_DIR=1 make .venv/installed
COPY . .
RUN make setup
ENV STUDIO_HOME=/data STUDIO_HOST=0.0.0.0
VOLUME /data
EXPOSE 7860
CMD [".venv/bin/python", "app.py", "serve", "--with-worker"]
