"""Public calls with wrong arguments: a clear error of minidl's own, and nothing changed.

A call is a line of `CALLS`, in which one to three expressions are replaced by others, most of them
nonsense. A call may succeed. If it raises, then every object in it, the settings and the folder of
files must be as before, and the error should be minidl's own: raised by a `raise` in minidl. An
error of Python or NumPy that merely passes through minidl is foreign; at most `FOREIGN` of the
errors may be. Others are counted apart: of Python, which says that an argument is missing or
unknown; of the system, about a file; of scikit-learn, whose checks its estimators share; of memory.
"""

import ast
import contextlib
import contextvars
import dis
import functools
import importlib
import linecache
import os
import random
import re
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import mutating
import numpy as np

import minidl as dl
from minidl._fit import loop
from tests.campaign.harness import Breach

SEEDS, SECONDS = 100, 600
CALLS_PER_SEED = 1000
FOREIGN = 0.02  # the largest share of foreign errors
LIMIT = 10  # s of CPU time, after which a call that is still running is ended
MEMORY = 6 << 30  # bytes of a process
MINIDL = str(Path(dl.__file__).parent)

HEADER = """\
import io, math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
import numpy as np
import minidl as dl
from minidl import callbacks, data, export, losses, metrics, nn, optim, schedulers

def loss_of(prediction, target):
    return losses.mse(prediction, target)

def named(module):
    list(module.named_parameters())
    return module

def bowl(a, b):
    return a * a + 2 * b * b

def double(x):
    return 2 * x

class Rule(optim.Optimizer):
    def update(self, group, lr, t, theta, g):
        for theta_i, g_i in zip(theta, g, strict=True):
            theta_i -= lr * g_i

class Odd:
    def __array__(self, dtype=None, copy=None):
        raise ValueError("odd")

class Silent:
    def __repr__(self):
        raise ValueError("no text")
"""


def words(text):
    return text.split()


# The objects in calls, each made anew for a call that names it.
OBJECTS = {
    "folder": "Path('.')",
    "x": "np.linspace(-1, 2, 18).reshape(6, 3)",
    "y": "np.linspace(0, 1, 6).reshape(6, 1)",
    "labels": "np.arange(6) % 2",
    "a": "dl.Tensor(np.linspace(-1, 2, 6).reshape(2, 3), True, name='a')",
    "b": "dl.Tensor(np.linspace(1, 3, 6).reshape(2, 3), True, name='b')",
    "c": "dl.Tensor(np.linspace(1, 3, 6).reshape(2, 3))",
    "s": "dl.Tensor(np.eye(3) + 0.1, True, name='s')",
    "loss": "(a * b).sum()",
    "model": "named(nn.Sequential(nn.Dense(3, 4, rng=0), nn.ReLU(), nn.Dropout(0.5, rng=1), "
    "nn.Dense(4, 1, rng=2)))",
    "net": "named(nn.MLP([3, 4, 1], 'tanh', rng=0))",
    "classifier": "named(nn.MLP([3, 4, 2], rng=0))",
    "optimizer": "optim.Adam(list(net.named_parameters()), 0.01)",
    "ftrl": "optim.FTRL([('s', s)], 0.1)",
    "average": "optim.average(net, 0.9)",
    "plateau": "schedulers.ReduceOnPlateau(0.1, patience=1)",
    "loader": "data.DataLoader(x, y, 4, rng=0)",
    "history": "dl.History([1.0, 0.5], [1.2, 0.8, 0.5], [0.1, 0.1, 0.1], [1.1, 0.6], [2, 3])",
    "stopping": "callbacks.EarlyStopping('loss', patience=1)",
    "step": "dl.capture(lambda x, y: losses.mse(net(x), y))",
    "race": "dl.viz.race('bowl', ['SGD', 'Adam'], steps=5, lr=0.1)",
    "bowl_surface": "dl.viz.Surface(bowl, x=(-1, 1), y=(-1, 1), start=(0.5, 0.5))",
    "walk": "dl.trace()",
    "regressor": "dl.sklearn.MLPRegressor((4,), max_iter=2, random_state=0)",
    "learned": "dl.sklearn.MLPClassifier((4,), max_iter=2, random_state=0).fit(x, labels)",
}

