"""A user's program, which must run, and pass `mypy --strict` and pyright from any folder."""

import numpy as np

import minidl as dl
from minidl.optim import Slot, fraction, option
from minidl.optim.optimizer import Arrays
from minidl.optim.parameters import Group

# tensors, and gradient descent by hand
w = dl.Tensor([1.0, -2.0], requires_grad=True, name="w")
loss = ((w * np.array([3.0, 0.5]) - 1) ** 2).mean() + 0.01 * dl.norm(w)
loss.backward()
if w.grad is not None:
    with dl.no_grad():
        w -= 0.1 * w.grad
size: int = w.size
shape: tuple[int, ...] = w.shape
first: float = w[0].item()


# a module of one's own
class Net(dl.nn.Module):
    def __init__(self, hidden: int) -> None:
        self.body = dl.nn.Sequential(dl.nn.Dense(2, hidden, rng=0), dl.nn.Tanh())
        self.head = dl.nn.Dense(hidden, 1, bias=False, rng=1)

    def __call__(self, x: np.ndarray | dl.Tensor) -> dl.Tensor:
        return self.head(self.body(x))


# optimizers: every form of parameters, options of every kind, schedules
net, mlp = Net(8), dl.nn.MLP([2, 16, 16, 1], activation="tanh", rng=0)
schedule = dl.schedulers.WarmUp(dl.schedulers.CosineDecay(0.1, steps=100), steps=10)
sgd = dl.optim.SGD(net, 0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
adam = dl.optim.Adam(mlp.parameters(), lr=schedule, betas=(0.9, 0.99), amsgrad=True)
rmsprop = dl.optim.RMSprop([("w", w)], alpha=0.9, centered=True, eps_inside_sqrt=False)
ftrl = dl.optim.FTRL([w], lr=0.5, l1=0.1, warm_start=False, maximize=True)
groups = [{"params": net.body, "lr": 0.1}, {"params": [net.head.weight], "lr": schedule}]
optimizers: list[dl.optim.Optimizer] = [sgd, adam, rmsprop, ftrl, dl.optim.AdamW(groups)]
rate: float = adam.lr
beta1, beta2 = adam.betas
sgd.lr = schedule
sgd.momentum = 0.8
m: np.ndarray = adam.state[next(mlp.parameters())]["m"]
ftrl.sparse_step(w, [1], np.ones(1, np.float32))


# a rule of one's own
class Sign(dl.optim.Optimizer):
    """Steps of constant size."""

    beta: float = option(fraction, default=0.9)
    slots = {"m": Slot()}

    def update(self, group: Group, lr: float, t: int, theta: Arrays, g: Arrays, m: Arrays) -> None:
        for theta_i, g_i, m_i in zip(theta, g, m, strict=True):
            m_i[...] = group.beta * m_i + (1 - group.beta) * g_i
            theta_i -= lr * np.sign(m_i)


# the training loop, by hand and by fit
x = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
y = (x[:, :1] > x[:, 1:]).astype(np.float32)
loader = dl.data.DataLoader(x, y, batch_size=16, rng=0)
sign = Sign(net, lr=0.01, beta=0.5)
averaged = dl.optim.average(net, decay=0.9)
for inputs, targets in loader:
    sign.zero_grad()
    dl.losses.binary_cross_entropy(net(inputs), targets).backward()
    norm: float = dl.optim.clip_grad_norm(net, max_norm=1.0)
    sign.step()
    averaged.update()
history = dl.fit(mlp, dl.losses.mse, adam, loader, epochs=2, validation=(x, y), progress=False)


# captured steps
@dl.capture
def step(x: np.ndarray, y: np.ndarray, scale: float = 1.0) -> dl.Tensor:
    sgd.zero_grad()
    loss = scale * dl.losses.mse(net(x), y)
    loss.backward()
    sgd.step()
    return loss


class Trainer:
    @dl.capture
    def step(self, x: np.ndarray, y: np.ndarray) -> tuple[dl.Tensor, int]:
        return dl.losses.mse(net(x), y), len(x)


value: float = step(x, y, scale=0.5).item() + Trainer().step(x, y)[0].item()
losses: np.ndarray = step.epoch(x, y, batch_size=16, order=np.arange(64))
step.plan.save("plan.html")
name: str = step.__name__
captured: bool = history.captured

# the model for other programs
dl.export.to_numpy(mlp, "net.py", example=x)


def on_several_processes() -> list[int]:  # not called: it needs MPI
    comm: dl.distributed.World = dl.distributed.start(shards=4, shard_state=True, timeout=30.0)
    sgd = dl.optim.SGD(net)
    dl.fit(net, dl.losses.mse, sgd, (x, y), epochs=comm.size, progress=False, distributed=comm)
    return dl.distributed.map(len, ["a", "bc"])


# a walkthrough, a race, a picture of the gallery
with dl.trace() as walk:
    dl.losses.mse(mlp(x), y).backward()
explanation: str = walk.explain("dense1.weight", (0, 0))
race = dl.viz.race("bowl", ["SGD", "Adam"], steps=20)
path: np.ndarray = race.runs[0].theta
figure = dl.viz.figures.learning_rates(curvature=4.0, steps=5)
print(f"loss {history.loss[-1]:.3f}, rate {adam.lr:.4f}, {adam.t} steps")
