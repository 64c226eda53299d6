"""forkserver.py - a server that is warm once and forks a child for each request.

The parent imports what requests need and loads its data, listens on a socket, and forks for each connection: the child answers from what is in memory already and exits. So requests cannot disturb one another, and none pays
for starting an interpreter. What it costs is the fork of a large process. Prints nanoseconds for each request, which are instructions in the emulator's instruction-count mode; for comparison, those of a server that is not warm:
it has the interpreter and the modules, but no data.
"""
import json
import os
import socket
import sys
import time

REQUESTS = 20
SOCKET = "/forkserver.socket"


def load(mib):
    """What a server has in memory: a table of many small objects, and blocks of bytes."""
    words = {f"word{i}": {"id": i, "text": str(i) * 3} for i in range(20000)}
    return words, [bytearray(os.urandom(4096)) * 256 for _ in range(mib)]


def answer(connection, data):
    words, blocks = data
    request = json.loads(connection.recv(4096))
    found = words.get(request["word"])
    reply = {"found": found, "blocks": len(blocks), "sum": sum(b[request["at"]] for b in blocks[:8])}
    connection.sendall(json.dumps(reply).encode())


def serve(listener, data):
    """Until the word to end comes."""
    while True:
        connection, _ = listener.accept()
        pid = os.fork()
        if pid == 0:
            answer(connection, data)
            os._exit(0)
        connection.close()
        _, status = os.waitpid(pid, 0)
        if status:
            sys.exit(f"forkserver: a child ended with {status:#x}")


def ask(number):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(SOCKET)
        s.sendall(json.dumps({"word": f"word{number * 17}", "at": number}).encode())
        return json.loads(s.recv(65536))


def measure(mib):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(SOCKET)
    listener.listen()
    server = os.fork()
    if server == 0:
        data = load(mib)
        serve(listener, data)
    listener.close()
    ask(0)  # waits until the server is warm
    best = None
    for number in range(1, REQUESTS):
        begin = time.perf_counter_ns()
        reply = ask(number)
        took = time.perf_counter_ns() - begin
        best = took if best is None else min(best, took)
        if reply["found"] != {"id": number * 17, "text": str(number * 17) * 3} or reply["blocks"] != mib:
            sys.exit(f"forkserver: a wrong reply: {reply}")
    os.kill(server, 9)
    os.waitpid(server, 0)
    os.unlink(SOCKET)
    return best


def main():
    for mib in (8, 64, 256):
        print(f"forkserver: {mib:4} MiB of data: {measure(mib):12,} ns for a request", flush=True)
    print("forkserver done", flush=True)


main()