RULES = """
SGD momentum=0.9, dampening=0.1, nesterov=False
Momentum beta=0.9
NAG beta=0.9
Adagrad eps=1e-10, initial_accumulator=0.1, lr_decay=0.01, eps_inside_sqrt=True
RMSprop alpha=0.9, eps=1e-8, momentum=0.5, centered=True, eps_inside_sqrt=False
Adam betas=(0.9, 0.999), eps=1e-8, amsgrad=True
AdamW betas=(0.9, 0.999), eps=1e-8, amsgrad=False
Nadam betas=(0.9, 0.999), eps=1e-8, momentum_decay=0.004, decoupled_weight_decay=True
Adamax betas=(0.9, 0.999), eps=1e-8
RAdam betas=(0.9, 0.999), eps=1e-8, decoupled_weight_decay=True
Adadelta rho=0.9, eps=1e-6
FTRL beta=1.0, l1=0.1, l2=0.1, lr_power=-0.5, initial_accumulator=0.1, warm_start=False
Lion betas=(0.9, 0.99)
"""
SCHEDULES = """
Constant(0.1)
StepDecay(0.1, 3, 0.5)
ExponentialDecay(0.1, 0.9, steps=2, staircase=True)
InverseTimeDecay(0.1, 0.5, steps=2, staircase=True)
LinearDecay(0.1, 10, end=0.01)
PolynomialDecay(0.1, 10, end=0.01, power=2.0)
CosineDecay(0.1, 10, end=0.01)
CosineRestarts(0.1, 4, multiply=2, decay=0.9, end=0.01)
InverseSqrtDecay(0.1, 4)
PiecewiseConstant([3, 6], [0.1, 0.01, 0.001])
Triangular(0.01, 0.1, 4, decay=0.9)
OneCycle(0.1, 10, start_fraction=0.3, initial_factor=25.0, final_factor=1e4)
WarmUp(schedulers.CosineDecay(0.1, 10), 3, start=0.01, shape='linear')
CoolDown(schedulers.Constant(0.1), 5, 3, end=0.01, shape='linear')
Hold(schedulers.Constant(0.1), 5)
Sequence([(schedulers.Constant(0.1), 4), 0.01])
warmup_stable_decay(0.1, 3, 4, 5, end=0.0, shape='linear')
ReduceOnPlateau(0.1, factor=0.5, patience=2, cooldown=1, threshold=1e-4, min_lr=1e-6, mode='min')
"""
UNARY = words("""exp log sqrt abs tanh sigmoid relu softplus leaky_relu elu gelu silu sin cos sign
log1p flatten argmax sum mean max min std var norm softmax log_softmax logsumexp transpose""")
BINARY = ["maximum", "minimum", "matmul"]
METHODS = words("""exp log sqrt abs tanh sigmoid relu log1p sign flatten argmax sum mean max min std
var norm transpose item numpy detach zero_grad""")
OPERATORS = words("+ - * / ** @ == != < <= > >= // %")
IN_PLACE = words("+= -= *= /= **= @=")
LAYERS = words("""ReLU() LeakyReLU(slope=0.01) ELU(alpha=1.0) GELU() SiLU() Sigmoid() Tanh()
Softplus() Softmax(axis=-1)""")

