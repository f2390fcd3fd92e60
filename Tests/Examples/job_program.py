"""Runs an example that is a program of jobs in all its roles.

Usage: job_program.py PROGRAM, the built example WordCount.
"""

import collections
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile

TIMEOUT = 60


def expect(holds, what):
    if not holds:
        sys.exit(f"error: {what}")


def counts(folder):
    lines = [line for part in sorted(folder.glob("part-*")) for line in part.read_text().splitlines()]
    return {word: int(count) for word, count in (line.split("\t") for line in lines)}


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    folder = pathlib.Path(tempfile.mkdtemp(prefix="cyclades-test-"))
    others = []
    try:
        text = folder / "text"
        text.write_text("".join(f"all w{i % 100} w{i % 7}\n" for i in range(20_000)))
        expected = dict(collections.Counter(text.read_text().split()))

        def ask(*more, job="words", output="out"):
            words = [program, job, "--input", text, "--output", folder / output, "--overwrite", *more]
            return subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT)

        def start(*words, executable=program):
            process = subprocess.Popen(
                [executable, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            others.append(process)
            return process

        for more in [(), ("--workers", "2")]:
            done = ask(*more)
            expect(done.returncode == 0, f"{more}: {done.stderr}")
            expect(counts(folder / "out") == expected, f"{more}: the counts are wrong")
        print("WordCount counts, in one process and with workers.")

        done = ask(job="unknown")
        expect(done.returncode == 64 and "there are: words" in done.stderr, "no list of jobs")
        done = ask("--wrong")
        expect(done.returncode == 64 and "--cluster" in done.stderr, "no list of options")

        address = f"127.0.0.1:{free_port()}"
        peers = f"1=127.0.0.1:{free_port()}"
        node = start("node", "--ledger", folder / "ledger", "--peers", peers, "--listen", address)
        expect(node.stdout.readline().startswith("node 1 takes jobs at"), "the node does not start")
        for _ in range(2):
            start("worker", "--cluster", address, "--spill", folder)
        done = ask("--cluster", address, output="clustered")
        expect(done.returncode == 0, f"on a cluster: {done.stderr}")
        expect(counts(folder / "clustered") == expected, "on a cluster: the counts are wrong")
        listed = subprocess.run(
            [program, "list", "--cluster", address], capture_output=True, text=True, timeout=TIMEOUT
        )
        expect("words" in listed.stdout and "complete" in listed.stdout, f"list: {listed.stdout}")
        print("WordCount counts on a cluster of itself.")

        # One byte more makes it another build.
        another = str(folder / "another")
        shutil.copy(program, another)
        with open(another, "ab") as file:
            file.write(b"\0")
        stranger = start("worker", "--cluster", address, executable=another)
        _, complaint = stranger.communicate(timeout=TIMEOUT)
        expect(stranger.returncode == 1, "another build works for the cluster")
        expect("another build" in complaint, f"another build is refused with: {complaint}")
        print("WordCount refuses another build.")

        node.terminate()
        expect(node.wait(TIMEOUT) == 0, "the node does not stop cleanly")
    finally:
        for process in others:
            if process.poll() is None:
                process.kill()
            process.wait(TIMEOUT)
        shutil.rmtree(folder)


main()
