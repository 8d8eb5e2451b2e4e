#!/usr/bin/env python3
"""compare_served.py PORT MODEL ONNX_FILE logits|probabilities: a server's answers against onnxruntime's to the exported file.

`probabilities` means: behind `--defence top-k:3`. Exit code 1 if an answer is further away than 1e-5 of the largest. See check_serve.
"""
import sys

import numpy as np
import onnxruntime
import tritonclient.http as triton

port, model, file, output = sys.argv[1:]
client = triton.InferenceServerClient(f"127.0.0.1:{port}")
about = client.get_model_metadata(model)
tensor, parameters = about["inputs"][0], about["parameters"]
pixels = np.random.default_rng(2).integers(0, 256, [16, *tensor["shape"][1:]], dtype=np.uint8)
mean, std = (np.array(parameters[name], dtype=np.float32)[:, None, None] for name in ("mean", "std"))
normalised = (pixels.astype(np.float32) / np.float32(255) - mean) / std
session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
expected = session.run(None, {session.get_inputs()[0].name: normalised})[0]
if output == "probabilities":
    expected = np.exp(expected - expected.max(axis=1, keepdims=True))
    expected[expected < np.sort(expected, axis=1)[:, -3:-2]] = 0
    expected /= expected.sum(axis=1, keepdims=True)

images = pixels if tensor["datatype"] == "UINT8" else normalised
asked = triton.InferInput(tensor["name"], images.shape, tensor["datatype"])
asked.set_data_from_numpy(images, binary_data=True)
found = client.infer(model, [asked]).as_numpy(output)
apart = float(np.abs(found - expected).max() / np.abs(expected).max())
print(f"{output:12} {apart:.1e} of the largest from onnxruntime")
sys.exit(not apart <= 1e-5)
