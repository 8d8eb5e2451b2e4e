"""The program `nasty` from Python: run it, read what it wrote, use its networks in PyTorch.

    import nasty_teacher as nasty
    nasty.run("train", "--data", "quickstart", "--architecture", "cnn4", "epochs=1")
    for run in nasty.read_runs("runs"):
        print(run["hash"], run["result"]["test"]["accuracy"])
    network = nasty.load_network("teacher")  # a torch.nn.Module in evaluation mode

Only `load_network` needs PyTorch, and imports it when it is called.
"""

from .program import ProgramError, find_program, run
from .store import read_experiments, read_report, read_run, read_runs

__all__ = [
    "ProgramError",
    "find_program",
    "load_network",
    "read_experiments",
    "read_report",
    "read_run",
    "read_runs",
    "run",
]


def load_network(folder):
    """The network in `folder` as a PyTorch module; see `nasty_teacher.networks.load_network`."""
    from .networks import load_network

    return load_network(folder)
