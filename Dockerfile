# One image for `shadow serve`, `shadow work` and every other command. It expects an external PostgreSQL.
FROM python:3.11-slim

RUN useradd --create-home --uid 10001 shadow \
    && install --directory --owner shadow --group shadow /data /token /keys
WORKDIR /app

COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock

COPY pyproject.toml README.md ./
COPY api ./api
COPY comparators ./comparators
COPY dashboards ./dashboards
COPY sandbox ./sandbox
COPY shadow ./shadow
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

USER shadow
ENV SHADOW_CATALOGUE=/etc/shadow/catalogue.yaml \
    SHADOW_DATA=/data
EXPOSE 8484 8485
ENTRYPOINT ["shadow"]
CMD ["serve", "--front-host", "0.0.0.0", "--control-host", "0.0.0.0"]
