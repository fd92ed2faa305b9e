# docker build -t vsr .
# docker run --rm --gpus all -v "$PWD":/video -u "$(id -u):$(id -g)" vsr upscale in.mp4 out.mp4
FROM python:3.12-slim

# The CUDA libraries come with torch. For an image without them give the address of PyTorch's
# index of CPU builds: --build-arg TORCH_INDEX=URL
ARG TORCH_INDEX=""
RUN if [ -n "$TORCH_INDEX" ]; then \
      pip install --no-cache-dir "torch>=2.8" "torchvision>=0.23" --index-url "$TORCH_INDEX"; \
    else \
      pip install --no-cache-dir "torch>=2.8" "torchvision>=0.23"; \
    fi

COPY pyproject.toml README.md LICENSE /src/
COPY vsr_cli /src/vsr_cli
COPY weights /src/weights
RUN pip install --no-cache-dir /src && rm -r /src

# Whoever runs it has no home here; caches are for one run.
ENV XDG_CACHE_HOME=/tmp/cache XDG_CONFIG_HOME=/tmp/config XDG_DATA_HOME=/tmp/data \
    XDG_STATE_HOME=/tmp/state
WORKDIR /video
USER 1000:1000
ENTRYPOINT ["vsr"]
CMD ["--help"]
