#!/usr/bin/env bash
# Guess: click-man escapes help texts for roff, as it escapes the names of options.
# What happens: backslashes and leading dots stay as they are, so man(1) takes them for requests and drops words.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check click==8.1.8 click-man==0.5.1 setuptools==80.9.0
"$folder/venv/bin/python" - <<'PYTHON' >"$folder/page.1"
import click
from click_man.core import generate_man_page


@click.command()
@click.option("--file", help="A path such as C:\\data\\list, or\n.profile in the home folder.")
def copy(file: str) -> None:
    """Copy a file."""


print(generate_man_page(click.Context(copy, info_name="copy"), "1.0"))
PYTHON
"$folder/venv/bin/pip" list --disable-pip-version-check | grep -i '^click'
echo "the option in the page:"
grep -A 3 'file' "$folder/page.1" | tail -3
grep -F '\fB\-\-file\fP' "$folder/page.1" >/dev/null
grep -Fx 'A path such as C:\data\list, or' "$folder/page.1" >/dev/null
grep -Fx '.profile in the home folder.' "$folder/page.1" >/dev/null
if command -v man >/dev/null; then
    echo "what man(1) shows of it:"
    MANWIDTH=80 man --local-file "$folder/page.1" 2>/dev/null | tee "$folder/shown" | grep -A 1 'A path'
    ! grep 'profile' "$folder/shown"
fi
