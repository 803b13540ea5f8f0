"""load_parameters.py TOOLS_DIR DATA_DIR RUN_DIR...: PyTorch computes what we computed.

Each run has logits.f32, float32, test images x 10, ours; and predictions.i32, int32, the class that the run's log
names for each test image.
"""

import sys
import tomllib

try:
    import numpy as np
    import torch
    from safetensors import safe_open
    from safetensors.torch import load_file
except ImportError as error:
    print(f"SKIP: {error}")
    sys.exit(77)

tools, data, runs = sys.argv[1], sys.argv[2], sys.argv[3:]
sys.path.insert(0, tools)
from net_a import NetA, normalized  # noqa: E402
from resnet import ResNet  # noqa: E402

torch.set_num_threads(1)
records = np.fromfile(f"{data}/test_batch.bin", dtype=np.uint8).reshape(-1, 3073)
images = torch.from_numpy(records[:, 1:].reshape(-1, 3, 32, 32).copy())

for run in runs:
    with open(f"{run}/config.toml", "rb") as file:
        config = tomllib.load(file)
    net, norm = config["net"], config["norm"]
    model = NetA(norm) if net == "net_a" else ResNet(int(net.split(":")[1]), norm)
    parameters = f"{run}/final.safetensors"
    model.load_state_dict(load_file(parameters), strict=True)
    model.eval()
    with safe_open(parameters, "pt") as file:
        metadata = file.metadata()
    for key in ("net", "norm", "pixel_mean", "pixel_std"):
        assert metadata[key] == config[key], (run, key, metadata.get(key), config.get(key))
    with torch.no_grad():
        theirs = model(normalized(images, metadata)).numpy()
    ours = np.fromfile(f"{run}/logits.f32", dtype=np.float32).reshape(-1, 10)
    predicted = np.fromfile(f"{run}/predictions.i32", dtype=np.int32)
    assert ours.shape == theirs.shape and len(predicted) == len(ours), (ours.shape, theirs.shape, len(predicted))
    worst = np.abs(ours - theirs).max()
    assert worst <= 1e-4, f"{net} {norm}: logits differ by {worst}"
    two_best = np.sort(theirs, axis=1)[:, -2:]
    clear = two_best[:, 1] - two_best[:, 0] > 2e-4
    assert (predicted[clear] == theirs.argmax(axis=1)[clear]).all(), f"{net} {norm}: predictions differ"
    print(f"{net} {norm}: {len(ours)} images, largest difference {worst:.1e}, {(~clear).sum()} too close to call")
