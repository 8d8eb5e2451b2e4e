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
# What is wanted of a training step: against eager fp32 NCHW, and our faster one against PyTorch's best setting.
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
# torchvision's networks, in both modes.
PHOTOS = ["tv-resnet18", "tv-resnet50", "tv-mobilenet_v2", "tv-mobilenet_v3_small", "tv-efficientnet_b0", "tv-convnext_tiny"]
PHOTOS_WANTED = (1.5, 1.0)
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
            ended = self.process.wait()
            why = " (killed: out of memory?)" if ended == -9 else ""
            raise RuntimeError(f"{' '.join(map(str, self.process.args))} ended with {ended}{why}")
        return line.split()

    def ask(self, what):
        try:
            self.process.stdin.write(f"{what}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # Its end is told below.
        return [float(word) for word in self.line()]

    def close(self):
        self.process.kill()
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
    published = [PUBLISHED] if not args.settings or PUBLISHED in args.settings else []
    names = dict.fromkeys([*args.ours, *published, fastest_setting(args, mode, network)])
    sides = {name: start(args, name, mode, network) for name in names}
    sides = {name: side for name, side in sides.items() if side}
    try:
        return take_turns(args, network, sides)
    finally:
        for side in sides.values():
            side.close()


def take_turns(args, network, sides):
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
    return times, peaks, {name: side.greeting for name, side in sides.items()}


def wanted_of(mode, network):
    """What is wanted against eager fp32 NCHW, and of our faster one against PyTorch's best setting."""
    if network.startswith("tv-"):
        return PHOTOS_WANTED
    return WANTED.get(network, (1.0, 1.0)) if mode == "train" else INFERENCE_WANTED


def machine():
    with open("/proc/cpuinfo") as info:
        model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), "unknown")
    return f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", required=True, help="the built example `step`")
    parser.add_argument("--photos", action="store_true", help="torchvision's networks on 16 images of 224 pixels")
    parser.add_argument("--networks", nargs="+")
    parser.add_argument("--modes", nargs="+", default=["train", "infer"], choices=["train", "infer"])
    parser.add_argument("--settings", nargs="+", help="PyTorch's, such as eager-fp32-nchw (default: all)")
    parser.add_argument("--ours", nargs="+", choices=OURS, default=OURS, help="all sides are in memory at once: take one where they do not fit")
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="leave torch.compile out")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--side", type=int)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=60, help="no further round of a network after these, from the third on")
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    args = parser.parse_args()
    args.networks = args.networks or (PHOTOS if args.photos else list(WANTED))
    args.batch = args.batch or (16 if args.photos else 128)
    args.side = args.side or (224 if args.photos else 32)

    now = datetime.datetime.now(datetime.timezone.utc)
    path = args.results / f"{now:%Y-%m-%d-%H%M%S}.csv"
    rows, lines, about = [], [], ""
    for mode, network in ((mode, network) for mode in args.modes for network in args.networks):
        try:
            times, peaks, greetings = compare(args, mode, network)
        except RuntimeError as error:
            print(f"{mode} {network} is left out: {error}", file=sys.stderr)
            continue
        median = {name: statistics.median(seconds) for name, seconds in times.items()}

        def faster(ours, theirs):
            # Each round's own ratio: neighbours in time met the same machine.
            if ours not in times or theirs not in times:
                return None
            return statistics.median(t / o for o, t in zip(times[ours], times[theirs]))

        for name, seconds in times.items():
            row = [name, network, mode, args.batch, args.side, args.threads, f"{median[name]:.5f}"]
            row += [f"{ratio:.3f}" if (ratio := faster(ours, name)) else "" for ours in OURS]
            rows.append(row + [len(seconds), int(peaks[name])])
        best_of_ours = min((name for name in times if name in OURS), key=median.get)
        best = min((name for name in times if name not in OURS), key=median.get)
        wanted = wanted_of(mode, network)
        shown = lambda value, digits: "–" if value is None else f"{value:.{digits}f}"
        rates = " / ".join(shown(args.batch / median[n] if n in median else None, 0) for n in (*OURS, best))
        memory = " / ".join(shown(peaks[n] / 1024 if n in peaks else None, 0) for n in (*OURS, PUBLISHED))
        lines.append(
            f"| {mode} | {network} | {rates} | {', '.join(shown(faster(o, PUBLISHED), 2) for o in OURS)} ({wanted[0]}) "
            f"| {shown(faster(best_of_ours, best), 2)} ({wanted[1]}) | {best_of_ours.removeprefix('ours-')} / {best} "
            f"| {memory} |"
        )
        print(lines[-1], file=sys.stderr, flush=True)
        about = f"{now:%Y-%m-%d %H:%M} UTC; {machine()}; {args.threads} threads; batch {args.batch} at {args.side}×{args.side}; "
        about += f"PyTorch {greetings[best][3]}; our kernels: {greetings[best_of_ours][3]}"
        write(path, about, rows)

    head = ["mode", "network", "img/s: our f32 / our bf16 / PyTorch's best", "f32, bf16 / eager fp32 NCHW (wanted)"]
    head += ["our best / PyTorch's best (wanted)", "which", "peak MiB: f32 / bf16 / eager fp32"]
    print(about, "", f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines, sep="\n")
    if rows:
        print(f"\nwritten: {path}", file=sys.stderr)


def write(path, about, rows):
    """Anew after every network, so that what was measured is kept."""
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        file.write(f"# {about}\n")
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows)


main()
