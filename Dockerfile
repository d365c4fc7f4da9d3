# The page as a container: `docker compose up --build`, or `docker build --tag speech-emotion-studio .`.
#
# TORCH_INDEX names PyTorch's own index of CPU builds; without it the build of the package index is installed, on Linux
# with 3 GB of CUDA libraries. Everything else comes from requirements.lock, by hash.
FROM python:3.11-slim-bookworm AS build

ARG TORCH_VERSION=2.13.0
ARG TORCH_INDEX=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

RUN python -m venv /opt/studio
ENV PATH=/opt/studio/bin:$PATH
RUN if [ -n "$TORCH_INDEX" ]; then pip install --index-url "$TORCH_INDEX" "torch==$TORCH_VERSION"; else pip install "torch==$TORCH_VERSION"; fi
COPY requirements.lock /tmp/requirements.lock
RUN pip install --no-deps --require-hashes -r /tmp/requirements.lock

FROM python:3.11-slim-bookworm

RUN useradd --uid 10001 --create-home --home-dir /home/studio studio && mkdir /data && chown studio: /data
COPY --from=build /opt/studio /opt/studio
WORKDIR /srv/studio
COPY LICENSE README.md app.py requirements.txt requirements.lock ./
COPY ser ser
COPY annotations annotations
COPY ui ui
RUN /opt/studio/bin/python -m compileall -q ser annotations ui

# Nothing is written outside /data and /tmp: the root may be read-only.
ENV PATH=/opt/studio/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    SER_HOST=0.0.0.0 SER_PORT=7860 SER_DATA_DIR=/data SER_LOG=json \
    HF_HOME=/data/cache NUMBA_CACHE_DIR=/tmp/numba MPLCONFIGDIR=/tmp/matplotlib
USER 10001:10001
EXPOSE 7860
VOLUME /data
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
    CMD ["python", "-c", "import urllib.request as web; web.urlopen('http://127.0.0.1:7860/healthz', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "app.py"]
