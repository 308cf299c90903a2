"""The claims lab: an experiment for each statement of the article on optimizers.

python -m examples.claims                    list the claims
python -m examples.claims momentum           run one, and draw its picture
python -m examples.claims --out docs         run all; write docs/claims.md and docs/claims/*.png

Each claim is a module with `# %%` cells. Its texts are data at its top:

STATEMENT    what the article says, in our words
QUESTION     one sentence
VERDICT      "holds", "only if …" or "not here", for example "only if the network is deep"
ANSWER       the title of the picture; {names} stand for numbers of the run
REASON       why, likewise

and it has three functions:

run()           makes the experiment, and returns its numbers and arrays by name
picture(data)   draws them
evidence(data)  {sentence: whether it is true in this run}, for all that the texts claim
"""

# the claims in the article's order
CLAIMS = {
    "Problems to solve": (
        "choosing_the_rate",
        "vanishing_gradients",
        "oscillation",
        "weight_decay",
        "rate_decay_overfitting",
        "local_minima",
        "saddle_points",
    ),
    "The learning rate": (
        "fixed_rate",
        "rate_decay",
        "adaptive_rate",
        "warm_up",
        "cool_down",
        "rate_too_large",
        "rate_too_small",
        "small_rate_local_minimum",
    ),
    "Gradient descent and its batches": (
        "batch_gradient_descent",
        "stochastic_gradient_descent",
        "mini_batches",
    ),
    "Momentum": (
        "momentum",
        "momentum_overshoots",
        "nag",
    ),
    "A rate for each weight": (
        "adagrad",
        "adagrad_decays",
        "rmsprop",
        "adadelta",
        "adam",
        "adam_generalises",
    ),
    "Online learning and cost": (
        "ftrl",
        "memory_and_cost",
    ),
    "What later rules add": (
        "nadam",
        "adamw",
        "radam",
        "lion",
    ),
}
