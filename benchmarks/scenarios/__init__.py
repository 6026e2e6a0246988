"""The benchmarks; `BENCHES` has them by name, the quick ones first."""

from scenarios import (
    cluster,
    decode,
    imports,
    journal,
    long_link,
    loop,
    memory,
    polling,
    small_files,
    uploads,
)

BENCHES = {
    "decode": decode.measure,
    "import": imports.measure,
    "upload-plain": uploads.measure_plain,
    "upload-tls": uploads.measure_tls,
    "small-files": small_files.measure,
    "loop": loop.measure,
    "memory": memory.measure,
    "journal": journal.measure,
    "cluster": cluster.measure,
    "polling": polling.measure,
    "long-link": long_link.measure,
}
