"""Peak memory of a run is that of three batches and some room, whatever n and the number of images."""

import json
import subprocess
import sys

PROGRAM = """
import json, resource, torch, rsfast as rs
from rsfast.inference import default_batch

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.AvgPool2d(32), torch.nn.Flatten(), torch.nn.Linear(147, 10))
images = torch.rand(3, 3, 224, 224)
before = peak()
rs.sample_counts(model, images, noise=rs.Gaussian(0.25), num_classes=10, n0=10, n=2000, seed=0)
batch = default_batch(3 * 224 * 224, 2010, "cpu")
print(json.dumps([peak() - before, batch * 3 * 224 * 224 * 4 / 2**20]))
"""


def test_peak_memory_is_three_batches_and_300_megabytes_at_most():
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    used, of_batch = json.loads(result.stdout)
    copies = 2010 * 3 * 224 * 224 * 4 / 2**20  # of one image, if they were held together
    assert copies > 3 * of_batch + 1000
    assert used <= 3 * of_batch + 300
