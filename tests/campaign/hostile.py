"""Hostile names on pages, deeply nested texts and spoiled checkpoints: nothing is executed.

Pages of walkthroughs, plans, races and trainings, whose names, labels, formulas and titles are
attempts at injection, and links to the playground with such settings, are opened in Chromium: no
script of theirs runs, no element of theirs exists, and nothing is requested. Expressions are nested
up to a million deep. Of each kind of checkpoint every byte is changed once, over all seeds; its
text is forged under a right digest. All of them load to an error of minidl's own, with every object
as before, or whole.
"""

import contextlib
import io
import json
import random
import shutil
import sys
import tempfile
import threading
import warnings
import zipfile
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parents[1]))

import mutating
import numpy as np

import minidl as dl
from minidl import _archive, _expressions
from minidl._page.server import PageServer
from minidl.viz._playground import given, live
from tests.campaign import calls
from tests.campaign.harness import Breach

SEEDS, SECONDS = 40, 600
FORGED = 100  # texts of a seed
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")

MARK = "window.hit = 1"
NAMES = [
    f"<script>{MARK}</script>",
    f"</script><script>{MARK}</script>",
    f'"><img src=x onerror="{MARK}">',
    f"'><svg onload='{MARK}'>",
    f"</style><script>{MARK}</script><style>",
    "</title><iframe srcdoc='<script>parent.hit = 1</script>'>",
    f"<!--<script>{MARK}</script>-->",
    f"]]><script>{MARK}</script>",
    f"</textarea></template></noscript><script>{MARK}</script>",
    f"';{MARK};//",
    f'";{MARK};//',
    f"\\u0022;{MARK};//",
    f"`${{{MARK}}}`",
    "{{ 7 * 7 }}{% for i in [1] %}{{ i }}{% endfor %}",
    f"javascript:{MARK}",
    "<a href='javascript:window.hit=1' autofocus onfocus='window.hit=1'>x</a>",
    "<base href='http://minidl.invalid/'><link rel=stylesheet href=//minidl.invalid/a.css>",
    "<meta http-equiv=refresh content='0;url=http://minidl.invalid/'>",
    "<math><mtext><script>window.hit=1</script></mtext></math>",
    "&lt;script&gt;window.hit=1&lt;/script&gt;&amp;&#0;",
    "$\\href{javascript:window.hit=1}{x}$ \\[\\] **a** [x](javascript:window.hit=1)",
    "a\u2028b\u2029c\u202ed\u200be\ufefff",
    "\udc80\ud800 \0 \x1b]0;title\x07 \r\n",
    "<" * 2000,
    "a" * 5000,
]
# What a name could bring into a page.
ELEMENTS = "script, img, iframe, object, embed, link, style, form, base, meta"
FOLLOWED = "href", "src", "srcdoc", "action", "formaction", "data"  # attributes with an address
COUNTED = f"""() => [...document.querySelectorAll('{ELEMENTS}')].map(e => e.tagName).sort().join()
    + [...document.querySelectorAll('*')].flatMap(e => [...e.attributes])
        .filter(a => a.name.startsWith('on')
            || ({[*FOLLOWED]}.includes(a.localName) && /^\\s*javascript:/i.test(a.value))).length"""


def missing():
    try:
        import playwright  # noqa: F401
    except ImportError:
        return "playwright"
    return "" if BROWSER else "Chromium"


# --- pages --------------------------------------------------------------------------------------


def bowl(a, b):
    return a * a + 2 * b * b


def walkthrough(name):
    net = dl.nn.Sequential(dl.nn.Dense(2, 2, rng=0), dl.nn.Tanh())
    setattr(net, name.replace(".", "·"), dl.nn.Dense(2, 1, rng=1))
    x = dl.Tensor([[1.0, 2.0]], name=name)
    w = dl.Tensor([[1.0], [2.0]], True, name=name)
    o = dl.optim.SGD([(name, w), *net.named_parameters()], 0.1)
    with dl.trace() as walk:
        (net(x).sum() + (x @ w).sum()).backward()
        o.step()
    return walk.save


def plan(name):
    w = dl.Tensor([[1.0], [2.0]], True, name=name)
    o = dl.optim.SGD([(name, w)], 0.1)

    def train(x):
        o.zero_grad()
        loss = (x @ w).sum()
        loss.backward()
        o.step()
        return loss

    train.__name__ = train.__qualname__ = name.replace("\0", "")
    step = dl.capture(train)
    for _ in range(3):
        step(np.ones((2, 2)))
    return step.plan.save


