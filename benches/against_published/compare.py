"""Is our training the published training? The same recipe and budget in PyTorch and by `nasty`, several seeds a side, and whether the mean
accuracies are equal within a margin: two one-sided Welch tests (Schuirmann, 1987). See README.md."""

import argparse
import json
import math
import subprocess
import sys
import time
from pathlib import Path

OMEGA, TEMPERATURE, ALPHA = 0.04, 4.0, 0.9
ROLES = ("teacher", "nasty teacher", "student alone", "distilled student")


def ours(arguments, seed):
    """Accuracies by seed, of `nasty` with the recipes of torch_side.py."""

    def trained(*words):
        command = [arguments.nasty, *words, "--data", "cifar10", "--data-dir", arguments.data, "--store", str(arguments.store), "--json", "-q"]
        common = [f"epochs={arguments.epochs}", "batch=128", f"data.subset={arguments.images}", "data.validation=0", "keep=last", f"seed={seed}"]
        done = subprocess.run([*command, *common], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
        return json.loads(done.stdout)

    half, rest = arguments.epochs // 2, arguments.epochs * 3 // 4
    network = ["--architecture", arguments.teacher]
    # A cnn has Adam at a constant rate, which is our default for it as well.
    schedule = [] if arguments.teacher == "cnn" else ["learning_rate=0.1", f"schedule.milestones=[{half},{rest}]"]
    teacher = trained("train", *network, *schedule)
    by = teacher["recipe"]
    tempered = [f"objective.temperature={TEMPERATURE}"]
    nasty = trained("undermine", "--adversary", by, *network, *schedule, *tempered, f"objective.omega={OMEGA}")
    alone = trained("train", "--architecture", "cnn")
    student = trained("distill", "--teacher", by, "--architecture", "cnn", *tempered, f"objective.alpha={ALPHA}")
    results = (teacher, nasty, alone, student)
    return {role: result["test"]["accuracy"] for role, result in zip(ROLES, results)}


def theirs(arguments, seed):
    import torch
    from torch_side import pipeline

    torch.set_num_threads(arguments.threads)
    folder = Path(arguments.data) / "cifar-10-batches-bin"
    return pipeline(seed, folder, arguments.teacher, arguments.images, arguments.epochs, OMEGA, TEMPERATURE, ALPHA)


def student_t(t, freedom):
    """P(T > t) of Student's t, by Simpson's rule over the density."""
    log_scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - 0.5 * math.log(freedom * math.pi)
    density = lambda x: math.exp(log_scale - (freedom + 1) / 2 * math.log1p(x * x / freedom))
    steps = 2000
    width = abs(t) / steps
    area = sum(density(i * width) * (1 if i in (0, steps) else 4 if i % 2 else 2) for i in range(steps + 1)) * width / 3
    return 0.5 - area if t > 0 else 0.5 + area


def equivalence(a, b, margin):
    """The difference of means, its standard error, and the p of two one-sided Welch tests for a difference of at least `margin`."""
    mean = lambda v: sum(v) / len(v)
    error = lambda v: sum((x - mean(v)) ** 2 for x in v) / (len(v) - 1) / len(v)
    difference, ea, eb = mean(a) - mean(b), error(a), error(b)
    total = math.sqrt(ea + eb)
    if total == 0:
        return difference, 0.0, 0.0 if abs(difference) < margin else 1.0, 1.0
    freedom = (ea + eb) ** 2 / (ea**2 / (len(a) - 1) + eb**2 / (len(b) - 1))
    p = student_t((margin - abs(difference)) / total, freedom)
    differs = 2 * student_t(abs(difference) / total, freedom)
    return difference, total, p, differs


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nasty", default="nasty", help="the program")
    parser.add_argument("--data", required=True, help="folder that has cifar-10-batches-bin")
    parser.add_argument("--teacher", choices=("cnn", "preresnet20"), default="preresnet20", help="both teachers; the student is a cnn")
    parser.add_argument("--seeds", type=int, default=5, help="seeds a side (5)")
    parser.add_argument("--images", type=int, default=10_000, help="training images (10,000)")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--margin", type=float, default=1.0, help="points that count as equal (1)")
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch")
    parser.add_argument("--results", type=Path, default=Path("against_published.json"), help="kept after every seed; a second run goes on")
    parser.add_argument("--store", type=Path, default=Path("against_published.runs"))
    arguments = parser.parse_args()
    recipe = {"teacher": arguments.teacher, "images": arguments.images, "epochs": arguments.epochs, "omega": OMEGA, "temperature": TEMPERATURE, "alpha": ALPHA}
    kept = json.loads(arguments.results.read_text()) if arguments.results.exists() else {"recipe": recipe, "ours": {}, "theirs": {}}
    if kept["recipe"] != recipe:
        sys.exit(f"{arguments.results}: made with {kept['recipe']}, expected {recipe}; move it away or give --results")
    # Both sides in turn, so that an interrupted run has as many of each.
    for seed in range(arguments.seeds):
        for side, train in (("ours", ours), ("theirs", theirs)):
            if str(seed) not in kept[side]:
                start = time.time()
                kept[side][str(seed)] = train(arguments, seed)
                part = arguments.results.with_suffix(".part")
                part.write_text(json.dumps(kept, indent=1))
                part.replace(arguments.results)
                print(f"{side}, seed {seed}: {kept[side][str(seed)]}, {time.time() - start:.0f} s", file=sys.stderr, flush=True)
    print(f"| network | ours (%) | PyTorch (%) | difference (points) | standard error | equal within {arguments.margin:g}: p | different: p |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    # A cnn as teacher is the student alone: the same run of ours.
    for role in (role for role in ROLES if role != "student alone" or arguments.teacher != "cnn"):
        a, b = ([100 * kept[side][str(seed)][role] for seed in range(arguments.seeds)] for side in ("ours", "theirs"))
        difference, error, p, differs = equivalence(a, b, arguments.margin)
        show = lambda v: f"{sum(v) / len(v):.2f} ± {math.sqrt(sum((x - sum(v) / len(v)) ** 2 for x in v) / (len(v) - 1)):.2f}"
        print(f"| {role} | {show(a)} | {show(b)} | {difference:+.2f} | {error:.2f} | {p:.3f} | {differs:.2f} |")


if __name__ == "__main__":
    main()
