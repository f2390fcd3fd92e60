#!/usr/bin/env python3
"""Measures MapReduce beside what one would use instead, all in one run and in turns.

    run.py --tools DIR --jobs PROGRAM --cyclades PROGRAM [--rounds N] [--only WORK...] [--json]

Data are those of Debian and PyPI packages, made once below DIR/mapreduce: English text of 370 MB (the
dictionary GCIDE and WordNet, six times over, so that the number of different words is that of 62 MB),
the C sources of Linux 6.1, `lineitem` of TPC-H at scale 1, 100-byte lines, and 100 M rows of
station;temperature. Every row is one process from start to end, two threads or workers, output
written and not synced. Rounds are interleaved; the table shows the median wall time and the processor
time, which a busy machine distorts less. Before anything counts, outputs are compared byte for byte.
Peak memory is the kernel's own high-water mark of the process. At the end come the bars that all this
is to meet, each with what was measured.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent

OURS, WORKERS, BUDGET = "cyclades, 2 threads", "cyclades, 2 processes", "cyclades, 256 MiB"
BLOCKS = "cyclades, verified blocks"
SORT = "GNU sort --parallel=2"

# What must hold: the work, a figure of some rows (the least, if there are several) over that of
# another row (or alone), and its bound.
BARS = [
    ("words, English", "seconds", ["DuckDB"], OURS, ">=", 3),
    ("words, English", "seconds", ["Polars, streaming"], OURS, ">=", 4),
    ("words, English", "seconds", ["DuckDB"], WORKERS, ">=", 2),
    ("words, Spark", "seconds", ["Spark, local[2]"], WORKERS, ">=", 10),
    ("words, kernel", "seconds", ["DuckDB"], OURS, ">=", 3),
    ("sort", "seconds", [SORT, "DuckDB"], OURS, ">=", 1.1),
    ("lineitem-flags", "seconds", ["DuckDB"], OURS, ">=", 1.2),
    ("lineitem-parts", "seconds", ["DuckDB"], OURS, ">=", 1.2),
    ("stations", "seconds", [OURS], "C by hand, 2 threads", "<=", 1.5),
    ("words, English", "seconds", [BUDGET], OURS, "<=", 2.5),
    ("words, English", "peakMiB", [BUDGET], None, "<=", 256 + 64),
    ("words, kernel", "seconds", [BUDGET], OURS, "<=", 2.5),
    ("words, kernel", "peakMiB", [BUDGET], None, "<=", 256 + 64),
    ("shuffle", "gigabytesPerSecond", [BLOCKS], None, ">=", 1.5),
]


def shell(command, **more):
    subprocess.run(command, shell=True, check=True, executable="/bin/bash", **more)


class Data:
    """Inputs, each made when it is first asked for."""

    def __init__(self, tools):
        self.root = tools / "mapreduce"
        self.root.mkdir(parents=True, exist_ok=True)
        self.python = tools / "bench" / "bin" / "python"
        self.c = self.root / "stations-c"
        shell(f"cc -O3 -march=native -o '{self.c}' '{HERE}/stations.c' -lpthread")

    def make(self, name, command):
        path = self.root / name
        if not path.exists():
            print(f"making {name}", file=sys.stderr)
            shell(f"set -euo pipefail; cd '{self.root}'; {command}")
            (self.root / f"{name}.new").rename(path)
        return path

    def packages(self, *names):
        return "rm -rf x; mkdir x; apt-get download -qq " + " ".join(names) + (
            "; for d in *.deb; do dpkg -x $d x; done; rm *.deb;"
        )

    def english(self):
        # DuckDB and Polars refuse text that is not UTF-8.
        return self.make(
            "english",
            self.packages("dict-gcide", "wordnet-base")
            + "{ gzip -dc x/usr/share/dictd/gcide.dict.dz; cat x/usr/share/wordnet/data.*; }"
            " | iconv -c -f utf-8 -t utf-8 > once; for i in 1 2 3 4 5 6; do cat once; done"
            " > english.new; rm -rf x once",
        )

    def kernel(self):
        return self.make(
            "kernel",
            self.packages("linux-source-6.1")
            + "tar xf x/usr/src/linux-source-6.1.tar.xz -C x;"
            " find x -type f \\( -name '*.[chS]' -o -name '*.rst' -o -name '*.txt' \\) -print0 | sort -z"
            " | xargs -0 cat | iconv -c -f utf-8 -t utf-8 | tr '\\t\\r\\f\\v\\001' '     '"
            " | { head -c 1070000000; cat > /dev/null; } | iconv -c -f utf-8 -t utf-8 > kernel.new;"
            " rm -rf x",
        )

    def lineitem(self):
        cli = self.python.parent / "tpchgen-cli"
        return self.make(
            "lineitem.tbl",
            f"'{cli}' -s 1 --tables lineitem --output-dir li; mv li/lineitem.tbl lineitem.tbl.new;"
            " rmdir li",
        )

    def lines(self):
        return self.make("lines", f"'{self.c}' records 5400000 lines.new")

    def stations(self):
        return self.make("stations", f"'{self.c}' generate 100000000 stations.new")


class Bench:
    def __init__(self, data, jobs, cyclades, rounds):
        self.data, self.jobs, self.cyclades, self.rounds = data, jobs, cyclades, rounds
        self.out = data.root / "out"
        self.results = []

    def ours(self, job, source, workers=0, memory=4096):
        return [self.jobs, job, workers, memory, self.out / "ours", source], "ours"

    def peer(self, system, work, source):
        target = self.out / system
        return [self.data.python, HERE / "peers.py", system, work, source, target], system

    def sort(self, source):
        return ["sort", "--parallel=2", "-S", "4G", "-o", self.out / "sort", source], "sort"

    def digest(self, name):
        path = self.out / name
        if path.is_dir():
            command = f"cat '{path}'/part-* | LC_ALL=C sort"
        else:
            command = f"LC_ALL=C sort '{path}'"
        command += " | md5sum"
        return subprocess.run(command, shell=True, check=True, capture_output=True).stdout[:32]

    def once(self, command):
        shutil.rmtree(self.out / "ours", ignore_errors=True)
        environment = dict(os.environ, LC_ALL="C")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.monotonic()
        output = self.out / "stdout"
        words = self.out / "stderr"
        with open(output, "wb") as file, open(words, "wb") as errors:
            process = subprocess.Popen(
                [str(c) for c in command], stdout=file, stderr=errors, env=environment
            )
            _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if status != 0:
            print(words.read_text(errors="replace"), file=sys.stderr)
            raise SystemExit(f"failed: {' '.join(str(c) for c in command)}")
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return wall, processor, usage.ru_maxrss // 1024

    def compare(self, work, rows, check=True):
        """rows: name -> (command, output); the first one is ours."""
        self.out.mkdir(exist_ok=True)
        digests = {}
        measured = {name: [] for name in rows}
        for turn in range(self.rounds):
            for name, (command, output) in rows.items():
                measured[name].append(self.once(command))
                if turn == 0 and check:
                    digests[name] = self.digest(output)
        if len(set(digests.values())) > 1:
            raise SystemExit(f"{work}: outputs differ: {digests}")
        first = None
        for name, runs in measured.items():
            wall, processor, memory = (statistics.median(v) for v in zip(*runs))
            first = first or (wall, processor)
            self.results.append(
                {
                    "work": work, "row": name, "seconds": round(wall, 3),
                    "processorSeconds": round(processor, 3), "peakMiB": int(memory),
                    "timesOurs": round(wall / first[0], 2),
                    "timesOursProcessor": round(processor / first[1], 2),
                }
            )
            print(
                f"{work:16} {name:28} {wall:8.2f} s {processor:8.2f} s cpu {memory:7.0f} MiB"
                f" {wall / first[0]:6.2f}x {processor / first[1]:6.2f}x cpu", file=sys.stderr
            )


    def bandwidth(self, source, rounds=16):
        """One process pulls from another what that has mapped; beside plain reads and writes in C."""
        rates = {}
        for _ in range(self.rounds):
            for name, serve, pull in (
                (
                    BLOCKS,
                    [self.cyclades, "mapreduce", "measure-shuffle", "--serve", source],
                    [self.cyclades, "mapreduce", "measure-shuffle", "--rounds", rounds, "--pull"],
                ),
                (
                    "C, plain write and read",
                    [self.data.c, "loopback", "serve", 4 << 30],
                    [self.data.c, "loopback", "pull"],
                ),
            ):
                server = subprocess.Popen([str(c) for c in serve], stdout=subprocess.PIPE, text=True)
                port = server.stdout.readline().strip()
                output = subprocess.run(
                    [str(c) for c in pull] + [port], check=True, capture_output=True, text=True
                ).stdout
                server.wait()
                figures = json.loads(output)
                rate = figures["bytes"] / figures["seconds"] / 1e9
                rates.setdefault(name, []).append(rate)
        for name, measured in rates.items():
            rate = round(statistics.median(measured), 2)
            self.results.append({"work": "shuffle", "row": name, "gigabytesPerSecond": rate})
            print(f"{'shuffle':16} {name:28} {rate:8.2f} GB/s", file=sys.stderr)

    def bars(self):
        """Prints every bar whose rows were measured; the number of those that were missed."""
        rows = {(result["work"], result["row"]): result for result in self.results}
        missed = 0
        for work, figure, over, under, sign, bound in BARS:
            found = [rows[work, name][figure] for name in over if (work, name) in rows]
            if len(found) < len(over) or under is not None and (work, under) not in rows:
                continue
            value = min(found)
            what = f"{figure} of {' or '.join(over)}"
            if under is not None:
                value /= rows[work, under][figure]
                what = f"{' or '.join(over)} / {under}"
            holds = value >= bound if sign == ">=" else value <= bound
            missed += not holds
            print(
                f"{'ok' if holds else 'MISSED':7} {work:16} {what:52} {value:8.2f} {sign} {bound}",
                file=sys.stderr,
            )
        return missed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tools", type=Path, required=True)
    parser.add_argument("--jobs", required=True)
    parser.add_argument("--cyclades", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    data = Data(options.tools.resolve())
    bench = Bench(data, options.jobs, options.cyclades, options.rounds)

    def english():
        text = data.english()
        bench.compare("words, English", {
            OURS: bench.ours("wordcount", text),
            WORKERS: bench.ours("wordcount", text, workers=2),
            BUDGET: bench.ours("wordcount", text, memory=256),
            "DuckDB": bench.peer("duckdb", "words-blank", text),
            "Polars, streaming": bench.peer("polars", "words-blank", text),
        })

    def spark():
        text = data.english()
        bench.compare("words, Spark", {
            WORKERS: bench.ours("wordcount", text, workers=2),
            "Spark, local[2]": bench.peer("spark", "words-blank", text),
        })

    def shuffle():
        bench.bandwidth(data.lines())

    def kernel():
        text = data.kernel()
        bench.compare("words, kernel", {
            OURS: bench.ours("wordcount", text),
            BUDGET: bench.ours("wordcount", text, memory=256),
            "DuckDB": bench.peer("duckdb", "words-blank", text),
        })

    def sort():
        lines = data.lines()
        bench.compare("sort", {
            OURS: bench.ours("sort", lines),
            SORT: bench.sort(lines),
            "DuckDB": bench.peer("duckdb", "sort", lines),
        })

    def lineitem():
        for work in ("lineitem-flags", "lineitem-parts"):
            table = data.lineitem()
            bench.compare(work, {
                OURS: bench.ours(work, table),
                "DuckDB": bench.peer("duckdb", work, table),
            })

    def stations():
        rows = data.stations()
        bench.compare("stations", {
            OURS: bench.ours("stations", rows),
            "C by hand, 2 threads": ([data.c, rows], "stdout"),
            "DuckDB": bench.peer("duckdb", "stations", rows),
        })

    works = {f.__name__: f for f in (english, spark, kernel, sort, lineitem, stations, shuffle)}
    for name, work in works.items():
        if not options.only or name in options.only:
            work()
    shutil.rmtree(bench.out, ignore_errors=True)
    missed = bench.bars()
    if options.json:
        print(json.dumps(bench.results, indent=1))
    if missed:
        raise SystemExit(f"{missed} bars were missed")


main()