# Of a line with semicolons, the last statement is the call.
CALLS = """
dl.Tensor([1.0, 2.0], True)
dl.Tensor(x, requires_grad=True, dtype='float64', name='w')
dl.leaky_relu(a, slope=0.1)
dl.elu(a, alpha=1.0)
dl.clip(a, -0.5, 0.5)
dl.clip(a, low=None, high=1.0)
dl.sum(a, axis=0, keepdims=True)
dl.mean(a, (0, 1), keepdims=False)
dl.max(a, axis=-1, keepdims=True)
dl.min(a, axis=(0, 1))
dl.std(a, axis=0, keepdims=True, ddof=1)
dl.var(a, axis=0, ddof=1)
dl.norm(a, axis=1, keepdims=True)
dl.softmax(a, axis=0)
dl.log_softmax(a, axis=-1)
dl.logsumexp(a, axis=(0, 1), keepdims=True)
dl.argmax(a, axis=1)
dl.reshape(a, (3, 2))
dl.reshape(a, -1)
dl.transpose(a, (1, 0))
dl.concatenate([a, b], axis=0)
dl.stack([a, b, c], axis=1)
dl.where(a.numpy() > 0, a, b)
dl.where([True, False, True], 0.0, c)
a.sum(0, True)
a.mean(axis=(0, 1), keepdims=True)
a.max(1)
a.std(0, ddof=1)
a.clip(-1.0, 1.0)
a.argmax(axis=0)
a.reshape(3, 2)
a.reshape((3, -1))
a.transpose(1, 0)
loss.backward()
loss.backward(1.0, retain_graph=True)
(a * b).backward(np.ones((2, 3)))
(a @ s).backward(np.ones((2, 3)), retain_graph=False)
a[0]
a[1, :2]
a[[0, 1], [1, 2]]
a[a.numpy() > 0]
a[None, ..., 1]
a[0:2:1]
a.T @ b
-a
abs(a)
round(a, 1)
float(a[0, 0])
int(a[0, 0])
len(a)
list(a)
bool(a[0, 0])
1.0 in a
format(a[0, 0], '.3f')
a.data = np.ones((2, 3))
a.requires_grad = False
c.requires_grad = True
a.grad = np.ones((2, 3)); optim.SGD([a], 0.1).step()
a.grad = np.ones((2, 3)); optim.clip_grad_norm([a], 1.0)
a.grad = np.ones((2, 3)); optim.clip_grad_value([a], 0.5)
np.sum(c, axis=0)
np.exp(a)
np.clip(a, 0, 1)
np.maximum(a, c)
with dl.no_grad(): dl.tanh(a)
with dl.default_dtype('float64'): dl.Tensor([1.0])
dl.default_dtype('float64')(double)(c)
dl.no_grad()(double)(a)
dl.set_default_dtype('float64')
dl.set_num_threads(2)
dl.get_num_threads()
dl.get_default_dtype()
dl.gradcheck(lambda p, q: (p * q).tanh(), a, b, rtol=1e-6)
dl.testing.gradcheck(dl.exp, a)

nn.Dense(3, 4, bias=True, init='he_normal', rng=0)
nn.Dense(3, 4, init='zeros', rng=np.random.default_rng(0))(x)
nn.Dropout(0.5, rng=0)(x)
nn.Sequential(nn.Dense(3, 4, rng=0), nn.Tanh(), nn.Dense(4, 1, rng=1))
nn.MLP([3, 4, 1], 'relu', rng=0)
nn.MLP([3, 4, 1], activation='tanh', rng=0)(x)
nn.Module()
model(x)
net(x)
net.forward(x)
model[0]
model[1:3]
list(net.parameters())
list(net.named_parameters())
list(net.modules())
net.zero_grad()
model.train()
model.eval()
net.state_dict()
net.load_state_dict(net.state_dict())
net.load_state_dict({**net.state_dict(), 'dense1.bias': np.zeros(4)})
nn.Dense(3, 4, rng=0).load_state_dict({'weight': np.ones((3, 4)), 'bias': np.ones(4)})
net.buffer('mean', np.zeros(3))
net.summary()
net.extra = nn.Dense(1, 1, rng=0)
net.scale = dl.Tensor(np.ones(3), True)
net[0].weight.data = np.ones((3, 4))

losses.mse(a, c, 'mean', sample_weight=[1.0, 2.0])
losses.mse(net(x), y, reduction='none')
losses.mae(a, c, 'sum', sample_weight=np.ones(2))
losses.huber(a, c, 'mean', delta=1.0, sample_weight=[1.0, 2.0])
losses.cross_entropy(classifier(x), labels, 'mean', label_smoothing=0.1, \
sample_weight=np.ones(6), class_weight=[1.0, 2.0], ignore_index=-1)
losses.cross_entropy(a, [0, 2])
losses.cross_entropy(a, [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
losses.binary_cross_entropy(a, np.eye(2, 3), 'mean', sample_weight=[1.0, 2.0], \
class_weight=[1.0, 3.0])
losses.MSE('mean')(a, c, sample_weight=[1.0, 2.0])
losses.MAE('sum')(a, c)
losses.Huber('none', delta=0.5)(a, c)
losses.CrossEntropy('mean', label_smoothing=0.1, class_weight=[1.0, 1.0], ignore_index=-1)(\
classifier(x), labels)
losses.BinaryCrossEntropy('mean', class_weight=[1.0, 3.0])(a, np.eye(2, 3))
losses.mse(net(x), y).backward()

optim.SGD(net)
optim.SGD([a, b], 0.1)
optim.SGD([('a', a), ('b', b)], lr=0.1)
optim.Adam([{'params': [a], 'lr': 0.1}, {'params': [b], 'betas': (0.5, 0.9)}], lr=0.01)
optim.Adam(net, schedulers.WarmUp(schedulers.CosineDecay(0.1, 10), 3))
Rule([a], 0.1)
losses.mse(net(x), y).backward(); optimizer.step()
optimizer.zero_grad()
optimizer.state_dict()
optimizer.load_state_dict(optimizer.state_dict())
optimizer.load_state_dict({**optimizer.state_dict(), 't': 5})
optimizer.load_state_dict({**optimizer.state_dict(), 'groups': optimizer.state_dict()['groups']})
optimizer.load_state_dict({**optimizer.state_dict(), 'state': optimizer.state_dict()['state']})
optimizer.lr = 0.1
optimizer.betas = (0.5, 0.9)
optimizer.weight_decay = 0.1
optimizer.groups[0].lr = 0.1
optimizer.groups[0].eps = 1e-6
optimizer.groups[0]['lr'] = 0.1
optimizer.groups[0]['lr']
optimizer.groups[0].update({'lr': 0.2, 'betas': (0.8, 0.9)})
'lr' in optimizer.groups[0]
optimizer.rate(optimizer.groups[0])
optimizer.state
optimizer.t
ftrl.sparse_step(s, [0, 2], np.ones(2))
ftrl.sparse_step(s, np.array([0, 4, 8]), np.array([1.0, 2.0, 3.0]))
optim.clip_grad_norm(net, 1.0)
optim.clip_grad_norm([a, b], max_norm=1.0)
optim.clip_grad_value([a, b], 0.5)
optim.average(net, 0.9)
optim.average([a, b], decay=0.99)
average.update()
average.state_dict()
average.load_state_dict(average.state_dict())
average.load_state_dict({**average.state_dict(), 'dense1.bias': np.ones(4)})
with average: pass

schedulers.CosineDecay(0.1, 10)(3)
schedulers.CosineDecay(0.1, 10)(np.arange(12))
schedulers.OneCycle(0.1, 10)(5)
plateau.observe(1.0)
plateau(3)
plateau.reset()
schedulers.WarmUp(plateau, 3)(1)

data.DataLoader(x, y, 4, shuffle=True, drop_last=True, rng=0, sample_weight=np.ones(6))
data.DataLoader((x, x), labels, batch_size=2, shuffle=False)
data.DataLoader({'p': x, 'q': x}, y)
list(data.DataLoader(x, y, 2, rng=0))
list(loader)
len(loader)
loader.state_dict()
loader.load_state_dict(loader.state_dict())
loader.load_state_dict({**loader.state_dict(), 'taken': 1})
data.split(x, y, 0.3, stratify=False, rng=0)
data.split(x, labels, fraction=0.5, stratify=True, rng=0)
data.Standardize(3).fit(x)
data.Standardize().fit(x)(x)
data.balanced_weights(labels)
dl.data.balanced_weights([0, 1, 1])

dl.predict(net, x, batch_size=2)
dl.predict(model, x)
dl.predict(nn.Sequential(data.Standardize().fit(x), nn.Dense(3, 1, rng=0)), x)
dl.evaluate(net, (x, y), losses.mse, metrics={'mae': metrics.mae})
dl.evaluate(classifier, (x, labels), metrics={'accuracy': metrics.accuracy})
dl.evaluate(net, loader, losses.MSE())
history.values('loss')
history.batches
history.state_dict()
dl.History.from_state_dict(history.state_dict())
dl.History.from_state_dict({**history.state_dict(), 'loss': [1.0]})
dl.History([1.0], [1.0], [0.1])
dl.DivergenceError('text', history)

metrics.accuracy([0.2, -0.1, 0.3], [1, 0, 0], sample_weight=[1.0, 1.0, 2.0])
metrics.accuracy(np.eye(3, 2), [0, 1, 1])
metrics.confusion_matrix(np.eye(3, 2), [0, 1, 1], sample_weight=[1.0, 1.0, 2.0])
metrics.auc([0.2, -0.1, 0.3], [1, 0, 0], sample_weight=[1.0, 1.0, 2.0])
metrics.mae(x, x + 1, sample_weight=np.ones(6))
metrics.rmse(y, y + 1, sample_weight=np.ones(6))
metrics.r2(y, y + 0.1, sample_weight=np.ones(6))

callbacks.Callback()
callbacks.EarlyStopping('validation', mode='min', patience=3, min_delta=0.1, restore_best=True)
callbacks.Checkpoint(folder / 'best.ckpt', every=2, best=True, monitor='loss', mode='min')
callbacks.ClipGradNorm(1.0)
callbacks.Average(0.9)
callbacks.CSVLogger(folder / 'log.csv')
callbacks.RateFinder(low=1e-5, high=1.0, steps=10)
stopping.load_state_dict(stopping.state_dict())
stopping.load_state_dict({**stopping.state_dict(), 'best': 1.0})
dl.capture(double)
dl.capture(double)(c)
step(x, y); step(x, y)
step(x, y); step(x, y); print(step)
step(x, y); step(x, y); step.plan
dl.trace()
dl.config.set_blas(None)
dl.CaptureError('text')
"""
CALLS += "".join(f"dl.{name}(a)\n" for name in UNARY)
CALLS += "".join(f"dl.{name}(s, np.ones((3, 3)))\n" for name in BINARY)
CALLS += "".join(f"a.{name}()\n" for name in METHODS)
CALLS += "".join(f"a {sign} b\n2.0 {sign} a\n" for sign in OPERATORS)
CALLS += "".join(f"with dl.no_grad(): a {sign} s\nc {sign} 2.0\n" for sign in IN_PLACE)
CALLS += "".join(f"nn.{layer}(x)\n" for layer in LAYERS)
for rule, _, options in (line.partition(" ") for line in RULES.strip().splitlines()):
    CALLS += f"optim.{rule}([a, b], 0.01, {options}, weight_decay=0.1, maximize=False)\n"
