"""The published recipe in PyTorch: trains a teacher, a nasty teacher and a distilled student, and prints what each gets right.

The losses and recipes are those of the paper's public scripts: the teacher sees the same augmented batch as the student, in evaluation
mode, and is computed anew in every step. The networks are those of benches/against_pytorch.
"""

import copy
import sys
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "against_pytorch"))
from networks import Cnn, PreResNet

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261)
BATCH = 128


def read(folder, names):
    """Images [N, 3, 32, 32] as bytes and labels of CIFAR-10's binary files."""
    raw = np.concatenate([np.fromfile(Path(folder) / name, np.uint8) for name in names]).reshape(-1, 3073)
    return torch.from_numpy(raw[:, 1:].reshape(-1, 3, 32, 32).copy()), torch.from_numpy(raw[:, 0].astype(np.int64))


def normalised(images):
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (images.float() / 255 - mean) / std


def augmented(images):
    """Random crops of the zero-padded images, before normalisation, and random flips."""
    padded = F.pad(images, (4, 4, 4, 4))
    places = torch.randint(0, 9, (len(images), 2)).tolist()
    crops = torch.stack([image[:, y : y + 32, x : x + 32] for image, (y, x) in zip(padded, places)])
    flipped = torch.rand(len(images)) < 0.5
    crops[flipped] = crops[flipped].flip(-1)
    return normalised(crops)


def tempered_kl(p, q, temperature):
    """t² · KL(softmax(p/t) || softmax(q/t)), summed over classes, averaged over the batch."""
    p, q = (F.log_softmax(z / temperature, 1) for z in (p, q))
    return temperature**2 * (p.exp() * (p - q)).sum(1).mean()


def train(network, data, epochs, loss, adam):
    images, labels = data
    if adam:
        optimiser = torch.optim.Adam(network.parameters(), 1e-3)
        schedule = None
    else:
        optimiser = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, milestones(epochs), 0.1)
    for _ in range(epochs):
        network.train()
        for batch in torch.randperm(len(images)).split(BATCH):
            seen = augmented(images[batch])
            optimiser.zero_grad()
            loss(network(seen), labels[batch], seen).backward()
            optimiser.step()
        if schedule:
            schedule.step()
    return network.eval()


def milestones(epochs):
    """Half and three quarters of the run, as 80 and 120 of the published 160 epochs."""
    return [epochs // 2, epochs * 3 // 4]


@torch.no_grad()
def accuracy(network, data):
    images, labels = data
    batches = zip(images.split(500), labels.split(500))
    return sum((network(normalised(x)).argmax(1) == y).sum().item() for x, y in batches) / len(labels)


def pipeline(seed, folder, teacher_name, images, epochs, omega, temperature, alpha):
    """Accuracies of the teacher, the nasty teacher and the student, by seed."""
    torch.manual_seed(seed)
    train_set = read(folder, [f"data_batch_{i}.bin" for i in range(1, 6)])
    test = read(folder, ["test_batch.bin"])
    chosen = torch.randperm(len(train_set[1]))[:images]
    data = train_set[0][chosen], train_set[1][chosen]
    cross_entropy = lambda z, y, _: F.cross_entropy(z, y)
    build = {"cnn": lambda: Cnn(10, 32), "preresnet20": lambda: PreResNet(20, 10)}[teacher_name]
    adam = teacher_name == "cnn"
    teacher = train(build(), data, epochs, cross_entropy, adam)
    frozen = copy.deepcopy(teacher).requires_grad_(False)

    def undermine(z, y, seen):
        return F.cross_entropy(z, y) - omega * tempered_kl(z, frozen(seen), temperature)

    def distil(z, y, seen):
        return alpha * tempered_kl(frozen(seen), z, temperature) + (1 - alpha) * F.cross_entropy(z, y)

    nasty = train(build(), data, epochs, undermine, adam)
    alone = train(Cnn(10, 32), data, epochs, cross_entropy, adam=True)
    student = train(Cnn(10, 32), data, epochs, distil, adam=True)
    networks = {"teacher": teacher, "nasty teacher": nasty, "student alone": alone, "distilled student": student}
    return {role: accuracy(network, test) for role, network in networks.items()}
