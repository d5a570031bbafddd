# Messaging System in a container: built on Debian, run as a user of its own on a root file system that may be read-only.

FROM debian:12 AS build
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates git \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY scripts/install-deps scripts/install-deps
RUN scripts/install-deps --build && rm -rf /var/lib/apt/lists/*
COPY CMakeLists.txt ./
COPY src src
ARG REVISION=
RUN cmake -S . -B build -G Ninja -DBUILD_TESTS=OFF -DREVISION="$REVISION" && cmake --build build && strip build/messaging

FROM node:20 AS docs
WORKDIR /src
COPY scripts/build-docs scripts/build-docs
COPY api-docs api-docs
RUN scripts/build-docs docs

FROM debian:12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libpq5 libevent-2.1-7 libevent-pthreads-2.1-7 libhiredis0.14 \
       libcurl4 libspdlog1.10 libfmt9 libssl3 libprometheus-cpp-core1.0 zlib1g libtcmalloc-minimal4 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin messaging
COPY --from=build /src/build/messaging /usr/bin/messaging
COPY --from=docs /src/docs /usr/share/messaging/docs
COPY migrations /usr/share/messaging/migrations
USER messaging
EXPOSE 8080
ENV HTTP_ADDR=0.0.0.0
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 CMD ["/usr/bin/messaging", "healthcheck"]
ENTRYPOINT ["/usr/bin/messaging"]
CMD ["serve"]
