# The server in an image: make web, then docker build --tag rpcserver .
# docs/operations.md tells how to run it, with a read-only root.
FROM python:3.13-slim-bookworm AS build
WORKDIR /source
COPY pyproject.toml hatch_build.py constraints.txt README.md LICENSE ./
COPY config config/
COPY rpcwire rpcwire/
COPY rpcclient rpcclient/
COPY rpcserver rpcserver/
COPY services services/
RUN python -m venv /opt/rpcserver \
    && /opt/rpcserver/bin/pip install --no-cache-dir --constraint constraints.txt '.[server,postgresql,mysql,serial,udev]' \
    && find /opt/rpcserver -depth -name pip -type d -exec rm -r {} +

FROM python:3.13-slim-bookworm
# A number that users of the host seldom have: nobody there is this user by accident.
RUN groupadd --gid 10001 rpcserver \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/rpcserver --shell /usr/sbin/nologin rpcserver \
    && install --directory --owner=rpcserver --group=rpcserver --mode=0700 /var/lib/rpcserver \
    && install --directory --owner=rpcserver --group=rpcserver --mode=0711 /run/rpcserver
COPY --from=build /opt/rpcserver /opt/rpcserver
ENV PATH=/opt/rpcserver/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    CONFIGURATION_DIRECTORY=/etc/rpcserver \
    RPCSERVER_STATE_DIR=/var/lib/rpcserver \
    RPCSERVER_LISTEN__UNIX=/run/rpcserver/rpcserver.sock
USER 10001:10001
VOLUME /var/lib/rpcserver
EXPOSE 8765
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 \
    CMD ["rpcclient", "--url", "unix:///run/rpcserver/rpcserver.sock", "--timeout", "5", "ping", "--count", "1"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["rpcserver"]
CMD ["serve"]
