"""The PyTorch definitions against the program."""

import json
import math
import os
import pathlib
import struct

import nasty_teacher
import pytest

torch = pytest.importorskip("torch")

from nasty_teacher import networks, safetensors  # noqa: E402

TOLERANCE = 1e-4  # of the largest difference that the images make


def names():
    return [network["architecture"] for network in nasty_teacher.run("networks", "--json")]


def test_every_network_of_the_program_has_a_definition_of_its_size():
    for network in nasty_teacher.run("networks", "--json"):
        with torch.device("meta"):
            module = networks.build(network["architecture"], 10)
        parameters = sum(p.numel() for p in module.parameters())
        assert parameters == network["parameters"], network["architecture"]


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="no PyTorch definition of the network `resnet19`"):
        networks.build("resnet19", 10)


@pytest.mark.parametrize("channels, side", [(3, 32), (1, 28)])
@pytest.mark.parametrize("name", ["cnn8", "mlp", "preresnet20", "shufflenetv2"])
def test_the_program_recognises_what_pytorch_saved(tmp_path, name, channels, side):
    torch.manual_seed(0)
    network = networks.build(name, 7, channels, side)
    torch.save(network.state_dict(), tmp_path / "model.pt")
    out = tmp_path / "network"
    nasty_teacher.run("import", tmp_path / "model.pt", "-o", out, "--side", side)
    again = nasty_teacher.load_network(out)
    assert not again.training
    assert again.config["architecture"] == name
    images = torch.randn(3, channels, side, side)
    with torch.no_grad():
        assert torch.equal(again(images), network.eval()(images))


def test_a_trained_network_gives_the_programs_loss(teacher, images):
    """The test images' mean cross entropy, which the program prints, depends on every logit of every image."""
    (store, hash), (folder, tests) = teacher, images
    network = nasty_teacher.load_network(store / hash)
    names = network.config["label_names"]
    assert sorted(names) == sorted(tests)
    pixels = b"".join(picture for name in names for picture in tests[name])
    labels = torch.tensor([label for label, name in enumerate(names) for _ in tests[name]])
    # The program reads folders in colour: grey is the same in each channel.
    channels, side, _ = network.config["input_size"]
    grey = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).reshape(-1, 1, side, side)
    pictures = grey.expand(-1, channels, -1, -1)
    mean, std = (torch.tensor(network.config[key])[:, None, None] for key in ("mean", "std"))
    with torch.no_grad():
        logits = network((pictures / 255 - mean) / std)
    loss = torch.nn.functional.cross_entropy(logits, labels).item()
    found = nasty_teacher.run("evaluate", store / hash, "--data", f"folder:{folder}", "--store", store, "--json")
    assert (found["total"], found["correct"]) == (len(labels), (logits.argmax(1) == labels).sum().item())
    assert math.isclose(found["loss"], loss, rel_tol=1e-5), (found["loss"], loss)


@pytest.mark.skipif("NASTY_EXPORTS" not in os.environ, reason="NASTY_EXPORTS names no folder made by export_all")
def test_every_network_gives_the_programs_logits():
    """`cargo run --release -p nasty-teacher --example export_all -- exports`, then NASTY_EXPORTS=exports."""
    exports = pathlib.Path(os.environ["NASTY_EXPORTS"])
    worst = {}
    for name in names():
        network = nasty_teacher.load_network(exports / name)
        case = safetensors.read(exports / name / "expected.safetensors")
        with torch.no_grad():
            logits = network(case["input"])
        spread = (case["logits"] - case["logits"].mean(0)).abs().max()
        assert spread > 0.01 * case["logits"].abs().max(), f"{name}: the logits do not depend on the image"
        worst[name] = ((logits - case["logits"]).abs().max() / spread).item()
        print(f"{name:14} {worst[name]:.1e}")
    assert max(worst.values()) <= TOLERANCE, worst


def test_what_is_no_network_is_refused(teacher, tmp_path):
    store, hash = teacher
    with pytest.raises(FileNotFoundError, match="config.json"):
        nasty_teacher.load_network(tmp_path)
    config = json.loads((store / hash / "config.json").read_text())

    whole = (store / hash / "model.safetensors").read_bytes()

    def refused(change, weights=whole):
        (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
        (tmp_path / "model.safetensors").write_bytes(weights)
        with pytest.raises(ValueError) as caught:
            nasty_teacher.load_network(tmp_path)
        return str(caught.value)

    assert "format is 2" in refused({"format": 2})
    assert "resnet19" in refused({"architecture": "resnet19"})
    assert "size mismatch" in refused({"architecture": "cnn8"})
    assert "missing ['fc2.bias'], unexpected ['fc2.bios']" in refused({}, whole.replace(b"fc2.bias", b"fc2.bios"))
    assert "model.safetensors: expected a safetensors file" in refused({}, b"")
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="config.json: expected a network's description"):
        nasty_teacher.load_network(tmp_path)


@pytest.mark.parametrize(
    "entry, found",
    [
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}, "offsets 0 to 4 for 8 bytes"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}, "in a file of"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}, "offsets -8"),
        ({"dtype": "C9", "shape": [2], "data_offsets": [0, 8]}, "elements of type C9"),
        ({"dtype": "F32", "shape": [2]}, "data_offsets"),
        ({"dtype": "F32", "shape": [-1, -2], "data_offsets": [0, 8]}, "negative"),
        ([], "header that is none"),
    ],
)
def test_a_damaged_weights_file_is_refused(tmp_path, entry, found):
    header = json.dumps({"x": entry}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with pytest.raises(ValueError, match="x.safetensors") as caught:
        safetensors.read(path)
    assert found in str(caught.value)


def test_the_types_of_elements_are_read(tmp_path):
    for dtype, kind in safetensors.TYPES.items():
        value = torch.tensor([[1, 2], [3, 4]]).to(kind)
        raw = value.view(torch.uint8).numpy().tobytes()
        header = json.dumps(
            {"__metadata__": {"a": "b"}, "x": {"dtype": dtype, "shape": [2, 2], "data_offsets": [0, len(raw)]}}
        )
        path = tmp_path / "x.safetensors"
        path.write_bytes(struct.pack("<Q", len(header)) + header.encode() + raw)
        assert torch.equal(safetensors.read(path)["x"], value), dtype