for schedule in SCHEDULES.strip().splitlines():
    CALLS += f"schedulers.{schedule}\nschedulers.{schedule}(7)\n"
    CALLS += f"optim.SGD([a], schedulers.{schedule})\n"

# Calls that take a while are tried less often.
SLOW = """
dl.fit(net, losses.mse, optimizer, (x, y), epochs=2, progress=False)
dl.fit(net, losses.MSE(), optimizer, loader, epochs=1, steps=2, validation=(x, y), \
metrics={'mae': metrics.mae}, accumulate=2, progress=False, capture='auto')
dl.fit(net, loss_of, optimizer, loader, epochs=1, validation=0.5, progress=False, \
callbacks=[stopping, callbacks.ClipGradNorm(1.0)])
dl.fit(net, losses.mse, optimizer, [(x, y), (x, y, np.ones(6))], steps=2, progress=False)
dl.fit(net, losses.mse, optim.SGD(net, plateau), loader, epochs=2, history=history, \
progress=False, capture=False)
dl.fit(classifier, losses.cross_entropy, optim.SGD(classifier, 0.1), (x, labels), epochs=1, \
progress=False, callbacks=(callbacks.Average(0.9),))
dl.fit(net, losses.mse, optimizer, loader, epochs=1, progress=False, \
callbacks=[callbacks.CSVLogger(folder / 'log.csv'), callbacks.Checkpoint(folder / 'run.ckpt')])
dl.fit(net, losses.mse, optimizer, loader, epochs=9, progress=False, \
callbacks=[callbacks.RateFinder(steps=5)])
dl.save(folder / 'a.ckpt', net, optimizer=optimizer, data=loader, history=dl.fit(net, losses.mse, \
optimizer, loader, epochs=1, progress=False)); saved = dl.load(folder / 'a.ckpt', net, \
optimizer=optimizer, data=loader); dl.fit(net, losses.mse, optimizer, loader, epochs=2, \
resume=saved, progress=False)
dl.save(folder / 'new.ckpt', net, optimizer=optimizer, data=loader, history=history, \
average=average, callbacks=[stopping], metadata={'note': 'text', 'n': [1, 2.0, None]})
dl.save(folder / 'new.safetensors', net)
dl.save(folder / 'a.ckpt', net, optimizer=optimizer, data=loader, average=average); \
dl.load(folder / 'a.ckpt', net, optimizer=optimizer, data=loader, average=average, callbacks=())
dl.save(folder / 'a.ckpt', net); dl.load(folder / 'a.ckpt')
dl.save(folder / 'a.ckpt', net); dl.load(folder / 'a.ckpt', net)
dl.show_config()
step.epoch(x, y, batch_size=2, order=np.arange(6))
export.to_onnx(net, folder / 'net.onnx', x[:1])
export.to_c(net, folder / 'net.h', name='net', example=x[:1])
export.to_numpy(net, folder / 'net.py', example=x[:1])
with dl.trace() as walk: dl.tanh(a) * 2
with dl.trace() as walk: (a * b).sum().backward()
with dl.trace() as walk: (a * b).sum().backward()
walk.__enter__(); (a * a).sum().backward(); walk.__exit__(None, None, None); print(walk)
with dl.trace() as walk: (a * a).sum().backward(); a.zero_grad()
dl.viz.race('bowl', ['SGD', 'Adam'], steps=5, start=(1.0, 1.0), lr=0.1, noise=0.1, \
tolerance=0.01, rng=0)
dl.viz.race(bowl_surface, {'plain': 'SGD'}, steps=3, lr={'plain': 0.1})
dl.viz.race(bowl, optim.SGD, steps=3, tune=True, budget=2)
dl.viz.network_race(net, losses.mse, (x, y), ['SGD', 'Adam'], steps=3, lr=0.1, resolution=3)
dl.viz.Surface(bowl, x=(-1, 1), y=(-1, 1), start=(0.5, 0.5), minima=[(0, 0)], name='bowl', \
formula='a^2')
bowl_surface.at(np.zeros((2, 2)))
bowl_surface.grid(5, x=(-1, 1), y=(0, 1))
bowl_surface.contains(np.zeros((2, 2)))
bowl_surface.stationary_points((-1, 1), (-1, 1))
race.table()
race.save(folder / 'race.html', start=0)
regressor.fit(x, y[:, 0], sample_weight=np.ones(6))
regressor.partial_fit(x, y[:, 0])
regressor.set_params(alpha=0.1)
learned.predict(x)
learned.predict_proba(x)
learned.score(x, labels)
learned.partial_fit(x, labels, classes=[0, 1])
dl.sklearn.MLPClassifier((4,), 'relu', optimizer='Adam', learning_rate_init=0.01, \
batch_size=2, max_iter=2, shuffle=True, tol=1e-4, n_iter_no_change=2, early_stopping=False, \
validation_fraction=0.5, warm_start=False, random_state=0).fit(x, labels)
dl.sklearn.Estimator(lambda *sizes: nn.MLP([3, 4, 1], rng=0), losses.mse, max_iter=1).fit(x, y)
dl.distributed.map(double, [1, 2, 3])
dl.distributed.start(shards=8, shard_state=False, timeout=60.0)
"""
# Pictures still less often.
PICTURES = """
history.plot(folder / 'history.svg')
schedulers.CosineDecay(0.1, 10).plot(20, folder / 'rate.svg')
callbacks.RateFinder(steps=5).plot(folder / 'rates.svg')
race.plot(folder / 'race.svg', start=0, title='title')
race.animate(folder / 'race.gif', start=0, frames=2, fps=10)
dl.viz.figures.momentum_arrows(bowl, start=(-1.0, 0.5), lr=0.5, beta=0.8, steps=1)
dl.viz.figures.learning_rates([0.1], curvature=4.0, steps=3)
dl.viz.figures.landscape(start=-0.6, rules={'SGD': 0.5}, steps=5, between=(-0.75, 3.25))
dl.viz.figures.batch_paths(x[:, :1], y, batch_size=(None, 1), updates=5, lr=0.005, \
start=(1.4, -0.2))
dl.viz.figures.every_schedule([schedulers.Constant(0.1)], steps=10, columns=1)
dl.viz.figures.warm_up_and_cool_down(peak=0.1, warmup=2, stable=3, cooldown=4, shapes=('linear',))
dl.viz.figures.loss_slice(net, losses.mse, (x, y), {'SGD': 0.1}, steps=2, resolution=3)
dl.viz.figures.family_tree({'SGD': optim.SGD})
dl.viz.figures.decision_boundary((x[:, :2], labels), hidden=(2,), steps=2, frames=2, resolution=5)
dl.viz.figures.rate_and_loss({'plain': 0.1}, data=(x, labels), hidden=(2,), epochs=1, seeds=1)
dl.viz.figures.optimizer_race('bowl', ['SGD'], steps=5, lr=0.1)
list(dl.viz.figures.write(folder / 'pictures', ['family_tree']))
"""
SHARES = 0.9, 0.09, 0.01  # of CALLS, SLOW and PICTURES

