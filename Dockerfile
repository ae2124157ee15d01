# Three stages: one that builds the page, one that builds the program, and one that contains the program and the C library, for an unprivileged user. The root
# file system may be read-only: with a DATABASE_URL the server writes no files.

FROM node:20-bookworm-slim AS page
WORKDIR /src/web

COPY web/package.json web/package-lock.json web/.npmrc ./
RUN npm ci
COPY web ./
RUN npm run build

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src

# First the dependencies, with empty sources, so that this layer is rebuilt only when they change.
COPY Cargo.toml Cargo.lock ./
COPY load/Cargo.toml load/Cargo.toml
RUN mkdir -p src load/src \
    && touch src/lib.rs \
    && echo 'fn main() {}' >src/main.rs \
    && cp src/main.rs load/src/main.rs \
    && cargo build --release --locked --features otlp,sentry --bin idlewatt \
    && rm -r src

# Cargo compares file times, and the empty files are newer than these.
COPY build.rs ./
COPY src src
COPY sql sql
COPY --from=page /src/web/dist web/dist
RUN touch build.rs src/lib.rs src/main.rs \
    && cargo build --release --locked --features otlp,sentry --bin idlewatt

COPY scripts/runtime-root scripts/runtime-root
COPY LICENSE-MIT LICENSE-APACHE ./
RUN scripts/runtime-root target/release/idlewatt /root-of-runtime \
    && mkdir -p /root-of-runtime/usr/share/doc/idlewatt \
    && cp LICENSE-MIT LICENSE-APACHE /root-of-runtime/usr/share/doc/idlewatt

FROM scratch
COPY --from=build /root-of-runtime /

# The operator port is for Prometheus within the network; do not publish it.
ENV HOST=0.0.0.0 \
    PORT=8080 \
    METRICS_HOST=0.0.0.0 \
    METRICS_PORT=9090 \
    LOG_FORMAT=json
EXPOSE 8080 9090

USER 65532:65532
HEALTHCHECK --interval=10s --timeout=4s --start-period=30s --retries=3 \
    CMD ["/usr/local/bin/idlewatt", "healthcheck"]
# Draining takes DRAIN_DELAY_SECONDS and the requests in flight.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/idlewatt"]
CMD ["serve"]
