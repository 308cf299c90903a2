"""Mistakes in the use of optimizers: type checkers must find an error in each marked line alone."""

import numpy as np

import minidl as dl

model, w = dl.nn.MLP([2, 3, 1]), dl.Tensor([1.0], requires_grad=True)
schedule = dl.schedulers.LinearDecay(0.1, 100)

dl.optim.SGD(model, 0.1, momentum=0.9, nesterov=True)
dl.optim.SGD(model, momentm=0.9)  # error: a typo in an option
dl.optim.SGD(model, lr="fast")  # error: a string is not a rate
dl.optim.SGD(model, momentum="big")  # error: a string is not a number
dl.optim.SGD(model, nesterov=0.9)  # error: a number is not a flag
dl.optim.SGD(model, beta=0.9)  # error: an option of another rule
dl.optim.SGD(model, 0.1, 0.9)  # error: options are keyword-only
dl.optim.SGD()  # error: no parameters
dl.optim.SGD(0.1)  # error: a number is not a list of parameters
dl.optim.SGD([np.ones(3)])  # error: an array is not a tensor
dl.optim.SGD(dl.nn.Dense)  # error: a class is not a model
dl.optim.AdamW([w], schedule, betas=(0.9, 0.99), weight_decay=0.1)
dl.optim.AdamW([w], betas=0.9)  # error: betas are two
dl.optim.AdamW([w], betas=(0.9, 0.99, 0.999))  # error: betas are two
dl.optim.AdamW([w], schedul=schedule)  # error: a typo in an argument

adam = dl.optim.Adam([("w", w)])
adam.lr = schedule
adam.lr = "fast"  # error: a string is not a rate
adam.eps = (1e-8,)  # error: a pair is not a number
adam.momentum  # error: an option of another rule  # noqa: B018
rate: dl.schedulers.Schedule = adam.lr  # error: the rate of the next step is a number
dl.optim.clip_grad_norm(model, max_norm="1")  # error: a string is not a number
dl.optim.average(model)  # error: no decay
dl.optim.average(model, decay=0.9)


@dl.capture
def step(x: np.ndarray, y: np.ndarray) -> dl.Tensor:
    return dl.losses.mse(model(x), y)


x = np.ones((4, 2), np.float32)
step(x, x).item()
step(x)  # error: an argument is missing
step(x, x).shap  # error: a typo in an attribute of the result  # noqa: B018
step.epoch(x, x, batch_size=2, ordr=None)  # error: a typo in an argument
dl.fit(model, dl.losses.mse, adam, (x, x), epochs=1, capture="yes")  # error: neither flag nor auto
dl.export.to_c(model, "net.h", names="net")  # error: a typo in an argument

w -= 0.1 * w.grad  # error: the gradient may be None