WRONG = words("""
0 1 -1 2 3 7 -0.5 0.5 1e308 10**30 -2**63 2**31 True False None math.nan math.inf -math.inf 3+4j
Fraction(1,3) Decimal('0.1') np.float32(0.5) np.float64(math.nan) np.int8(-1) np.uint8(3)
np.bool_(True) np.complex64(1) np.datetime64('2020') '' 'adam' 'mean' 'relu' 'none' 'loss'
'\\udc80' '\\0' 'é∂' b'ab' bytearray(b'ab') 'a/b/c' '..' 'float16' 'int' 'x'*300
[] () {} set() [None] ['a'] [1,[2,3]] [[]] [[1.0,2.0]] (1,) (1,2,3) {'a':1} {1:2} {None:None}
range(3) iter([1.0,2.0]) iter('ab') frozenset([1]) slice(1,None) ... NotImplemented
np.zeros(0) np.zeros((2,0)) np.zeros((0,3)) np.ones((1,1,1,1,1)) np.ones(3) np.ones((2,3),'f4')
np.ones((6,3),'f2') np.ones((3,3),'>f8') np.ones(3,np.longdouble) np.array('a') np.array(['a','b'])
np.array([None,1],object) np.array([1j,2]) np.array(['2020'],'M8[Y]') np.zeros(2,[('a','f4')])
np.full((6,3),math.nan) np.full((2,3),math.inf) np.array(5) np.array(5.0) np.array([True,False])
np.ma.array([1.0,2.0],mask=[0,1]) np.ones((6,6))[::2,::2] np.broadcast_to(1.0,(6,3)) np.arange(6)
np.array([0,5,-3]) np.array([2**40]) np.ones((2,3)).T np.array([Fraction(1,2)],object)
np.void(b'ab') np.array(b'ab') np.ones((6,1)) np.ones((2,3,4)) np.array([[1,2],[3,4]],np.uint64)
object() len int float str type list np.ndarray np.exp dl.exp double loss_of bowl
np.random.default_rng(0) np.random.RandomState(0) np.dtype('f4') np.float16 'f4' io.StringIO()
nn.ReLU() nn.Dense nn.Module nn.Module() nn.Dense(2,2,rng=0) optim.SGD optim.Optimizer losses.mse
losses.MSE() losses.MSE schedulers.Constant(0.1) schedulers.ReduceOnPlateau(0.1) metrics.auc
dl.Tensor([1.0,2.0]) dl.Tensor([[1.0]],True) dl.Tensor(2.0) dl.Tensor([1,2],dtype='int64')
dl.Tensor(np.ones((2,3),'f2'),True) dl.Tensor(np.zeros((0,3))) dl.Tensor([True,False],dtype='bool')
callbacks.ClipGradNorm(1.0) callbacks.Callback Odd() Silent() Odd Path('nowhere') Path()
dl.no_grad() dl.nn dl.default_dtype('float64') print Exception Exception('e')
""")
WRONG += [
    "[0.1] * 3",
    "lambda: 1",
    "lambda *a, **k: None",
    "lambda *a: a[0]",
    "lambda *a: 'text'",
    "lambda *a: dl.Tensor(1.0)",
    "[[0.0] * 3] * 6",
    "[object()]",
    "{'lr': 0.1, 'params': []}",
    "[{'params': [dl.Tensor([1.0], True)], 'lr': 'x'}]",
    "[(1, 2), (3, 4)]",
    "[('a', 1)]",
]
# Forms of the expression that a call has
CHANGED = words("""
[{0}] ({0},) dict(a={0}) str({0}) np.asarray({0}) np.asarray({0})[:0] np.asarray({0})[:1]
np.asarray({0}).T np.asarray({0}).astype('f4') np.asarray({0}).astype('f2') -{0} ({0})*2
np.asarray({0}).astype(object) np.asarray({0}).astype(str) dl.Tensor({0}) dl.Tensor({0},True)
[{0},{0}] np.stack([{0}]) np.asarray({0}).astype('i8') ({0})*math.nan {0}[0] list({0}) iter({0})
np.ma.masked_array({0}) np.asfortranarray({0}) type({0}) {0}.__class__ ({0},{0}) {0}[1:]
np.asarray({0})[...,:1] np.asarray({0})[None] np.float32({0}) int({0}) float({0}) np.array({0})
""")


