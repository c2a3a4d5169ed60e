# The service's image: the method, the store's contract, the service and its client, without training
# code or data-set libraries. It needs a store at /store, and keys or the word that none are wanted:
#
#   docker build -t impress .
#   docker run --rm -p 127.0.0.1:8000:8000 -v ./store:/store --user "$(id -u):$(id -g)" \
#     -e ALLOW_UNAUTHENTICATED=true impress
#
# On a GPU (and run it with --gpus all):
#   docker build -t impress:cuda --build-arg TORCH=torch==2.13.0 --build-arg TORCH_SOURCE= .

ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build

# pip's own sources of packages, for networks that have their own; unset, pip's defaults hold.
ARG PIP_INDEX_URL=
ARG PIP_EXTRA_INDEX_URL=
ARG PIP_FIND_LINKS=
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_CACHE_DIR=/var/cache/pip

# Compiles the kernels; the image itself has no compiler.
# hadolint ignore=DL3008 # of the distribution's one compiler there is no choice to pin
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ \
 && rm -rf /var/lib/apt/lists/*

# The environment has no pip of its own.
RUN python3 -m venv --without-pip /opt/impress
WORKDIR /src
COPY locks/image.txt locks/

# Wheels, each held to its hash. No code of ours is here yet: a changed line does not fetch them again.
RUN --mount=type=cache,target=/var/cache/pip \
    python3 -m pip --python /opt/impress/bin/python install --require-hashes --only-binary :all: --no-deps -r locks/image.txt

ARG TORCH=torch==2.13.0+cpu
ARG TORCH_SOURCE="--extra-index-url https://download.pytorch.org/whl/cpu"
# Its CPU build has an index of its own, and is held by its version alone; all that it needs is here.
# What torch brings for compiling extensions stays out: ours need none of it.
# hadolint ignore=SC2086 # TORCH_SOURCE is options for pip: none, or several words
RUN --mount=type=cache,target=/var/cache/pip \
    python3 -m pip --python /opt/impress/bin/python install ${TORCH_SOURCE} "${TORCH}" \
 && rm -rf /opt/impress/lib/python3*/site-packages/torch/include /opt/impress/lib/python3*/site-packages/torch/test \
 && case "${TORCH}" in *+cpu) \
      if ls -d /opt/impress/lib/python3*/site-packages/nvidia* 2>/dev/null; then \
        echo 'the packages above are for CUDA: this image should have none' >&2; exit 1; \
      fi ;; \
    esac

COPY pyproject.toml README.md setup.py ./
COPY client/ client/
COPY masked_network/ masked_network/
COPY model_store/ model_store/
COPY service/ service/
# impress-train would be a command without its code. Kernels that are missing only make all slower, so
# whoever builds would not see it.
RUN python3 -m pip --python /opt/impress/bin/python install --no-deps --no-build-isolation . \
 && ls /opt/impress/lib/python3*/site-packages/masked_network/_lanes*.so \
 && rm /opt/impress/bin/impress-train


FROM ${PYTHON_IMAGE}

LABEL org.opencontainers.image.title="impress" \
      org.opencontainers.image.description="Serves very many small tasks on one frozen random network"

COPY --from=build /opt/impress /opt/impress
# What is mounted here must be writable by the user that the container runs as.
RUN install -d -o 10001 -g 10001 /store

# HOME is for libraries that insist on one. The NVIDIA lines say what a GPU runtime hands in; without
# such a runtime they mean nothing.
ENV PATH=/opt/impress/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    STORE=/store \
    HOST=0.0.0.0 \
    PORT=8000

WORKDIR /
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python3", "-I", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=4); c.request('GET', '/livez'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["impress-serve"]
