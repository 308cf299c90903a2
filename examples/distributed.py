"""Train on several processes: the same numbers on any number of them.

python -m minidl launch -n 2 examples/distributed.py
mpiexec -n 2 python examples/distributed.py        # the same
python examples/distributed.py                     # one process
"""

import argparse
import hashlib
import sys

import numpy as np

import minidl as dl

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--shard-state", action="store_true", help="each keeps a part of Adam's state")
arguments = parser.parse_args()

try:
    comm = dl.distributed.start(shard_state=arguments.shard_state)
except ModuleNotFoundError as error:
    sys.exit(str(error))

# Every process makes the same data, or opens the same file: np.load(path, mmap_mode="r").
rng = np.random.default_rng(0)
x = rng.normal(size=(4000, 2)).astype(np.float32)
labels = (np.hypot(*x.T) + 0.3 * np.sin(5 * np.arctan2(*x.T)) > 1).astype(int)
train, test = dl.data.split(x, labels, rng=0)

model = dl.nn.MLP([2, 64, 64, 2], rng=0)  # the weights of the first process count
optimizer = dl.optim.Adam(model, lr=3e-3)
loader = dl.data.DataLoader(*train, batch_size=128, rng=0)
history = dl.fit(
    model,
    dl.losses.cross_entropy,
    optimizer,
    loader,
    epochs=arguments.epochs,
    validation=test,
    metrics={"accuracy": dl.metrics.accuracy},
    distributed=comm,
)

if comm.rank == 0:
    weights = b"".join(array.tobytes() for array in model.state_dict().values())
    accuracy = history.metrics["validation_accuracy"][-1]
    print(f"{comm.size} processes: validation accuracy {accuracy:.3f}")
    print(f"loss {history.loss[-1]!r}, weights {hashlib.sha256(weights).hexdigest()[:16]}")


# Many small models at once: each process trains some of them alone.
def sweep(setting):
    """The validation loss of a rate and a seed."""
    rate, seed = setting
    own = dl.nn.MLP([2, 16, 2], rng=seed)
    batches = dl.data.DataLoader(*train, batch_size=128, rng=seed)
    dl.fit(
        own, dl.losses.cross_entropy, dl.optim.Adam(own, rate), batches, epochs=2, progress=False
    )
    return dl.evaluate(own, test, dl.losses.cross_entropy)["loss"]


settings = [(rate, seed) for rate in (1e-3, 1e-2, 1e-1) for seed in range(2)]
losses = dl.distributed.map(sweep, settings)
if comm.rank == 0:
    loss, (rate, seed) = min(zip(losses, settings, strict=True))
    print(f"the best of {len(settings)} small models: rate {rate}, seed {seed}, loss {loss:.4f}")
