"""The time of the import and of the command's help."""

from suite.figures import OURS, Figure
from suite.processes import run
from suite.setup import alternate

MORE_RUNS = 2


def measure(setup):
    """Measure CPU time: files are in the page cache."""
    title = "`from livepeer_async import AsyncLivepeer` beyond its four dependencies, CPU"
    package = Figure("import", "package", title, "ms")
    for _ in range(setup.runs * MORE_RUNS + 1):
        printed = run(setup.ours("timed_import.py")).printed
        package.add(OURS, printed["package"])
        package.add("dependencies", printed["dependencies"])
    helped = Figure("import", "help", "`livepeer-async --help`, CPU of the process", "s")
    sides = {
        OURS: [setup.python, "-P", "-m", "livepeer_async", "--help"],
        "import typer, rich": [setup.python, "-c", "import typer, rich"],
    }
    for side, command in alternate(sides, setup.runs * MORE_RUNS + 1):
        helped.add(side, run(command).cpu)
    return [package, helped]
