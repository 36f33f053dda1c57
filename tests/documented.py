"""Type-checks the Python examples of the README and of docs/: ``python -m tests.documented``, part of `make check`."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLUGIN = re.compile(r"# (\w+)\.py\n")


def python_blocks(text: str) -> list[str]:
    """The Python examples of a document, in their order."""
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def is_plugin(block: str) -> bool:
    """Whether an example is a file of its own, which its first line names."""
    return PLUGIN.match(block) is not None


def modules() -> dict[str, str]:
    """Every example as a module: of the README each its own; of a guide those that follow one another as one."""
    found: dict[str, str] = {}
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        stem = path.stem.lower()
        blocks = python_blocks(path.read_text(encoding="utf-8"))
        for block in filter(is_plugin, blocks):
            found[f"{stem}_{block.split()[1].removesuffix('.py')}"] = block
        scripts = [block for block in blocks if not is_plugin(block)]
        if stem != "readme":
            scripts = ["\n".join(scripts)] if scripts else []
        found.update({f"{stem}_{number}": script for number, script in enumerate(scripts)})
    return found


def main() -> int:
    """Run both type checkers; returns the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in modules().items():
            (Path(folder) / f"{name}.py").write_text(text, encoding="utf-8")
        files = sorted(str(path) for path in Path(folder).iterdir())
        tools = Path(sys.executable).parent
        # Libraries that a reader may use beside ours need not be typed.
        lenient = "--disable-error-code=import-untyped"
        mypy = subprocess.run([tools / "mypy", "--strict", lenient, *files], cwd=ROOT, check=False)
        pyright = subprocess.run([tools / "pyright", "--pythonpath", sys.executable, *files], cwd=ROOT, check=False)
        return mypy.returncode or pyright.returncode


if __name__ == "__main__":
    sys.exit(main())
