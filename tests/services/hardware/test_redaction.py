"""What looks like a secret in a command line is hidden, and the rest is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcservices.hardware.readers.redaction import MASK, redact

SECRET = "hunter2-Zx9"

HIDES = [
    ["app", "--password", SECRET],
    ["app", f"--password={SECRET}"],
    ["app", f"--db-password={SECRET}", "--verbose"],
    ["app", "--api-key", SECRET],
    ["app", f"--apiKey:{SECRET}"],
    ["app", f"-Dspring.datasource.password={SECRET}"],
    ["app", "--token", SECRET, "serve"],
    ["app", "--client-secret", SECRET],
    ["mysql", f"-p{SECRET}", "-u", "root"],
    ["/usr/bin/mysqldump", f"--password={SECRET}"],
    ["sshpass", "-p", SECRET, "ssh", "host"],
    ["curl", "-u", f"me:{SECRET}", "https://example.org"],
    ["curl", "-H", f"Authorization: Bearer {SECRET}", "https://example.org"],
    ["curl", "-H", f"X-Api-Key: {SECRET}"],
    ["curl", "-H", f"X-X-Auth-Token-2 : {SECRET}"],
    ["app", f"a=1&header=my-x-secret-thing:{SECRET}"],
    ["app", f"9git+ssh://me:{SECRET}@example.org"],
    ["app", f"first://a:b then://me:{SECRET}@example.org"],
    ["app", f"eyJ-eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{SECRET}"],
    ["app", f"x.eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{SECRET}", "y"],
    ["curl", "curl", "http", "curl", "-u", SECRET],
    ["htpasswd", "htpasswd", "file", SECRET],
    ["curl", f"https://me:{SECRET}@example.org/path"],
    ["curl", f"https://example.org/?access_token={SECRET}&page=2"],
    ["psql", f"postgresql://me:{SECRET}@db/main"],
    ["env", f"PGPASSWORD={SECRET}", "psql"],
    ["env", f"AWS_SECRET_ACCESS_KEY={SECRET}", "aws"],
    ["sh", "-c", f"export DB_PASSWORD={SECRET}; run"],
    ["redis-cli", "-a", SECRET],
    ["sudo", "-u", "postgres", "mysql", f"-p{SECRET}"],
    ["timeout", "5", "sshpass", "-p", SECRET, "ssh", "host"],
    ["env", "LANG=C", "/usr/bin/mysqldump", f"-p{SECRET}", "db"],
    ["nice", "-n", "5", "redis-cli", "-a", SECRET],
    ["sh", "-c", f"mysql -u root -p{SECRET} db"],
    ["bash", "-c", f"cd /tmp && sudo sshpass -p {SECRET} ssh host; ls"],
    ["sh", "-c", f"app --password {SECRET} --verbose"],
    ["curl", "--user", f"me:{SECRET}", "https://example.org"],
    ["curl", f"--user=me:{SECRET}", "https://example.org"],
    ["curl", "-sSu", f"me:{SECRET}"],
    ["curl", f"-sSume:{SECRET}"],
    ["curl", "-b", f"session={SECRET}"],
    ["curl", "--cookie", f"session={SECRET}"],
    ["lftp", "-u", f"me,{SECRET}"],
    ["app", "--pw", SECRET],
    ["app", "--pin", SECRET],
    ["app", f"--pin={SECRET}"],
    ["app", "--encryption-key", SECRET],
    ["ssh-keygen", "-f", "key", "-N", SECRET],
    ["ipmitool", "-H", "bmc", "-P", SECRET],
    ["openssl", "enc", "-aes-256-cbc", "-k", SECRET],
    ["openssl", "rsa", "-passin", f"pass:{SECRET}"],
    ["htpasswd", "-b", "file", "user", SECRET],
    ["htpasswd", "-nb", "user", SECRET],
    ["snmpget", "-v3", "-A", SECRET, "host"],
    ["nmcli", "dev", "wifi", "connect", "net", "password", SECRET],
    ["wpa_passphrase", "net", SECRET],
    ["xfreerdp", "/u:me", f"/p:{SECRET}", "/v:host"],
    ["docker", "login", "-u", "me", "-p", SECRET],
    ["docker", "--config", "/x", "login", f"-p{SECRET}", "registry.example.org"],
    ["podman", "login", "-p", SECRET, "quay.io"],
    ["az", "login", "--service-principal", "-u", "me", "-p", SECRET, "--tenant", "t"],
    ["az", "acr", "login", "-n", "registry", "-p", SECRET],
    ["redis-server", "--port", "6379", "--requirepass", SECRET],
    ["redis-server", "/etc/redis.conf", "--masterauth", SECRET],
    ["http", "-a", f"user:{SECRET}", "example.org"],
    ["https", f"-auser:{SECRET}", "example.org"],
    ["mosquitto_pub", "-u", "me", "-P", SECRET, "-t", "a/b"],
    ["vault", "login", SECRET],
    ["vault", "login", "-no-store", SECRET],
    ["vault", "operator", "unseal", SECRET],
    ["ngrok", "authtoken", SECRET],
    ["ngrok", "config", "add-authtoken", SECRET],
    ["sh", "-c", f"docker login -u me -p {SECRET} && docker run -p 80:80 nginx"],
    ["mysql", "-u", "root", "http", f"-p{SECRET}"],
    ["htpasswd", "-b", "file", "docker", SECRET],
    ["wpa_passphrase", "az", SECRET],
    ["git", "clone", f"https://{SECRET}@github.com/a/b"],
    ["python", "-c", f"connect(passwd='a b {SECRET}')"],
    ["node", "app.js", f'{{"password": "{SECRET}"}}'],
]


@pytest.mark.parametrize("command", HIDES, ids=" ".join)
def test_hidden(command: list[str]) -> None:
    shown = redact(command)
    assert SECRET not in " ".join(shown)
    assert MASK in " ".join(shown)


@pytest.mark.parametrize(
    "command",
    [
        ["python", "-m", "rpcserver", "serve", "--port", "8765"],
        ["ssh", "-p", "22", "host"],
        ["app", "--password-file", "/run/secrets/db"],
        ["app", "--token-file=/etc/token", "--auth-timeout", "5"],
        ["ssh", "-p", "22", "curl-host", "ls"],
        ["sudo", "-u", "postgres", "psql", "-p", "5432"],
        ["mysql", "-p", "database"],
        ["curl", "-sSo", "file.html", "https://example.org/u:v"],
        ["openssl", "x509", "-key", "server.key", "-in", "a.pem"],
        ["nmcli", "dev", "wifi", "list"],
        ["sh", "-c", "cd /srv && exec  python -m app;  ls"],
        ["git", "clone", "ssh://git@github.com/a/b"],
        ["app", "--pin-memory", "on", "--mapping", "a"],
        ["mkdir", "-p", "/var/lib"],
        ["git", "clone", "https://example.org/a/b.git"],
        ["nginx: worker process"],
        ["docker", "run", "-p", "8080:80", "nginx"],
        ["docker", "login", "registry.example.org"],
        ["az", "vm", "list", "-p", "page"],
        ["vault", "server", "-dev"],
        ["vault", "login"],
        ["vault", "operator", "unseal"],
        ["ngrok", "http", "80"],
        ["redis-server", "--port", "6379"],
        ["/usr/bin/keyring", "list"],
        ["tokenize.py", "input.txt"],
        [],
    ],
    ids=" ".join,
)
def test_shown(command: list[str]) -> None:
    assert redact(command) == command


def test_tokens_of_known_shapes() -> None:
    token = "ghp_" + "a1" * 18
    assert redact(["app", token]) == ["app", MASK]
    assert redact(["app", "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0"]) == ["app", MASK]


@given(st.lists(st.text(), max_size=8))
def test_any_command_line_can_be_shown(command: list[str]) -> None:
    assert len(redact(command)) == len(command)