# --- a changed call -----------------------------------------------------------------------------


def slots(tree):
    """Where an expression of a call may be replaced: (the node that has it, its field, index)."""
    top = getattr(tree, "value", None)
    for node in ast.walk(tree):
        fields = {
            ast.Call: ["args", "keywords"],
            ast.Subscript: ["slice"],
            ast.BinOp: ["left", "right"],
            ast.Compare: ["comparators"],
            ast.AugAssign: ["value"],
            ast.Assign: ["value"],
            ast.Tuple: ["elts"],
            ast.List: ["elts"],
            ast.Dict: ["keys", "values"],
            ast.UnaryOp: ["operand"],
        }
        if is_numpys(node) and node is not top:
            continue
        for field in fields.get(type(node), []):
            value = getattr(node, field)
            if isinstance(value, list):
                yield from ((node, field, i) for i, entry in enumerate(value) if entry is not None)
            else:
                yield node, field, None


def is_numpys(node):
    """Whether a part of a call is no call of minidl: folder / 'name', np.ones(3) or -1."""
    if isinstance(node, ast.BinOp):
        return isinstance(node.left, ast.Name) and node.left.id == "folder"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return isinstance(node.func.value, ast.Name) and node.func.value.id == "np"
    return isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant)


def names_in(tree):
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


