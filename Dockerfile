# The server's image. Any Debian 12 can be the base, and both of Docker's builders take this file:
#
#   docker build -t pullforge .
#
# docs/deployment.md says how to run it, and how a release names its base by digest.

ARG BASE=docker.io/library/debian:bookworm-slim

# What all stages need: the Python that runs the server. What Debian has mended since the base was made
# is taken too.
FROM ${BASE} AS python
RUN export DEBIAN_FRONTEND=noninteractive \
 && apt-get update -qq \
 && apt-get upgrade -qq --no-install-recommends \
 && apt-get install -qq --no-install-recommends \
      bubblewrap ca-certificates git libpython3-stdlib python3-minimal \
 && apt-get clean \
 && rm -rf /var/cache/debconf/*-old /var/lib/apt/lists/* /var/log/apt /var/log/*.log \
      /usr/share/doc/* /usr/share/man/*

FROM python AS build
RUN export DEBIAN_FRONTEND=noninteractive \
 && apt-get update -qq \
 && apt-get install -qq --no-install-recommends binutils python3-venv
RUN python3 -m venv /pip \
 && python3 -m venv --without-pip /opt/pullforge
COPY deploy/requirements.txt deploy/build-requirements.txt /source/deploy/
RUN /pip/bin/pip --python /opt/pullforge/bin/python install --quiet --no-cache-dir --no-compile \
      --only-binary :all: --require-hashes -r /source/deploy/requirements.txt \
 && cd /opt/pullforge/lib/python3.*/site-packages \
    # Descriptions of some 400 services of AWS, of which S3 is spoken to; the others give access to it.
 && find botocore/data -mindepth 1 -maxdepth 1 -type d \
      ! -name s3 ! -name 'sso*' ! -name sts -exec rm -r {} + \
 && find . -depth -type d -name tests -exec rm -r {} + \
 && find . -name '*.so' -exec strip --strip-unneeded {} +
COPY pyproject.toml README.md /source/
COPY builder /source/builder
COPY registry /source/registry
# Built in isolation, the wheel would be made by whatever release of hatchling is the newest.
# ``pip check`` fails when requirements.txt was not renewed after a change of pyproject.toml. The
# bytecode is checked against hashes, not times: the directory can be read only, and copied.
RUN /pip/bin/pip install --quiet --no-cache-dir --only-binary :all: --require-hashes \
      -r /source/deploy/build-requirements.txt \
 && /pip/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels /source \
 && /pip/bin/pip --python /opt/pullforge/bin/python install --quiet --no-cache-dir --no-compile \
      --no-index --no-deps /wheels/*.whl \
 && /pip/bin/pip --python /opt/pullforge/bin/python check \
 && /opt/pullforge/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
      /opt/pullforge/lib

# What is in the last stage: Debian's packages of the first, and those of PyPI.
FROM python AS sbom
COPY --from=build /opt/pullforge /opt/pullforge
COPY deploy/sbom.py /source/deploy/
RUN /opt/pullforge/bin/python -B /source/deploy/sbom.py > /sbom.cdx.json

FROM python
ARG BASE
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="pullforge" \
      org.opencontainers.image.description="An OCI registry whose images are conda environments, built when they are pulled." \
      org.opencontainers.image.documentation="docs/deployment.md" \
      org.opencontainers.image.base.name="${BASE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      io.pullforge.sbom="/opt/pullforge/sbom.cdx.json"
COPY --from=build /opt/pullforge /opt/pullforge
COPY --from=sbom /sbom.cdx.json /opt/pullforge/
RUN echo 'pullforge:x:10001:10001:pullforge:/var/lib/pullforge:/usr/sbin/nologin' >> /etc/passwd \
 && echo 'pullforge:x:10001:' >> /etc/group \
 && install -d -m 0750 -o 10001 -g 10001 /var/lib/pullforge
ENV PATH=/opt/pullforge/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/var/lib/pullforge \
    PYTHONUNBUFFERED=1 \
    PULLFORGE_HOST=0.0.0.0 \
    PULLFORGE_PORT=8080 \
    PULLFORGE_STORE=/var/lib/pullforge
USER 10001:10001
WORKDIR /var/lib/pullforge
VOLUME /var/lib/pullforge
EXPOSE 8080
STOPSIGNAL SIGTERM
# Not urllib, which would ask a proxy when the container has one.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python3", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['PULLFORGE_PORT']), timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["pullforge"]
CMD ["serve"]
