"""Times `nasty evaluate` on CIFAR-10's 10,000 test images, reading and counting included, in turn with onnxruntime answering the same
number of images of random numbers, its answers alone. See README.md.

    python evaluate.py --program nasty --untrained untrained --data-dir DATASETS
"""

import argparse
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy
import onnxruntime

IMAGES, BATCH, SIDE = 10_000, 128, 32


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", required=True, help="the built `nasty`")
    parser.add_argument("--untrained", required=True, help="the built example `untrained`")
    parser.add_argument("--data-dir", required=True, help="folder with cifar-10-batches-bin")
    parser.add_argument("--networks", nargs="+", default=["resnet18"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    batches = numpy.random.default_rng(0).standard_normal((BATCH, 3, SIDE, SIDE)).astype(numpy.float32)
    sizes = [BATCH] * (IMAGES // BATCH) + [IMAGES % BATCH]
    for network in args.networks:
        with tempfile.TemporaryDirectory() as folder:
            own, onnx = Path(folder) / "network", Path(folder) / "network.onnx"
            subprocess.run([Path(args.untrained).resolve(), network, str(SIDE), "10", own, onnx], check=True)
            session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
            command = [Path(args.program).resolve(), "evaluate", own, "--data", "cifar10", "--data-dir", Path(args.data_dir).resolve()]
            command += ["--threads", str(args.threads), "--quiet"]
            ours, theirs = [], []
            for _ in range(args.rounds):
                begun = time.perf_counter()
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)
                ours.append(time.perf_counter() - begun)
                begun = time.perf_counter()
                for size in sizes:
                    session.run(None, {"input": batches[:size]})
                theirs.append(time.perf_counter() - begun)
        ratio = statistics.median(t / o for o, t in zip(ours, theirs))
        ours, theirs = statistics.median(ours), statistics.median(theirs)
        print(f"{network}: nasty evaluate {ours:.1f} s, onnxruntime {theirs:.1f} s: {ratio:.2f} times as fast", flush=True)


if __name__ == "__main__":
    main()
