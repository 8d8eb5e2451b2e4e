"""`nasty serve`, Triton and MLServer answer requests in turn with the same network; prints the table, writes a CSV. See README.md."""

import argparse
import csv
import datetime
import json
import os
import platform
import random
import signal
import socket
import statistics
import struct
import subprocess
import threading
import time
from pathlib import Path

HERE = Path(__file__).parent
NETWORKS = ["preresnet20", "resnet18", "mobilenetv2"]
SIDE, CLASSES, MODEL = 32, 10, "victim"
COLUMNS = "network batch clients form server requests_per_s p50_ms p99_ms requests ours_is_faster rounds difference".split()
# MLServer does not read binary tensors.
FORMS = {"nasty": ["binary", "json"], "triton": ["binary", "json"], "mlserver": ["json"]}


class Server:
    """A server that runs, and its port."""

    def __init__(self, name, port, pid, process=None):
        self.name, self.port, self.pid, self.process = name, port, pid, process

    def close(self):
        # Triton's program is a child of the process that was started; each has a group of its own.
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.pid, sign)
            except ProcessLookupError:
                break
            time.sleep(2 if sign == signal.SIGTERM else 0)
        if self.process:
            self.process.wait()


def start(args, name, folder, onnx):
    if name == "nasty":
        command = [args.program, "serve", folder, "--name", MODEL, "--port", "0", "--quiet"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        url = process.stdout.readline()
        if not url:
            raise SystemExit("nasty serve does not start")
        return Server(name, int(url.split("/")[2].rsplit(":", 1)[1]), process.pid, process)
    command = [str(Path(args.servers) / f"start-{name}"), args.work, "--onnx", onnx]
    # The server keeps its standard output: a file, not a pipe, which would never end.
    log = Path(args.work) / f"{name}.pid"
    with open(log, "w") as out:
        subprocess.run(command, stdout=out, check=True)
    return Server(name, {"triton": 18000, "mlserver": 18080}[name], int(log.read_text().split()[-1]))


def request(form, batch):
    """The bytes of a request for `batch` images."""
    generator = random.Random(1)
    numbers = [struct.unpack("f", struct.pack("f", generator.uniform(-2, 2)))[0] for _ in range(batch * 3 * SIDE * SIDE)]
    tensor = {"name": "input", "datatype": "FP32", "shape": [batch, 3, SIDE, SIDE]}
    if form == "json":
        body = json.dumps({"id": "1", "inputs": [{**tensor, "data": numbers}]}).encode()
        more = "Content-Type: application/json\r\n"
    else:
        tensor["parameters"] = {"binary_data_size": 4 * len(numbers)}
        outputs = [{"name": "logits", "parameters": {"binary_data": True}}]
        head = json.dumps({"id": "1", "inputs": [tensor], "outputs": outputs}).encode()
        body = head + struct.pack(f"<{len(numbers)}f", *numbers)
        more = f"Content-Type: application/octet-stream\r\nInference-Header-Content-Length: {len(head)}\r\n"
    head = f"POST /v2/models/{MODEL}/infer HTTP/1.1\r\nHost: 127.0.0.1\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Client:
    """A connection that is kept."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, data):
        self.socket.sendall(data)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.more()
        head, body = answer.split(b"\r\n\r\n", 1)
        lines = head.decode().lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        while len(body) < int(headers["content-length"]):
            body += self.more()
        if " 200" not in lines[0]:
            raise SystemExit(f"{lines[0]}: {body[:300]}")
        return headers, body

    def more(self):
        data = self.socket.recv(1 << 20)
        if not data:
            raise SystemExit("the server hung up")
        return data

    def numbers(self, data):
        headers, body = self.ask(data)
        length = headers.get("inference-header-content-length")
        if length:
            tail = body[int(length):]
            return struct.unpack(f"<{len(tail) // 4}f", tail)
        return json.loads(body)["outputs"][0]["data"]


def load(port, data, clients, seconds):
    """Seconds of each request that `clients` clients made in about `seconds`, and the seconds that passed."""
    times, faults = [], []
    begun = time.perf_counter()

    def work():
        try:
            client = Client(port)
            while time.perf_counter() - begun < seconds:
                sent = time.perf_counter()
                client.ask(data)
                times.append(time.perf_counter() - sent)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    return times, time.perf_counter() - begun


def compare(args, network, servers, batch, clients, form):
    """Rows of the CSV, one a server."""
    data = request(form, batch)
    answers = {name: Client(server.port).numbers(data) for name, server in servers.items()}
    first = next(iter(answers.values()))
    largest = max(map(abs, first))
    apart = {name: max(abs(a - b) for a, b in zip(answer, first)) / largest for name, answer in answers.items()}
    if any(not difference <= 1e-4 for difference in apart.values()):
        raise SystemExit(f"{network}: the answers differ by {apart} of the largest, not the same network")
    times = {name: [] for name in servers}
    rates = {name: [] for name in servers}
    for server in servers.values():
        load(server.port, data, clients, 0.5)
    for turn in range(args.rounds):
        # Whoever comes after another must not always come after the same one.
        names = list(servers)[turn % len(servers):] + list(servers)[:turn % len(servers)]
        for name in names:
            seconds, passed = load(servers[name].port, data, clients, args.seconds)
            times[name] += seconds
            rates[name].append(len(seconds) / passed)
    rows = []
    for name in servers:
        ranked = sorted(times[name])
        ratio = statistics.median(ours / theirs for ours, theirs in zip(rates["nasty"], rates[name]))
        p50, p99 = (1e3 * ranked[min(len(ranked) - 1, int(share * len(ranked)))] for share in (0.5, 0.99))
        rows.append(dict(zip(COLUMNS, [
            network, batch, clients, form, name, f"{statistics.median(rates[name]):.1f}", f"{p50:.2f}", f"{p99:.2f}",
            len(ranked), f"{ratio:.3f}", args.rounds, f"{apart[name]:.1e}",
        ])))
    return rows


def machine():
    with open("/proc/cpuinfo") as info:
        model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), "unknown")
    return f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", help="the program `nasty`")
    parser.add_argument("--untrained", help="the built example `untrained`")
    parser.add_argument("--servers", help="the folder with start-triton and start-mlserver")
    parser.add_argument("--work", help="a folder for networks and the other servers' environments")
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32])
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8], help="connections that ask at the same time")
    parser.add_argument("--against", nargs="+", default=["triton", "mlserver"], choices=["triton", "mlserver"])
    parser.add_argument("--rounds", type=int, default=7, help="turns of each server")
    parser.add_argument("--seconds", type=float, default=2, help="of a turn, about")
    args = parser.parse_args()

    Path(args.work).mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.timezone.utc)
    path = HERE / "results" / f"{now:%Y-%m-%d-%H%M%S}.csv"
    path.parent.mkdir(exist_ok=True)
    rows = []
    for network in args.networks:
        folder, onnx = (str(Path(args.work) / f"{network}{end}") for end in ("", ".onnx"))
        subprocess.run([args.untrained, network, str(SIDE), str(CLASSES), folder, onnx], check=True)
        servers = {}
        try:
            for name in ["nasty", *args.against]:
                servers[name] = start(args, name, folder, onnx)
            for form in ("binary", "json"):
                able = {name: server for name, server in servers.items() if form in FORMS[name]}
                for batch in args.batches:
                    for clients in args.clients:
                        found = compare(args, network, able, batch, clients, form)
                        for row in found:
                            print("  ".join(f"{row[column]:>12}" for column in COLUMNS[:10]), flush=True)
                        rows += found
                        with open(path, "w", newline="") as file:
                            file.write(f"# {now:%Y-%m-%d %H:%M} UTC, {machine()}, load {os.getloadavg()[0]:.1f}\n")
                            writer = csv.DictWriter(file, COLUMNS)
                            writer.writeheader()
                            writer.writerows(rows)
        finally:
            for server in servers.values():
                server.close()
    print(f"written: {path}")


if __name__ == "__main__":
    main()
