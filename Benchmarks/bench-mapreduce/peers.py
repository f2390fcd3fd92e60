"""What DuckDB, Polars and Spark do for the work that bench-mapreduce measures, two threads each.

    peers.py SYSTEM WORK INPUT OUTPUT

One process per run, like every other row: start-up is part of what a user waits for, and the same for
all. Text is read as one column of lines; words are what lies between blanks and tabs.
"""

import os
import sys

os.environ["POLARS_MAX_THREADS"] = "2"
system, work, source, target = sys.argv[1:]

LINES = (
    f"read_csv('{source}', columns={{'line': 'varchar'}}, delim=chr(1), quote='', escape='', "
    "header=false, auto_detect=false, max_line_size=10000000)"
)
COLUMNS = [f"c{i}" for i in range(17)]
TYPES = ", ".join(
    f"'{c}': '{t}'"
    for c, t in zip(COLUMNS, ["bigint"] * 4 + ["decimal(15,2)"] * 4 + ["varchar"] * 9)
)
ITEMS = f"read_csv('{source}', columns={{{TYPES}}}, delim='|', header=false, auto_detect=false)"


def figures(group):
    return (
        f"select {group} g, cast(sum(c4) as bigint) q, cast(sum(c5) * 100 as bigint) p, count(*) n "
        f"from {ITEMS} group by all order by g"
    )


DUCKDB = {
    "words": "select w, count(*) n from (select unnest(string_split_regex(line, '[ \\t]')) w "
    f"from {LINES}) where w <> '' group by w order by w",
    "words-blank": "select w, count(*) n from (select unnest(string_split(line, ' ')) w "
    f"from {LINES}) where w <> '' group by w order by w",
    "sort": f"select line from {LINES} order by line",
    "lineitem-flags": figures("c8 || '|' || c9"),
    "lineitem-parts": figures("cast(c1 as varchar)"),
    "stations": "select c0, count(*), cast(sum(c1) * 10 as bigint), cast(min(c1) * 10 as bigint), "
    f"cast(max(c1) * 10 as bigint) from read_csv('{source}', columns={{'c0': 'varchar', "
    "'c1': 'decimal(4,1)'}, delim=';', header=false, auto_detect=false) group by c0 order by c0",
}


def duckdb():
    import duckdb

    connection = duckdb.connect()
    connection.execute("set threads = 2")
    connection.execute(
        f"copy ({DUCKDB[work]}) to '{target}' (delimiter '\\t', header false, quote '', escape '')"
    )


def polars():
    import polars as pl

    lines = pl.scan_csv(
        source, has_header=False, new_columns=["line"], separator="\x01", quote_char=None
    )
    words = (
        lines.select(pl.col("line").str.split(" ").explode().alias("w"))
        .filter(pl.col("w").is_not_null() & (pl.col("w") != ""))
        .group_by("w")
        .len()
        .sort("w")
    )
    words.collect(engine="streaming").write_csv(
        target, separator="\t", include_header=False, quote_style="never"
    )


def spark():
    from pyspark.sql import SparkSession, functions as f

    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.memory", "4g")
        .config("spark.sql.shuffle.partitions", "4")
        .config("spark.log.level", "ERROR")
        .getOrCreate()
    )
    lines = session.read.option("lineSep", "\n").text(source)
    words = (
        lines.select(f.explode(f.split("value", " ")).alias("w"))
        .filter("w <> ''")
        .groupBy("w")
        .count()
    )
    words.select(f.concat_ws("\t", "w", "count")).write.mode("overwrite").text(target)
    gateway = session.sparkContext._gateway
    session.stop()
    gateway.shutdown()
    # So that what the Java process took is counted as this one's.
    gateway.proc.stdin.close()
    gateway.proc.wait()


{"duckdb": duckdb, "polars": polars, "spark": spark}[system]()
