# The three services of examples/order in one image; the command says which one runs.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --locked --release -p order --bin order --bin payment --bin inventory \
    && mkdir /programs \
    && cp target/release/order target/release/payment target/release/inventory /programs/

FROM debian:bookworm-slim
RUN useradd --system --no-create-home saga
COPY --from=build /programs/ /usr/local/bin/
USER saga
ENV LISTEN=0.0.0.0:8080
EXPOSE 8080
# Healthy is whoever answers, which needs the database. The image has no HTTP client, and bash is enough of one.
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=6 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /health HTTP/1.0\\r\\n\\r\\n' >&3 && read -r status <&3 && [[ $status == *' 200 '* ]]"]
CMD ["order"]
