"""Answers of a prepared network and of onnxruntime in turn, on the same threads; prints the table, writes a CSV. See README.md."""

import argparse
import csv
import datetime
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

try:
    import numpy
    import onnxruntime
except ImportError:  # `--help` needs neither.
    numpy = onnxruntime = None

HERE = Path(__file__).parent
# Network and side of the images.
NETWORKS = {
    "cnn": 32, "preresnet20": 32, "mobilenetv2": 32, "shufflenetv2": 32, "resnet18": 32, "resnet50": 32,
    "tv-resnet18": 224, "tv-mobilenet_v2": 224,
}
# How many times as fast as onnxruntime is wanted, by batch.
WANTED = {"f32": {1: 1.0, 32: 1.2, 128: 1.2}, "bf16": {1: 1.0, 32: 1.6, 128: 1.8}}
COLUMNS = "network side batch threads precision ours_ms onnxruntime_ms ours_is_faster rounds prepared_s difference peak_kib".split()
CLASSES = 10
LEAST_ROUNDS = 5
# An answer is timed several times at a turn, for so many seconds, or its clock would be too coarse.
TURN = 0.05
# Seconds between turns: both sides keep their threads awake for a while.
PAUSE = 0.05


class Ours:
    """The example `answer`, which also writes the network as ONNX."""

    def __init__(self, args, network, batch, side, precision, onnx):
        command = [args.answer, network, *map(str, (batch, side, CLASSES, args.threads)), precision, onnx]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.greeting = self.line()

    def line(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(map(str, self.process.args))} ended with {self.process.wait()}")
        return line.split()

    def ask(self, what):
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        return [float(word) for word in self.line()]

    def times(self, count):
        return self.ask(count)

    def close(self):
        self.process.kill()
        self.process.wait()


class Theirs:
    """An onnxruntime session on the CPU."""

    def __init__(self, args, batch, side, onnx):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = args.threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        values = numpy.arange(batch * side * side * 3) * 7919 % 251
        images = (values.astype(numpy.float32) / 125 - 1).reshape(batch, side, side, 3)
        self.images = numpy.ascontiguousarray(images.transpose(0, 3, 1, 2))

    def logits(self):
        return self.session.run(None, {"input": self.images})[0]

    def times(self, count):
        seconds = []
        for _ in range(count):
            begun = time.perf_counter()
            self.logits()
            seconds.append(time.perf_counter() - begun)
        return seconds


def turns(args, sides):
    """Medians of each turn of each side. A turn takes about as long on every side."""
    counts = {}
    for name, side in sides.items():
        side.times(3)
        counts[name] = max(1, min(200, round(TURN / min(side.times(3)))))
    times = {name: [] for name in sides}
    begun = time.monotonic()
    for done in range(args.rounds):
        if done >= LEAST_ROUNDS and time.monotonic() - begun > args.seconds:
            break
        # Whoever comes after another must not always come after the same one, nor while the other's threads still wait for work.
        names = list(sides)[done % len(sides):] + list(sides)[:done % len(sides)]
        for name in names:
            time.sleep(PAUSE)
            times[name].append(statistics.median(sides[name].times(counts[name])))
    return times


def compare(args, network, side, batch, folder):
    """Rows of the CSV, one a precision."""
    onnx = str(Path(folder) / f"{network}.onnx")
    ours = {precision: Ours(args, network, batch, side, precision, onnx) for precision in args.precisions}
    try:
        theirs = Theirs(args, batch, side, onnx)
        expected = theirs.logits().flatten()
        times = turns(args, {**ours, "theirs": theirs})
        rows = []
        for precision, process in ours.items():
            difference = numpy.abs(process.ask("logits") - expected).max() / numpy.abs(expected).max()
            if not difference <= (1e-4 if precision == "f32" else 0.2):
                raise SystemExit(f"{network} in {precision}: logits are {difference:.1e} apart, not the same network")
            ratio = statistics.median(t / o for t, o in zip(times["theirs"], times[precision]))
            median = {name: 1e3 * statistics.median(seconds) for name, seconds in times.items()}
            rows.append(
                dict(zip(COLUMNS, [
                    network, side, batch, args.threads, precision, f"{median[precision]:.4g}", f"{median['theirs']:.4g}",
                    f"{ratio:.3f}", len(times["theirs"]), process.greeting[5], f"{difference:.1e}",
                    int(process.ask("memory")[2]),
                ]))
            )
        return rows, process.greeting[3]
    finally:
        for process in ours.values():
            process.close()


def machine():
    with open("/proc/cpuinfo") as info:
        model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), "unknown")
    return f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answer", required=True, help="the built example `answer`")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--side", type=int, help="of the images (default: the network's own)")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32, 128])
    parser.add_argument("--precisions", nargs="+", default=["f32", "bf16"], choices=["f32", "bf16"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=25, help="turns of each side, at most")
    parser.add_argument("--seconds", type=float, default=20, help="of turns for a network and batch, about")
    args = parser.parse_args()

    now = datetime.datetime.now(datetime.timezone.utc)
    path = HERE / "results" / f"{now:%Y-%m-%d-%H%M%S}.csv"
    rows = []
    head = ["network"]
    for batch in args.batches:
        head.append(f"batch {batch}: onnxruntime ms; " + ", ".join(f"{p} (wanted)" for p in args.precisions))
    print(f"| {' | '.join(head)} |", "|---" * len(head) + "|", sep="\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for network in args.networks:
            side = args.side or NETWORKS.get(network, 32)
            cells = [network]
            for batch in args.batches:
                found, kernels = compare(args, network, side, batch, folder)
                rows += found
                wanted = lambda row: WANTED[row["precision"]].get(batch)
                ratios = [
                    f"{float(row['ours_is_faster']):.2f}" + (f" ({wanted(row)})" if wanted(row) else "") for row in found
                ]
                cells.append(f"{found[0]['onnxruntime_ms']}; {', '.join(ratios)}")
                about = f"{now:%Y-%m-%d %H:%M} UTC; {machine()}; {args.threads} threads; "
                about += f"onnxruntime {onnxruntime.__version__}; our kernels: {kernels}"
                write(path, about, rows)
            print(f"| {' | '.join(cells)} |", flush=True)
    print(f"\n{about}\nwritten: {path}", file=sys.stderr)


def write(path, about, rows):
    """Anew after every line, so that what was measured is kept."""
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        file.write(f"# {about}\n")
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


main()
