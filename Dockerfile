# syntax=docker/dockerfile:1
# The base image is an argument, so that it can be taken from a registry of one's own, by digest.
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
WORKDIR /build
RUN python -m venv /opt/authz
COPY requirements.lock ./
RUN /opt/authz/bin/pip install --no-cache-dir --require-hashes --requirement requirements.lock
COPY pyproject.toml README.md ./
COPY authz_service authz_service
RUN /opt/authz/bin/pip install --no-cache-dir setuptools \
 && /opt/authz/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
 && /opt/authz/bin/pip uninstall --yes setuptools \
 && /opt/authz/bin/python -m compileall -q /opt/authz/lib

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="recording-access authorization service"
RUN groupadd --system --gid 10001 authz \
 && useradd --system --uid 10001 --gid authz --no-create-home --shell /usr/sbin/nologin authz \
 && install -d -o authz -g authz -m 0700 /var/lib/authz
COPY --from=build /opt/authz /opt/authz
COPY policies /etc/authz/policies
ENV PATH=/opt/authz/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    AUTHZ_POLICY_DIR=/etc/authz/policies \
    AUTHZ_CALLERS_FILE=/etc/authz/policies/callers.csv \
    AUTHZ_REGISTRY_URL=sqlite:////var/lib/authz/registry.db \
    AUTHZ_JOURNAL_DIR=/var/lib/authz/journal \
    AUTHZ_DECISIONS_URL=sqlite:////var/lib/authz/decisions.db \
    AUTHZ_LOG_FORMAT=json
USER authz
WORKDIR /var/lib/authz
# All that is written is below /var/lib/authz: run with --read-only and a volume there.
VOLUME ["/var/lib/authz"]
EXPOSE 50051 9464
STOPSIGNAL SIGTERM
# Where callers need certificates the probe needs AUTHZ_HEALTH_LISTEN=127.0.0.1:8080, which it asks then.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["authz", "healthcheck"]
ENTRYPOINT ["authz"]
CMD ["serve"]
