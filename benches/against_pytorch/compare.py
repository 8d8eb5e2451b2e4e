"""Runs both sides step by step in turn on the same threads, prints the table, writes a CSV. See README.md."""

import argparse
import csv
import datetime
import os
import platform
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PUBLISHED = "eager-fp32-nchw"
# What is wanted of the ratio ours / PyTorch: against eager fp32 NCHW, and against PyTorch's best setting.
WANTED = {
    "cnn": (1.3, 1.0),
    "preresnet20": (1.6, 1.0),
    "preresnet32": (1.6, 1.0),
    "resnet18": (1.5, 1.0),
    "resnet34": (1.5, 1.0),
    "resnet20": (1.6, 1.0),
    "mobilenetv2": (3.0, 1.0),
    "shufflenetv2": (3.0, 1.0),
    "resnext29": (1.2, 0.9),
    "resnet50": (1.2, 0.9),
    "densenet121": (1.2, 0.9),
}
INFERENCE_WANTED = (1.2, 1.2)
BOTH = "setting network mode batch side threads ours theirs ratio rounds our_peak_kib their_peak_kib".split()


class Side:
    """A process that takes steps when told to."""

    def __init__(self, command, threads):
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
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

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def settings(args):
    """PyTorch's settings: all, or without those that need a C++ compiler."""
    compiled = args.compile and shutil.which(os.environ.get("CXX", "g++"))
    if args.compile and not compiled:
        print("no C++ compiler: torch.compile is left out", file=sys.stderr)
    hows = ["eager"] + (["compile"] if compiled else [])
    return [f"{how}-{p}-{layout}" for how in hows for p in ("fp32", "bf16") for layout in ("nchw", "nhwc")]


def compare(args, mode, network):
    """Seconds a step of ours, and of each setting of PyTorch's, taken in turn."""
    shape = [mode, network, *map(str, (args.batch, args.side, args.classes, args.threads))]
    ours = Side([args.step, *shape], args.threads)
    theirs = {}
    for setting in args.settings or settings(args):
        try:
            side = Side([sys.executable, HERE / "torch_side.py", *shape, setting], args.threads)
            side.ask(args.warm_up)
            theirs[setting] = side
        except RuntimeError as error:
            print(f"{setting} does not run: {error}", file=sys.stderr)
    parameters = {int(side.greeting[1]) for side in (ours, *theirs.values())}
    if len(parameters) != 1:
        raise SystemExit(f"{network}: the sides have {sorted(parameters)} parameters, not the same network")
    ours.ask(args.warm_up)
    # One step of each in turn: what else the machine does then falls on all alike.
    times = {setting: [] for setting in ("ours", *theirs)}
    for _ in range(args.rounds):
        for setting, side in (("ours", ours), *theirs.items()):
            times[setting] += side.ask(1)
    peaks = {setting: side.ask("memory")[1] for setting, side in (("ours", ours), *theirs.items())}
    greetings = (ours.greeting, next(iter(theirs.values())).greeting)
    for side in (ours, *theirs.values()):
        side.close()
    return times, peaks, greetings


def machine():
    with open("/proc/cpuinfo") as info:
        model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), "unknown")
    return f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", required=True, help="the built example `step`")
    parser.add_argument("--networks", nargs="+", default=list(WANTED))
    parser.add_argument("--modes", nargs="+", default=["train", "infer"], choices=["train", "infer"])
    parser.add_argument("--settings", nargs="+", help="PyTorch's, such as eager-fp32-nchw (default: all)")
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="leave torch.compile out")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    args = parser.parse_args()

    now = datetime.datetime.now(datetime.timezone.utc)
    rows, lines = [], []
    for mode in args.modes:
        for network in args.networks:
            times, peaks, greetings = compare(args, mode, network)
            ours = times.pop("ours")
            ratios = {}
            for setting, theirs in times.items():
                # Each round's own ratio: neighbours in time met the same machine.
                ratio = statistics.median(t / o for o, t in zip(ours, theirs))
                ratios[setting] = ratio
                row = [setting, network, mode, args.batch, args.side, args.threads]
                row += [f"{statistics.median(ours):.5f}", f"{statistics.median(theirs):.5f}", f"{ratio:.3f}"]
                rows.append(row + [args.rounds, int(peaks["ours"]), int(peaks[setting])])
            best = min(ratios, key=ratios.get)
            wanted = WANTED.get(network, (1.0, 1.0)) if mode == "train" else INFERENCE_WANTED
            rate = args.batch / statistics.median(ours)
            cell = f"{ratios[PUBLISHED]:.2f} (≥ {wanted[0]})" if PUBLISHED in ratios else "–"
            memory = f"{peaks['ours'] / 1024:.0f} / {peaks.get(PUBLISHED, float('nan')) / 1024:.0f}"
            lines.append(f"| {mode} | {network} | {rate:.0f} | {cell} | {ratios[best]:.2f} (≥ {wanted[1]}), {best} | {memory} |")
            print(lines[-1], file=sys.stderr, flush=True)

    about = f"{now:%Y-%m-%d %H:%M} UTC; {machine()}; {args.threads} threads; batch {args.batch} at {args.side}×{args.side}; "
    about += f"{args.rounds} rounds; PyTorch {greetings[1][3]}; our kernels: {greetings[0][3]}"
    print(about, "", "| mode | network | our img/s | ours / PyTorch eager fp32 NCHW | ours / PyTorch's best | peak MiB, ours / eager fp32 |", "|---|---|---|---|---|---|", *lines, sep="\n")
    args.results.mkdir(exist_ok=True)
    path = args.results / f"{now:%Y-%m-%d-%H%M%S}.csv"
    with path.open("w", newline="") as file:
        file.write(f"# {about}\n")
        writer = csv.writer(file)
        writer.writerow(BOTH)
        writer.writerows(rows)
    print(f"\nwritten: {path}", file=sys.stderr)


main()
