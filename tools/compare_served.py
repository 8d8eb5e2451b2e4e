#!/usr/bin/env python3
"""compare_served.py PORT MODEL ONNX_FILE logits|probabilities: a server's answers against onnxruntime's to the exported file.

`probabilities` means: behind `--defence top-k:3`. TOKEN in the environment is sent as `Authorization: Bearer`. Exit code 1 if an answer is
further away than 1e-5 of the largest. See check_serve.
"""
import os
import sys

import httpx
import numpy as np
import onnxruntime
import tritonclient.http as triton
from open_inference.openapi.client import InferenceRequest, OpenInferenceClient

port, model, file, output = sys.argv[1:]
client = triton.InferenceServerClient(f"127.0.0.1:{port}")
token = os.environ.get("TOKEN")
# A new dictionary for each request: clients add to it.
headers = lambda: {"Authorization": f"Bearer {token}"} if token else {}
about = client.get_model_metadata(model, headers=headers())
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
binary = client.infer(model, [asked], headers=headers()).as_numpy(output)
body = {"id": "7", "inputs": [{"name": tensor["name"], "datatype": tensor["datatype"], "shape": list(images.shape), "data": images.ravel().tolist()}]}
other = OpenInferenceClient(base_url=f"http://127.0.0.1:{port}", httpx_client=httpx.Client(headers=headers(), timeout=60))
answer = other.model_infer(model, request=InferenceRequest.parse_obj(body))
assert answer.id == "7", answer.id
data = answer.outputs[0].data
json = np.array(getattr(data, "__root__", data), dtype=np.float32).reshape(answer.outputs[0].shape)
worst = 0.0
for name, found in (("tritonclient", binary), ("openapi", json)):
    apart = float(np.abs(found - expected).max() / np.abs(expected).max())
    worst = max(worst, apart)
    print(f"{name:12} {output}: {apart:.1e} of the largest from onnxruntime")
sys.exit(not worst <= 1e-5)