class Program(NamedTuple):
    """A call in parts: names of objects, lines that come before, and the call; all are source."""

    objects: tuple[str, ...]
    setup: tuple[str, ...]
    call: str

    def text(self):
        """A program that makes the call."""
        made = [f"{name} = {OBJECTS[name]}" for name in self.objects]
        return "\n".join([HEADER, *made, *self.setup, self.call])


def ordered(names):
    """The objects of these names, and those that they are made of first."""
    found = {}

    def add(name):
        for other in sorted(names_in(ast.parse(OBJECTS[name]))):
            if other in OBJECTS and other != name and other not in found:
                add(other)
        found[name] = None

    for name in sorted(names):
        add(name)
    return tuple(found)


def changed(line, rng):
    """The call of a line with one to three other expressions, now and then as it is."""
    *before, call = ast.parse(line).body
    setup = [ast.unparse(statement) for statement in before]
    for i in range(rng.choice([1, 1, 1, 1, 1, 2, 2, 3])):
        places = [*slots(call)]
        if not places:
            break
        node, field, index = rng.choice(places)
        owner = getattr(node, field) if index is not None else node
        old = owner[index] if index is not None else getattr(node, field)
        if isinstance(old, ast.keyword):
            old, owner, index = old.value, old, None
            field = "value"
        drop = rng.random()
        if drop < 0.02 and isinstance(owner, list) and isinstance(node, ast.Call):
            del owner[index]  # a missing argument
            continue
        if drop < 0.04 and isinstance(node, ast.keyword):
            owner.arg += "s"  # an unknown one
            continue
        whole = isinstance(old, ast.Slice | ast.Tuple)  # what brackets may hold
        text = rng.choice(WRONG) if whole or rng.random() < 0.75 else ""
        if not text and rng.random() < 0.4:
            text = rng.choice([name for name in OBJECTS if name not in ("loader", "model")])
        text = text or rng.choice(CHANGED).format(f"({ast.unparse(old)})")
        setup.append(f"v{i} = {text}")
        new = ast.Name(f"v{i}", ast.Load())
        if index is None:
            setattr(owner, field, new)
        else:
            owner[index] = new
    call = ast.unparse(ast.fix_missing_locations(call))
    used = set.union(*(names_in(ast.parse(text)) for text in [*setup, call]))
    return Program(ordered(used & OBJECTS.keys()), tuple(setup), call)


# --- making it ----------------------------------------------------------------------------------


class Stopped(BaseException):
    """A call that takes too long."""


class Outcome(NamedTuple):
    """What came of a call: a kind and a text."""

    kind: str
    text: str = ""


@functools.cache
def code(text, name):
    return compile(text, name, "exec")


KINDS = (np.ndarray, list, dict, tuple, dl.Tensor, dl.nn.Module, np.random.Generator)


def state(kept):
    """Everything that an error may not change."""
    return mutating.snapshot(kept), mutating.settings(), files()


def lasting(kept):
    """What an error may not change even if it ends a training: settings, modes and data."""
    modules = [x for x in kept if isinstance(x, dl.nn.Module)]
    modes = tuple(tuple(m.training for m in module.modules()) for module in modules)
    data = [x for x in kept if isinstance(x, np.ndarray)]
    return mutating.settings(), modes, mutating.snapshot(data)


def files():
    return {str(path): path.is_file() and path.read_bytes() for path in Path().rglob("*")}


