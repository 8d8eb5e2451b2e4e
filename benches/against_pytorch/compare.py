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
import time
from pathlib import Path

HERE = Path(__file__).parent
PUBLISHED = "eager-fp32-nchw"
OURS = ("ours-f32", "ours-bf16")
# What is wanted of a training step: our f32 against eager fp32 NCHW, and our faster one against PyTorch's best setting.
WANTED = {
    "cnn": (1.3, 1.0),
    "preresnet20": (1.6, 1.0),
    "preresnet32": (1.6, 1.0),
    "resnet20": (1.6, 1.0),
    "resnet18": (1.5, 1.0),
    "resnet34": (1.5, 1.0),
    "mobilenetv2": (3.0, 1.0),
    "shufflenetv2": (3.0, 1.0),
    "densenet121": (1.2, 0.9),
    "resnet50": (1.2, 0.9),
    "resnext29": (1.2, 0.9),
}
INFERENCE_WANTED = (1.2, 1.2)
COLUMNS = "side network mode batch image_side threads seconds ours_f32_is_faster ours_bf16_is_faster rounds peak_kib".split()
LEAST_ROUNDS = 3


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


def start(args, name, mode, network):
    """The process of one side, warmed up; None if it does not run."""
    shape = [mode, network, *map(str, (args.batch, args.side, args.classes, args.threads))]
    if name in OURS:
        command = [args.step, *shape, name.split("-")[1]]
    else:
        command = [sys.executable, HERE / "torch_side.py", *shape, name]
    try:
        side = Side(command, args.threads)
        side.ask(args.warm_up)
        return side
    except RuntimeError as error:
        print(f"{name} does not run: {error}", file=sys.stderr)
        return None


def fastest_setting(args, mode, network):
    """The fastest of PyTorch's settings, each tried alone."""
    seconds = {}
    for setting in args.settings or settings(args):
        side = start(args, setting, mode, network)
        if side:
            seconds[setting] = min(side.ask(2))
            side.close()
    tried = ", ".join(f"{setting} {s:.4f} s" for setting, s in sorted(seconds.items(), key=lambda item: item[1]))
    print(f"{mode} {network}: {tried}", file=sys.stderr, flush=True)
    return min(seconds, key=seconds.get)


def compare(args, mode, network):
    """Seconds a step, peaks and greetings of both of ours, the published setting and PyTorch's fastest, taken in turn."""
    names = dict.fromkeys([*OURS, PUBLISHED, fastest_setting(args, mode, network)])
    sides = {name: start(args, name, mode, network) for name in names}
    sides = {name: side for name, side in sides.items() if side}
    parameters = {int(side.greeting[1]) for side in sides.values()}
    if len(parameters) != 1:
        raise SystemExit(f"{network}: the sides have {sorted(parameters)} parameters, not the same network")
    # One step of each in turn: what else the machine does then falls on all alike.
    times = {name: [] for name in sides}
    begun = time.monotonic()
    for done in range(args.rounds):
        if done >= LEAST_ROUNDS and time.monotonic() - begun > args.seconds:
            break
        for name, side in sides.items():
            times[name] += side.ask(1)
    peaks = {name: side.ask("memory")[1] for name, side in sides.items()}
    greetings = {name: side.greeting for name, side in sides.items()}
    for side in sides.values():
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
    parser.add_argument("--seconds", type=float, default=60, help="no further round of a network after these, from the third on")
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    args = parser.parse_args()

    now = datetime.datetime.now(datetime.timezone.utc)
    rows, lines, names = [], [], {}
    for mode in args.modes:
        for network in args.networks:
            times, peaks, greetings = compare(args, mode, network)
            names |= greetings
            median = {name: statistics.median(seconds) for name, seconds in times.items()}

            def faster(ours, theirs):
                # Each round's own ratio: neighbours in time met the same machine.
                return statistics.median(t / o for o, t in zip(times[ours], times[theirs]))

            for name, seconds in times.items():
                row = [name, network, mode, args.batch, args.side, args.threads, f"{median[name]:.5f}"]
                row += [f"{faster(ours, name):.3f}" if ours in times else "" for ours in OURS]
                rows.append(row + [len(seconds), int(peaks[name])])
            best_of_ours = min((name for name in times if name in OURS), key=median.get)
            best = min((name for name in times if name not in OURS), key=median.get)
            wanted = WANTED.get(network, (1.0, 1.0)) if mode == "train" else INFERENCE_WANTED
            rates = " / ".join(f"{args.batch / median[name]:.0f}" for name in (*OURS, best) if name in median)
            lines.append(
                f"| {mode} | {network} | {rates} | {faster(OURS[0], PUBLISHED):.2f} ({wanted[0]}) "
                f"| {faster(best_of_ours, best):.2f} ({wanted[1]}) | {best_of_ours.removeprefix('ours-')} / {best} "
                f"| {' / '.join(f'{peaks[name] / 1024:.0f}' for name in (*OURS, PUBLISHED) if name in peaks)} |"
            )
            print(lines[-1], file=sys.stderr, flush=True)

    about = f"{now:%Y-%m-%d %H:%M} UTC; {machine()}; {args.threads} threads; batch {args.batch} at {args.side}×{args.side}; "
    about += f"PyTorch {names[PUBLISHED][3]}; our kernels: f32 {names[OURS[0]][3]}"
    head = ["mode", "network", "img/s: our f32 / our bf16 / PyTorch's best", "f32 / eager fp32 NCHW (wanted)"]
    head += ["our best / PyTorch's best (wanted)", "which", "peak MiB: f32 / bf16 / eager fp32"]
    print(about, "", f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines, sep="\n")
    args.results.mkdir(exist_ok=True)
    path = args.results / f"{now:%Y-%m-%d-%H%M%S}.csv"
    with path.open("w", newline="") as file:
        file.write(f"# {about}\n")
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    print(f"\nwritten: {path}", file=sys.stderr)


main()