def race(name):
    surface = dl.viz.Surface(bowl, (-1, 1), (-1, 1), name=name, formula=name)
    return dl.viz.race(surface, {name: "SGD", "plain": "Adam"}, steps=3, lr=0.1).save


def network(name):
    model = dl.nn.MLP([2, 2, 1], "tanh", rng=0)
    x, y = np.eye(2), np.ones((2, 1))
    rules = {name: "SGD"}
    return dl.viz.network_race(
        model, dl.losses.mse, (x, y), rules, steps=2, lr=0.1, resolution=3
    ).save


def in_utf8(text):
    """A function that writes a page with this text, as a notebook would show it."""
    page = f"<!doctype html><meta charset=utf-8>{text}"
    return lambda path: Path(path).write_text(page, "utf-8", "replace")


def notebook(name):
    surface = dl.viz.Surface(bowl, (-1, 1), (-1, 1), name=name, formula=name)
    text = dl.viz.race(surface, {name: "SGD"}, steps=3, lr=0.1)._repr_html_()
    return in_utf8(text)


def graph(name):
    w = dl.Tensor([[1.0], [2.0]], True, name=name)
    y = (w * 2).sum()
    y.name = name
    text = y._repr_svg_()
    return in_utf8(text)


def training(name):
    model = dl.nn.Sequential(dl.nn.Dense(2, 2, rng=0), dl.nn.Tanh())
    setattr(model, name.replace(".", "·"), dl.nn.Dense(2, 1, rng=1))
    recorder = dl.viz.Recorder(every=1)

    def loss(prediction, target):
        return dl.losses.mse(prediction, target)

    loss.__name__ = name
    dl.fit(
        model,
        loss,
        dl.optim.SGD(model, 0.1),
        (np.eye(2), np.ones((2, 1))),
        epochs=2,
        metrics={name: dl.metrics.mae},
        record=recorder,
        progress=False,
    )
    return recorder.save


