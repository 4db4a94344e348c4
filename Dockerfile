# vcam without a GPU.
#
#   docker build --tag vcam .
#   docker run --rm --network host vcam                      the demo clip; prints the panel's address
#   docker run --rm --network host --device /dev/video0 --device /dev/video10 \
#     --volume vcam:/home/vcam/.config vcam --source camera --sink device --no-browser
#
# The panel listens on 127.0.0.1 alone, hence --network host; for other machines give it --host with
# a certificate. v4l2loopback is a module of the host's kernel: `vcam setup` there says how to load it.
FROM debian:bookworm-slim

# g++ builds the kernels.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --groups video vcam

ENV PATH=/opt/vcam/bin:$PATH PYTHONUNBUFFERED=1
# torch's own index has it without CUDA's libraries, which would be 3 GB more.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN python3 -m venv /opt/vcam \
    && pip install --no-cache-dir --index-url "$TORCH_INDEX" "torch>=2.11,<=2.13.0"
COPY . /src
RUN pip install --no-cache-dir /src

USER vcam
WORKDIR /home/vcam
RUN mkdir .config

HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "-c", \
    "from urllib.request import urlopen; urlopen('http://127.0.0.1:8088/healthz', timeout=4)"]
ENTRYPOINT ["vcam"]
CMD ["--source", "demo", "--sink", "none", "--no-browser"]
