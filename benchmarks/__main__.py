"""Benchmarks: our client beside its peers, in alternating runs of finished processes.

    nox -s bench                       all benchmarks, which install their peers (15 min)
    nox -s bench -- upload-tls loop    some of them
    nox -s bench-check                 compare the newest results with budget.toml
    python benchmarks --readme         write the newest results into the README

Without nox, in an environment with the package, its extras and the group `bench`:

    python benchmarks [NAME ...] [--runs 5] [--python PYTHON] [--output FOLDER]

`--python` names the interpreter of another environment, with the `livepeer_async` to measure: run
the suite for two versions, and compare their ratios to the same peers. `--modules` is the folder
of the packages in package.json, by default `node_modules` beside it.

Each benchmark prints medians, spread and ratios, and a run writes a file of JSON to `results/`.
Both sides of a ratio are of the same round: a busy machine changes ratios little, and the values
themselves much. CPU time is that of finished processes, without the start-up of the client, which
is measured with a small file. The suite needs Linux, curl, Node.js and 1 GiB of disk.
"""

import argparse
import sys
import tempfile
import tomllib
from pathlib import Path

from suite import budget, report, results

HERE = Path(__file__).parent
RESULTS = HERE / "results"
README = HERE.parent / "README.md"


def main():
    """Run what the command line says."""
    parser = argparse.ArgumentParser(
        prog="benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a benchmark; by default all")
    parser.add_argument("--runs", type=int, default=5, help="alternating runs (5)")
    parser.add_argument("--ingested", type=int, default=1000, help="files to ingest (1000)")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the package")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--modules", type=Path, default=HERE / "node_modules")
    parser.add_argument("--readme", action="store_true", help="only write the README's table")
    parser.add_argument("--check", action="store_true", help="only compare with budget.toml")
    options = parser.parse_args()
    if options.check:
        return check(options.output)
    if options.readme:
        return write_readme(options.output)
    return run(parser, options)


def run(parser, options):
    """Run benchmarks, and write their results."""
    from scenarios import BENCHES
    from suite.setup import Setup

    unknown = set(options.names) - set(BENCHES)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; wanted {', '.join(BENCHES)}")
    if not (options.modules / "tus-js-client").is_dir():
        parser.error(f"no tus-js-client in {options.modules}; run `npm ci`, or `nox -s bench`")
    figures, failed = [], []
    with tempfile.TemporaryDirectory() as folder:
        modules = options.modules.resolve()
        setup = Setup(options.python, modules, options.runs, Path(folder), options.ingested)
        for name in options.names or BENCHES:
            try:
                measured = BENCHES[name](setup)
            except (RuntimeError, OSError) as error:
                print(f"{name} failed: {error}\n", file=sys.stderr, flush=True)
                failed.append(name)
                continue
            print(report.print_figures(measured), flush=True)
            figures += measured
        if figures:
            print(f"written to {results.write(options.output, figures, setup)}")
    return 1 if failed else 0


def check(folder):
    """Print the limits with what was measured; return 1 if one is exceeded or wasn't measured."""
    limits = budget.read_limits(tomllib.loads((HERE / "budget.toml").read_text()))
    documents = results.read_all(folder)
    figures, earlier = results.newest(documents), results.newest(documents, 1)
    verdicts = budget.compare(limits, figures, earlier)
    for verdict in verdicts:
        print(verdict)
    over = sum(not verdict.is_met for verdict in verdicts)
    worse = sum(verdict.is_worse for verdict in verdicts)
    print(f"of {len(verdicts)} limits, {over} are over budget and {worse} got worse")
    return 1 if over else 0


def write_readme(folder):
    """Replace the table of the README."""
    documents = results.read_all(folder)
    if not documents:
        sys.exit(f"no results in {folder}; run the benchmarks first")
    newest = results.newest(documents)
    section = report.readme_section(newest, results.contributing(documents))
    README.write_text(report.replace_section(README.read_text(), section))
    return 0


if __name__ == "__main__":
    sys.exit(main())
