"""Starts the examples that serve a port, and talks to them.

Usage: network_examples.py FOLDER, the folder that the built examples are in.
"""

import os
import signal
import socket
import subprocess
import sys

TIMEOUT = 10


class Example:
    """An example that runs on a port of its own until it is told to end."""

    def __init__(self, folder, name):
        self.name = name
        self.process = subprocess.Popen(
            ["stdbuf", "-oL", os.path.join(folder, name)], stdout=subprocess.PIPE, text=True
        )
        line = self.process.stdout.readline().strip()
        host, port = line.removeprefix("listening on ").split(":")
        self.address = (host, int(port))

    def connect(self):
        client = socket.create_connection(self.address, timeout=TIMEOUT)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(TIMEOUT)


def read(client, count):
    data = b""
    while len(data) < count:
        part = client.recv(count - len(data))
        if not part:
            break
        data += part
    return data


def expect(actual, expected, what):
    if actual != expected:
        sys.exit(f"error: {what}: expected {expected!r}, got {actual!r}")


def check_echo(example):
    clients = [example.connect() for _ in range(10)]
    message = bytes(range(256)) * 400
    for client in clients:
        client.sendall(message)
    for client in clients:
        client.shutdown(socket.SHUT_WR)
        expect(read(client, len(message) + 1), message, f"{example.name} sends everything back")


def check_chat(example):
    def join(name):
        client = example.connect()
        reader = client.makefile("r")
        expect(reader.readline(), "Your name?\n", "a question")
        client.sendall(f"{name}\n".encode())
        return client, reader

    ada, ada_reads = join("ada")
    bob, bob_reads = join("bob")
    expect(ada_reads.readline(), "* bob is here, one of 2\n", "ada hears of bob")
    _, other_reads = join("bob")
    expect(other_reads.readline(), "Somebody is called that already.\n", "one name, one person")
    ada.sendall(b"hello\nthere\n")
    expect(bob_reads.readline(), "ada: hello\n", "bob hears ada")
    expect(bob_reads.readline(), "ada: there\n", "bob hears ada again")
    bob.close()
    bob_reads.close()
    expect(ada_reads.readline(), "* bob has left\n", "ada hears that bob left")
    example.process.send_signal(signal.SIGTERM)
    expect(ada_reads.readline(), "", "ada sees the end")
    expect(example.process.wait(TIMEOUT), 0, "the chat's exit status")


def main():
    folder = sys.argv[1]
    for name, check in [("Echo", check_echo), ("EchoHandler", check_echo), ("Chat", check_chat)]:
        with Example(folder, name) as example:
            check(example)
        print(f"{name} talks as it should.")
    output = subprocess.run(
        [os.path.join(folder, "TicketShop")], stdout=subprocess.PIPE, text=True, timeout=30, check=True
    ).stdout
    expected = "sold 300 tickets\nthe counter was at -8, and is at 0\nthe server has stopped\n"
    expect(output, expected, "the ticket shop")
    print("TicketShop sells every ticket once.")


main()