def served(playground, link=""):
    """The address of a playground, served until this process ends."""
    server = PageServer("playground", playground.html(), playground.answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"{server.url}#{link}"


def playground(name):
    x, y = np.linspace(-1, 1, 20).reshape(10, 2), np.arange(10) % 2
    model = dl.nn.MLP([2, 2, 2], "tanh", rng=0)
    return served(live.Playground(given._settings(model, (x, y), None, 0.3, [name, name])))


def link(name):
    """A link to the playground, whose settings anyone may write."""
    text = quote(name, safe="", errors="replace")
    return served(live.Playground(), f"a.{text}=1&{text}=1&a.lr={text}&hide={text}&then={text}")


PAGES = [walkthrough, plan, race, network, notebook, graph, training, playground, link]
# What the browser says of settings that the playground's server refuses.
REFUSED = "Failed to load resource: the server responded with a status of 400"


def pages(seed, say):
    """Open each page with one of the names: what PAGES return writes it, or is its address."""
    from playwright.sync_api import Error, sync_playwright

    name = NAMES[seed % len(NAMES)]
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        tab, events = browser.new_page(), []
        tab.on("console", lambda message: events.append(message.text))
        tab.on("pageerror", lambda error: events.append(str(error)))
        tab.on("dialog", lambda dialog: events.append(dialog.message) or dialog.dismiss())
        tab.on("request", lambda request: events.append(request.url))
        for make in PAGES:
            say(f"{make.__name__} {name!r}")
            found = []
            for text in ("plain", name):
                path = Path(folder, f"{make.__name__}.html")
                try:
                    made = make(text)
                    address = made if isinstance(made, str) else path.as_uri()
                    if address is not made:
                        made(path)
                except (ValueError, TypeError) as error:
                    if calls.origin(error) != "own":
                        raise
                    break  # a name that is refused
                events.clear()
                tab.goto(address)
                tab.wait_for_load_state("networkidle" if address is made else "load")
                tab.mouse.move(200, 200)
                tab.keyboard.press("ArrowRight")
                try:
                    found.append(tab.evaluate(COUNTED))
                    hit = tab.evaluate("window.hit")
                except Error:  # another page was opened
                    hit = True
                known = (address.partition("#")[0], "about:", "data:", REFUSED)
                own = [event for event in events if not event.startswith(known)]
                if hit or own:
                    raise Breach(f"{make.__name__} of the name {name!r}: {hit!r}, {own}")
            if len(set(found)) > 1:
                raise Breach(f"{make.__name__} of the name {name!r} has other elements: {found}")
        browser.close()
    return {"pages": len(PAGES)}


# --- texts --------------------------------------------------------------------------------------

FORMS = [
    ("(", "0.1", ")"),
    ("[", "0.1", "]"),
    ("-", "1", ""),
    ("WarmUp(", "0.1", ", 3)"),
    ("WarmUp(schedule=", "0.1", ", steps=3)"),
    ("Sequence([(", "0.1", ", 3), 0.1])"),
    ("1+", "1", ""),
    ("2**", "1", ""),
    ("1<", "1", ""),
    ("not ", "1", ""),
    ("lambda:", "1", ""),
    ("1 if 1 else ", "1", ""),
    ("", "a", ".a"),
    ("", "a", "[0]"),
    ("", "a", "()"),
    ("{1:", "1", "}"),
    ("f'{", "1", "}'"),
    ("*", "1", ""),
    ("await ", "1", ""),
    ("a(", "", ""),
    ("'", "", ""),
    ("\\\n", "1", ""),
    ("9", "9", "9"),
]


DEEP = [
    dl.Tensor,
    dl.exp,
    lambda data: dl.Tensor([1.0])[data],
    lambda data: dl.losses.mse([1.0], [1.0], sample_weight=data),
    lambda data: dl.nn.Dense(data, 1),
    lambda data: dl.nn.Dense(1, 1).load_state_dict({"weight": data, "bias": [1.0]}),
    dl.optim.SGD,
    lambda data: dl.save("deep.ckpt", metadata=data) or dl.load("deep.ckpt"),
]


def own(error):
    return calls.origin(error) == "own"


def nested(seed, say):
    """Each form of an expression, nested up to a million deep, and lists as data."""
    count, rng = 0, random.Random(seed)
    for depth in (1, 10, 90, 1000, 10**4, 10**5, 10**6):
        for before, inside, after in rng.sample(FORMS, 8):
            text = before * depth + inside + after * depth
            say(f"schedule({before!r} * {depth} + {inside!r} + {after!r} * {depth})")
            with contextlib.suppress(ValueError):
                _expressions.schedule(text)
            count += 1
        data = 1.0
        for _ in range(depth):
            data = [data]
        for call in DEEP:
            say(f"lists nested {depth} deep")
            count += 1
            try:
                call(data)
            except Exception as error:
                if not own(error):
                    raise Breach(f"{depth} deep: {calls.described(error)[:200]}") from error
    return {"texts": count}


# --- checkpoints --------------------------------------------------------------------------------


class Training:
    """A small training with everything that a checkpoint may hold."""

    def __init__(self):
        x, y = np.linspace(0, 1, 12).reshape(6, 2), np.linspace(0, 1, 6).reshape(6, 1)
        self.model = dl.nn.Sequential(
            dl.nn.Dense(2, 2, rng=0), dl.nn.Dropout(0.5, rng=1), dl.nn.Dense(2, 1, rng=2)
        )
        list(self.model.named_parameters())
        rate = dl.schedulers.WarmUp(dl.schedulers.ReduceOnPlateau(0.1), 3)
        self.optimizer = dl.optim.Adam(self.model, rate)
        self.data = dl.data.DataLoader(x, y, 2, rng=0)
        self.average = dl.optim.average(self.model, 0.9)
        self.stopping = dl.callbacks.EarlyStopping("loss", patience=3)

    def parts(self):
        return {
            "optimizer": self.optimizer,
            "data": self.data,
            "average": self.average,
            "callbacks": [self.stopping],
        }

    def load(self, path):
        return dl.load(path, self.model, **self.parts())

    def save(self, path):
        history = dl.fit(
            self.model,
            dl.losses.mse,
            self.optimizer,
            self.data,
            epochs=1,
            progress=False,
            callbacks=[self.stopping],
        )
        more = {"history": history, "metadata": {"note": ["text", 1, None]}}
        dl.save(path, self.model, **self.parts(), **more)


def spoiled(seed, say):
    """Change bytes of checkpoints, one at a time, and forge their texts."""
    rng, counts = random.Random(seed), {"bytes": 0, "forged": 0, "forged and loaded": 0}
    fresh = Training()
    Training().save("whole.ckpt")
    dl.save("weights.safetensors", fresh.model)
    raw = Path("whole.ckpt").read_bytes()
    for place in range(seed % SEEDS, len(raw), SEEDS):
        other = bytearray(raw)
        other[place] ^= rng.randrange(1, 256)
        say(f"byte {place} of {len(raw)}: {raw[place]} is {other[place]}")
        if try_load(fresh, "spoiled.ckpt", other):
            raise Breach(f"byte {place} changed to {other[place]}, and nobody noticed")
        counts["bytes"] += 1
    weights = Path("weights.safetensors").read_bytes()
    for place in range(seed % SEEDS, len(weights), SEEDS):
        other = bytearray(weights)
        other[place] ^= rng.randrange(1, 256)
        say(f"byte {place} of {len(weights)} of safetensors: {other[place]}")
        try_load(fresh, "spoiled.safetensors", other)  # the format has no checksum
        counts["bytes"] += 1
    text = json.loads(zipfile.ZipFile(io.BytesIO(raw)).read(_archive.TEXT))
    arrays, _ = _archive.read(Path("whole.ckpt"))
    for _ in range(FORGED):
        forged, what = changed(text, rng)
        say(what)
        with contextlib.suppress(RecursionError):  # of json, which can't write it
            _archive.write(Path("forged.ckpt"), arrays, forged)
            loaded = try_load(Training(), "forged.ckpt", None, what)
            counts["forged"] += 1
            counts["forged and loaded"] += loaded
    if Path("executed").exists():
        raise Breach("a checkpoint was executed")
    return counts


CODE = "__import__('os').system('touch executed')"
VALUES = [
    None, True, 0, -1, 2**70, 1.5, float("nan"), float("inf"), "", "a", "\udc80", [], {}, [[]],
    {"array": "missing"}, {"array": [1]}, {"array": None}, {"tuple": 3}, {"tuple": None},
    {"dict": 3}, {"dict": None}, CODE, {"schedule": CODE, "known": True},
    {"schedule": f"Constant({CODE})", "known": True, "memories": [], "observations": []},
    {"schedule": "WarmUp(" * 500 + "1" + ", 3)" * 500, "known": True, "memories": [],
     "observations": []},
]  # fmt: skip


def changed(text, rng):
    """The text of a checkpoint with another value somewhere, or without one; and which."""
    text = json.loads(json.dumps(text))
    places = []

    def walk(value, path):
        keys = value.keys() if isinstance(value, dict) else range(len(value))
        for key in keys:
            places.append((value, key, f"{path}/{key}"))
            if isinstance(value[key], dict | list):
                walk(value[key], f"{path}/{key}")

    walk(text, "")
    owner, key, path = rng.choice(places)
    if rng.random() < 0.1:
        del owner[key]
        return text, f"without {path}"
    value = rng.choice(VALUES)
    if rng.random() < 0.05:
        for _ in range(900):
            value = rng.choice([[value], {"dict": {"a": value}}])
        owner[key] = value
        return text, f"{path} nested"
    owner[key] = value
    return text, f"{path} is {value!r}"


def try_load(training, name, raw, what=""):
    """Whether a file loads; Breach for another error than a clear one, or a change after it."""
    if raw is not None:
        Path(name).write_bytes(raw)
    objects = [training.model, *training.parts().values()]
    if name.endswith(".safetensors"):
        training, load = None, lambda: dl.load(name)
    else:
        load = lambda: training.load(name)  # noqa: E731
    before = mutating.snapshot(objects)
    try:
        load()
    except dl.CheckpointError as error:
        if name not in str(error):
            raise Breach(f"{what}: {error}") from None
    except Exception as error:
        raise Breach(f"{what or name}: {type(error).__name__}: {error}") from error
    else:
        return True
    if (after := mutating.snapshot(objects)) != before:
        raise Breach(f"{what or name}: {mutating.difference(before, after)}")
    return False


def trial(seed, say):
    warnings.simplefilter("ignore")
    counts = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for part in (spoiled, nested, pages):
            counts |= part(seed, say)
    return counts


if __name__ == "__main__":
    print(trial(int(sys.argv[1]), print), file=sys.stderr)