def attempt(program):
    """Make the call of a program, in the current folder; raises Breach."""
    variables = {}
    exec(code(HEADER, "<user>"), variables)
    try:
        for name in program.objects:
            exec(code(f"{name} = {OBJECTS[name]}", "<user>"), variables)
        for line in program.setup:
            exec(code(line, "<user>"), variables)
    except Exception as error:
        return Outcome("not made", repr(error))
    kept = [variables[name] for name in program.objects if name != "folder"]
    kept += [v for k, v in variables.items() if re.match(r"v\d", k) and isinstance(v, KINDS)]
    before, before_steps = state(kept), lasting(kept)
    call = compile(program.call, "<call>", "exec")
    try:
        with limit():
            exec(call, variables)
    except Stopped:
        return Outcome("stopped", program.call)
    except Exception as raised:
        error = raised
        kind, text = origin(error), f"{type(error).__name__}: {described(error)}{place(error)}"
    except BaseException as error:
        raise Breach(f"{program.call}: {type(error).__name__}: {error}", program.text()) from None
    else:
        return Outcome("done")
    after = state(kept)
    if begun(error):
        before, after = before_steps, lasting(kept)
    if after != before:
        changed = f"changed before the error: {mutating.difference(before, after)}"
        raise Breach(f"{program.call}\n{text}\n{changed}", program.text())
    return Outcome(kind, text)


def begun(error):
    """Whether a training had begun, whose steps stay: the part `interrupts` tries what they leave.

    It may be an error of a user's model, loss or callback, which no check can see before.
    """
    frames = traceback.extract_tb(error.__traceback__)
    return any((f.filename, f.name) == (loop.__file__, "run") for f in frames)


def described(error):
    try:
        return str(error)
    except Exception as other:
        return f"(its text can't be had: {other!r})"


class limit:  # noqa: N801
    """Stopped after `LIMIT` seconds."""

    def __enter__(self):
        self.on = True
        signal.signal(signal.SIGPROF, self.stop)
        signal.setitimer(signal.ITIMER_PROF, LIMIT)

    def stop(self, number, frame):
        if self.on:
            raise Stopped

    def __exit__(self, *_):
        self.on = False
        signal.setitimer(signal.ITIMER_PROF, 0)


def place(error):
    """Where in minidl an error was raised, or passed last."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "minidl/" in f.filename]
    return f"\n    [{frames[-1].filename}:{frames[-1].lineno}]" if frames else ""


BINDING = re.compile(
    r"[\w.<>]+\(\) (got an unexpected keyword|got multiple values|missing \d+ required|takes |"
    r"got some positional-only)"
)


def origin(error):
    """Where an error comes from: "own", "foreign", or what is neither."""
    frames, tb = [], error.__traceback__
    while tb:
        frames.append(tb)
        tb = tb.tb_next
    while frames and frames[0].tb_frame.f_code.co_filename == __file__:
        frames.pop(0)
    last = frames[-1]
    file, line = last.tb_frame.f_code.co_filename, last.tb_lineno
    if isinstance(error, MemoryError):
        return "memory"
    if BINDING.match(described(error)) and isinstance(error, TypeError):
        return "python"
    if file in ("<user>", "<call>") or not place(error):
        return "user"  # an operation of the call itself, such as folder / 3
    if not described(error) or type(error) is AssertionError:
        return "foreign"
    if file.endswith(".pyx"):
        source = linecache.getline(str(Path(MINIDL).parent / file), line)
        return "own" if source.lstrip().startswith("raise ") else "foreign"
    if isinstance(error, OSError):
        return "system"
    if file.startswith(MINIDL):
        instruction = last.tb_frame.f_code.co_code[last.tb_lasti]
        return "own" if dis.opname[instruction] == "RAISE_VARARGS" else "foreign"
    if "/sklearn/" in file:
        return "sklearn"
    return "foreign"


ERRORS = ("own", "foreign", "python", "system", "sklearn", "memory")


def note(program, outcome):
    """Called with each outcome, for who wants to see them."""


def trial(seed, say):
    rng = random.Random(seed)
    kinds = [text.strip().splitlines() for text in (CALLS, SLOW, PICTURES)]
    kinds = [[*filter(None, lines)] for lines in kinds]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    os.environ["MPLBACKEND"] = "Agg"
    sys.stdin = None
    counts, foreign = Counter(), []
    for name in ("matplotlib.pyplot", "minidl.sklearn", "minidl.viz.figures", "minidl.export"):
        importlib.import_module(name)  # before the calls, whose time is limited
    with (
        tempfile.TemporaryDirectory() as top,
        contextlib.chdir(top),
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
    ):
        for n in range(CALLS_PER_SEED):
            folder = Path(top, str(n))
            folder.mkdir()
            os.chdir(folder)
            program = changed(rng.choice(*rng.choices(kinds, SHARES)), rng)
            say(program.text())
            outcome = contextvars.copy_context().run(attempt, program)
            mutating.restore_settings()
            counts[outcome.kind] += 1
            if outcome.kind == "foreign":
                foreign.append((program, outcome.text))
            note(program, outcome)
    errors = sum(counts[kind] for kind in ERRORS)
    if len(foreign) > FOREIGN * errors:
        texts = "\n".join(f"{' ; '.join((*p.setup, p.call))}\n    {text}" for p, text in foreign)
        what = f"{len(foreign)} of {errors} errors are foreign:\n{texts}"
        raise Breach(what, foreign[0][0].text())
    return {"calls": CALLS_PER_SEED, "errors": errors, **{k: counts[k] for k in sorted(counts)}}
