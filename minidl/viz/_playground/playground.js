// The playground, after base.js. The server trains; the page asks for steps and draws what they did.
// The state is the settings, which are also the address, and the last answer of the server.

const catalog = JSON.parse($('catalog').textContent);
const { box: BOX, side: SIDE, every: EVERY, limits, defaults } = catalog;
const UNIT_SIDE = Math.ceil(SIDE / EVERY);
const NAMES = ['A', 'B'];
const LABELS = { cross_entropy: 'cross-entropy', binary_cross_entropy: 'binary cross-entropy',
  mse: 'squared error', mae: 'absolute error', huber: 'Huber', leaky_relu: 'leaky ReLU', relu: 'ReLU',
  elu: 'ELU', gelu: 'GELU', silu: 'SiLU', auto: 'automatic', own: 'own points' };
const label = (name) => LABELS[name] ?? name.replaceAll('_', ' ');

let settings = readAddress();
let session = null; // the server's name for this tab's training
let state = null; // the last answer, with the whole history of each run
let shown = 0; // the run whose network is shown
let selected = null; // [layer, unit] that is inspected; layer 1 is the first with weights
let pen = 0; // the class of points that are drawn
let running = false;
let csv = null; // {names, rows} of a file whose columns are being chosen

// ---- The address

function readAddress() {
  const own = structuredClone(defaults);
  const given = new URLSearchParams(location.hash.slice(1));
  const value = (text, like) => (typeof like === 'number' ? Number(text) : text);
  for (const [key, text] of given) {
    if (key === 'layers') own.layers = text ? text.split(',').map(Number) : [];
    else if (key === 'points') own.points = text.split(';').map((p) => p.split(',').map(Number));
    else if (key in own && key !== 'runs') own[key] = value(text, own[key]);
    else if (/^[ab]\./.test(key)) {
      const run = own.runs['ab'.indexOf(key[0])] ??= structuredClone(own.runs[0]);
      const name = key.slice(2);
      if (name === 'batch_size') run.batch_size = text === 'all' ? null : Number(text);
      else if (name === 'rule' || name === 'lr') run[name] = text;
      else attempt(() => { run.options[name] = JSON.parse(text); });
    }
  }
  return own;
}

function address() {
  const fields = new URLSearchParams();
  for (const [key, value] of Object.entries(settings)) {
    if (JSON.stringify(value) === JSON.stringify(defaults[key]) || key === 'runs') continue;
    if (key === 'points') {
      if (settings.data === 'own') fields.set(key, value.map((p) => p.join(',')).join(';'));
    } else fields.set(key, value);
  }
  settings.runs.forEach((run, i) => {
    for (const name of ['rule', 'lr', 'batch_size']) {
      if (i || run[name] !== defaults.runs[0][name]) {
        fields.set(`${'ab'[i]}.${name}`, run[name] ?? 'all');
      }
    }
    for (const [name, value] of Object.entries(run.options)) {
      fields.set(`${'ab'[i]}.${name}`, JSON.stringify(value));
    }
  });
  if (hiddenParts.length) fields.set('hide', hiddenParts);
  return `#${fields.toString().replaceAll('%2C', ',').replaceAll('%3B', ';')}`;
}

const hiddenParts = (new URLSearchParams(location.hash.slice(1)).get('hide') ?? '').split(',')
  .filter(Boolean);

// ---- Questions to the server, one after the other

let line = Promise.resolve();
const ask = (name, question) => (line = line.then(() => send(name, question)));

async function send(name, question) {
  try {
    const body = JSON.stringify({ session, ...question });
    const response = await fetch(name, { method: 'POST', body });
    const answer = await response.json();
    problem(answer.error ?? '');
    if (!answer.error) return answer;
    if (answer.error.includes('no longer kept')) {
      session = null;
      problem(answer.error, true);
    }
  } catch {
    problem('The server does not answer. It ends with the command that started it.', true);
  }
  pause();
  return null;
}

function problem(text, again = false) {
  const own = $('problem');
  own.hidden = !text;
  own.replaceChildren(text.replace(/^playground: /, ''));
  if (again) {
    own.append(' ', make('button', { class: 'small', type: 'button', click: () => start() },
      'Try again'));
  }
}

async function start() {
  const answer = await ask('start', { settings });
  if (answer) takeWhole(answer);
}

// A change of the settings: with the weights kept if they fit, unless the reader chose otherwise.
async function change(edit, again = $('keep').value === 'again') {
  edit(settings);
  repair();
  if (settings.data === 'own' && settings.points.length < 4) return showSetup();
  const fits = state && JSON.stringify(sizes()) === JSON.stringify(state.sizes)
    && settings.runs.length === state.runs.length && session;
  const answer = fits && !again ? await ask('change', { settings }) : await ask('start', { settings });
  if (answer) takeWhole(answer);
  else if (state) showSetup();
}

function classes() {
  if (settings.data !== 'own') return catalog.data[settings.data].classes;
  return Math.max(2, ...settings.points.map((point) => point[2] + 1));
}

function sizes() {
  const count = classes();
  const one = count === 0 || (count === 2 && settings.loss === 'binary_cross_entropy');
  return [settings.data === 'own' ? 2 : catalog.data[settings.data].inputs, ...settings.layers,
    one ? 1 : count];
}

function repair() { // a loss that fits the data
  const losses = catalog.losses[classes() ? 'classes' : 'values'];
  if (!losses.includes(settings.loss)) [settings.loss] = losses;
}

// ---- Answers

function unpackRun(run, before) {
  const rows = unpack(run.rows, Float64Array);
  const table = before && before.version === run.version ? before.table.slice(0, run.from) : [];
  for (let i = 0; i < rows.length; i += run.width) table.push(rows.subarray(i, i + run.width));
  return { ...run, table,
    maps: run.maps.map((text) => unpack(text, Int8Array)),
    output: state?.classes ?? classes() ? unpack(run.output, Uint8Array) : unpack(run.output, Float32Array),
    parameters: run.parameters.map((own) => ({ ...own, value: unpack(own.value, Float32Array),
      ...Object.fromEntries(['grad', 'update', 'effective'].map(
        (name) => [name, own[name] && unpack(own[name], Float32Array)])) })) };
}

function takeWhole(answer) {
  session = answer.session ?? session;
  ({ settings } = answer);
  state = { ...answer, runs: null };
  state.runs = answer.runs.map((run) => unpackRun(run, null));
  state.points = { train: pairs(answer.data.x, answer.data.y), test: pairs(answer.data.xTest, answer.data.yTest) };
  shown = Math.min(shown, state.runs.length - 1);
  if (selected && !(selected[0] < state.sizes.length && selected[1] < state.sizes[selected[0]])) selected = null;
  attempt(() => history.replaceState(null, '', address()));
  showSetup();
  buildNetwork();
  buildOutput();
  buildCharts();
  draw();
}

function pairs(x, y) {
  const [points, values] = [unpack(x, Float32Array), unpack(y, Float32Array)];
  const inputs = state.sizes[0];
  return [...values].map((value, i) => ({ at: [...points.subarray(i * inputs, (i + 1) * inputs)], value }));
}

// Ask for steps; the state is set as soon as the answer is there. Draws nothing.
async function request(steps) {
  const seen = state.runs.map(({ version, table }) => [version, table.length]);
  const detail = !running || selected !== null || $('lines').value === 'effective';
  const answer = await ask('frame', { steps, seen, detail });
  if (!answer) return false;
  state.runs = answer.runs.map((run, i) => unpackRun(run, state.runs[i]));
  if (answer.seconds > 0) fast = clamp(Math.round(fast * (answer.seconds < 0.01 ? 1.3 : 0.8)), 10, limits.steps);
  return true;
}

async function advance(steps) {
  if (await request(steps)) draw();
}

// ---- Playing

let fast = 50; // steps of a frame as fast as possible

async function run() { // the server takes the next steps while the page draws the last ones
  running = true;
  showPlaying();
  let [last, owed] = [performance.now(), 1];
  while (running && session) {
    const speed = Number($('speed').value);
    const now = performance.now();
    owed = Math.min(owed + (speed * (now - last)) / 1000, limits.steps);
    last = now;
    const steps = speed ? Math.floor(owed) : fast;
    if (steps > 0) owed -= speed ? steps : 0;
    const answered = steps > 0 ? request(steps) : null;
    draw();
    await answered;
    if (state.runs.some(({ table }) => !Number.isFinite(table.at(-1)[1]))) pause();
    await new Promise(requestAnimationFrame);
  }
  await advance(0); // what was left out while playing
}

function pause() {
  if (!running) return;
  running = false;
  showPlaying();
  announceNow();
}

function showPlaying() {
  $('controls').classList.toggle('playing', running);
  $('play').setAttribute('aria-label', running ? 'Pause' : 'Play');
}

const toggle = () => (running ? pause() : run());

async function take(steps) {
  pause();
  await advance(steps);
  announceNow();
}

async function rewind(step) {
  pause();
  const answer = await ask('rewind', { step });
  if (answer) takeWhole(answer);
  announceNow();
}

const remembered = () => state.runs[0].remembered;

function back() {
  const before = remembered().filter((step) => step < state.runs[0].step);
  if (before.length) rewind(before.at(-1));
}

async function again() {
  pause();
  await start();
  announceNow();
}

const KEYS = { ' ': toggle, Home: again, ArrowLeft: back, ArrowRight: () => take(1),
  End: () => take(state.runs[0].epochLength) };

function prepareKeys() {
  const buttons = { again, back, play: toggle, step: KEYS.ArrowRight, epoch: KEYS.End };
  for (const [id, action] of Object.entries(buttons)) $(id).addEventListener('click', () => action());
  $('scrub').addEventListener('change', () => rewind(remembered()[Number($('scrub').value)]));
  addEventListener('keydown', (event) => {
    const { key, defaultPrevented, ctrlKey, metaKey, altKey, shiftKey, target } = event;
    if (defaultPrevented || ctrlKey || metaKey || altKey || shiftKey || !KEYS[key] || !state) return;
    const own = key === ' ' ? 'button, summary, select, input, textarea' : 'select, input, textarea, .scroll';
    if (document.querySelector('dialog[open]') || target.closest(own)) return;
    event.preventDefault();
    KEYS[key]();
  });
  addEventListener('click', ({ detail, target }) => { // so that the space bar plays
    if (detail && target.closest('.buttons, .scrub')) document.activeElement.blur();
  });
}

// ---- Numbers as text

const show = (x, digits = 3) => (x === null || x === undefined || Number.isNaN(x) ? '–'
  : !Number.isFinite(x) ? (x > 0 ? '∞' : '−∞')
  : x !== 0 && (Math.abs(x) < 1e-3 || Math.abs(x) >= 1e5) ? x.toExponential(digits - 1).replace('-', '−')
  : Number(x.toPrecision(digits)).toString().replace('-', '−'));
const brief = (x) => (x !== 0 && Math.abs(x) < 1e-3 ? show(x, 1) : show(x, 2));
const percent = (x) => (Number.isNaN(x) ? '–' : `${(100 * x).toFixed(1)} %`);

function summary() {
  return state.runs.map((run, i) => {
    const [step, loss, accuracy, test, testAccuracy, rate] = run.table.at(-1);
    const name = state.runs.length > 1 ? `${NAMES[i]}: ` : '';
    const right = state.classes ? `, accuracy ${percent(accuracy)} (test ${percent(testAccuracy)})` : '';
    return `${name}step ${step}, loss ${show(loss)} (test ${show(test)})${right}, rate ${show(rate)}.`;
  });
}

function announceNow() {
  if (!state) return;
  const remarks = state.runs.flatMap(({ remarks: own }) => own.map(([, text]) => text));
  $('live').textContent = [...summary(), ...remarks].join(' ');
}

function asText() {
  const run = state.runs[shown];
  const lines = [...summary(), '', `Network ${state.sizes.join('–')}, ${label(settings.activation)}:`];
  for (const own of run.parameters) {
    const width = own.shape.at(-1);
    lines.push(`${own.name} (${own.shape.join(' × ')})`);
    for (let i = 0; i < own.value.length; i += width) {
      lines.push('  ' + [...own.value.subarray(i, i + width)].map((x) => show(x).padStart(9)).join(' '));
    }
  }
  return lines.join('\n');
}

// ---- Fields

function select(name, options, value, set) {
  const input = make('select', { 'aria-label': name, change: () => set(input.value) },
    options.map((option) => make('option', { value: option }, label(String(option)))));
  input.value = value;
  return make('label', { class: 'field' }, make('span', {}, name), input);
}

function slider(name, value, { low, high, step, shown: text = (x) => String(x) }, set) {
  const output = make('output', {}, text(value));
  const input = make('input', { type: 'range', min: low, max: high, step, value, 'aria-label': name,
    'aria-valuetext': text(value),
    input: () => {
      output.textContent = text(Number(input.value));
      input.setAttribute('aria-valuetext', output.textContent);
    },
    change: () => set(Number(input.value)) });
  return make('label', { class: 'field slider' }, make('span', {}, name, ' '), output, input);
}

function entry(name, value, set, attributes = {}) {
  const input = make('input', { type: 'text', 'aria-label': name, value, autocomplete: 'off', spellcheck: 'false', ...attributes,
    change: () => set(input.value, input) });
  return make('label', { class: 'field' }, make('span', {}, name), input);
}

function check(name, value, set) {
  const input = make('input', { type: 'checkbox', change: () => set(input.checked) });
  input.checked = value;
  return make('label', { class: 'check' }, input, name);
}

function showSetup() {
  const focus = document.activeElement?.dataset?.focus ?? focusKey(document.activeElement);
  const own = settings.data === 'own';
  for (const button of $('sets').children) {
    button.setAttribute('aria-pressed', button.dataset.name === settings.data);
  }
  $('own').hidden = !own;
  [...$('pens').children].forEach((button, i) => button.setAttribute('aria-pressed', i === pen));
  const percentage = (x) => `${Math.round(100 * x)} %`;
  $('data-fields').replaceChildren(...[
    !own && slider('samples', settings.samples, { low: 20, high: limits.samples, step: 20 },
      (x) => change((s) => { s.samples = x; })),
    !own && slider('noise', settings.noise, { low: 0, high: 0.6, step: 0.02 },
      (x) => change((s) => { s.noise = x; })),
    slider('test part', settings.test, { low: 0, high: 0.8, step: 0.1, shown: percentage },
      (x) => change((s) => { s.test = x; })),
    entry('seed', settings.seed, (x) => change((s) => { s.seed = Math.trunc(Number(x)) || 0; }, true),
      { inputmode: 'numeric' }),
  ].filter(Boolean));
  const losses = catalog.losses[classes() ? 'classes' : 'values'];
  $('net-fields').replaceChildren(
    select('activation', catalog.activations, settings.activation, (x) => change((s) => { s.activation = x; })),
    select('initializer', catalog.inits, settings.init, (x) => change((s) => { s.init = x; }, true)),
    select('loss', losses, settings.loss, (x) => change((s) => { s.loss = x; })),
    slider('dropout', settings.dropout, { low: 0, high: 0.8, step: 0.05, shown: percentage },
      (x) => change((s) => { s.dropout = x; })));
  const open = [...$('runs').children].map((own) => own.querySelector('details').open);
  $('runs').replaceChildren(...settings.runs.map(runFields));
  [...$('runs').children].forEach((own, i) => { own.querySelector('details').open = open[i] ?? false; });
  $('compare').setAttribute('aria-pressed', settings.runs.length === 2);
  $('which').hidden = settings.runs.length < 2;
  $('which').replaceChildren(...settings.runs.map((_, i) => make('button', { type: 'button',
    'aria-pressed': i === shown, click: () => { shown = i; showSetup(); draw(); } }, NAMES[i])));
  for (const part of document.querySelectorAll('[data-part]')) {
    if (hiddenParts.includes(part.dataset.part)) part.hidden = true;
  }
  if (focus) [...document.querySelectorAll('main :is(input, select, button)')]
    .find((element) => focusKey(element) === focus)?.focus();
}

// What names a field after it has been made anew
const focusKey = (element) => {
  if (!element?.closest?.('.fields, #which')) return null;
  const section = element.closest('[data-run]')?.dataset.run ?? '';
  return `${section} ${element.getAttribute('aria-label') ?? element.closest('label')?.textContent
    ?? element.textContent} ${element.tagName}`;
};

const RATE_TEXT = /^\s*[\d.e+-]+\s*$/i;

function runFields(run, i) {
  const rule = catalog.rules[run.rule];
  const set = (edit) => change((s) => edit(s.runs[i]));
  const batches = [1, 2, 4, 8, 16, 32, 64, 128, 'all'];
  if (run.batch_size && !batches.includes(run.batch_size)) batches.unshift(run.batch_size);
  const plain = RATE_TEXT.test(run.lr);
  const position = Math.round(20 * Math.log10(Math.max(1e-5, Number(run.lr)))); // of the rate's slider
  const rateAt = (at) => (at === position ? Number(run.lr) : Number((10 ** (at / 20)).toPrecision(2)));
  const fields = [
    select('rule', Object.keys(catalog.rules), run.rule, (x) => set((r) => {
      if (RATE_TEXT.test(r.lr) && Number(r.lr) === startRate(r.rule)) r.lr = String(startRate(x));
      r.rule = x;
      r.options = {};
    })),
    plain && slider('rate η', position, { low: -100, high: 20, step: 1, shown: (at) => show(rateAt(at)) },
      (at) => set((r) => { r.lr = String(rateAt(at)); })),
    select('schedule', ['constant', ...Object.keys(SCHEDULES), ...(plain || scheduleOf(run) in SCHEDULES ? [] : [scheduleOf(run)])],
      plain ? 'constant' : scheduleOf(run), (x) => set((r) => {
        const peak = plain ? Number(r.lr) : 0.03;
        r.lr = x === 'constant' ? String(peak) : SCHEDULES[x]?.(peak) ?? r.lr;
      })),
    !plain && entry('its formula', run.lr, (x) => set((r) => { r.lr = x; }), { class: 'wide' }),
    select('batch size', batches, run.batch_size ?? 'all', (x) => set((r) => {
      r.batch_size = x === 'all' ? null : Number(x);
    })),
  ];
  const options = Object.entries(rule.options).map(([name, standard]) => {
    const value = run.options[name] ?? standard;
    const put = (x) => set((r) => { r.options[name] = x; });
    if (typeof value === 'boolean') return check(label(name), value, put);
    const text = Array.isArray(value) ? value.join(', ') : String(value);
    return entry(label(name), text, (x) => put(Array.isArray(standard) ? x.split(',').map(Number) : Number(x)));
  });
  return make('div', { class: 'run fields', 'data-run': i },
    settings.runs.length > 1 && make('h3', {}, make('i', { class: `swatch run-${i}` }), NAMES[i]),
    fields.filter(Boolean),
    make('details', { class: 'options' }, make('summary', {}, `equations and options of ${run.rule}`),
      make('pre', { class: 'scroll', tabindex: 0, 'aria-label': `equations of ${run.rule}` }, rule.equations),
      make('div', { class: 'fields' }, options)));
}

const startRate = (rule) => ({ SGD: 0.1, Momentum: 0.3, NAG: 0.3, Adagrad: 0.05, Lion: 0.001,
  Adadelta: 1, FTRL: 0.1 }[rule] ?? 0.01);
const scheduleOf = (run) => /^\s*(\w+)/.exec(run.lr)?.[1] ?? '';
const SCHEDULES = {
  StepDecay: (x) => `StepDecay(${x}, 500, 0.5)`,
  ExponentialDecay: (x) => `ExponentialDecay(${x}, 0.999)`,
  InverseTimeDecay: (x) => `InverseTimeDecay(${x}, 0.005)`,
  LinearDecay: (x) => `LinearDecay(${x}, 2000)`,
  PolynomialDecay: (x) => `PolynomialDecay(${x}, 2000, power=2)`,
  CosineDecay: (x) => `CosineDecay(${x}, 2000)`,
  CosineRestarts: (x) => `CosineRestarts(${x}, 500, 2)`,
  InverseSqrtDecay: (x) => `InverseSqrtDecay(${x}, 200)`,
  PiecewiseConstant: (x) => `PiecewiseConstant([500, 1500], [${x}, ${x / 4}, ${x / 16}])`,
  Triangular: (x) => `Triangular(${x / 10}, ${x}, 400)`,
  OneCycle: (x) => `OneCycle(${x}, 2000)`,
  WarmUp: (x) => `WarmUp(CosineDecay(${x}, 1800), 200)`,
  CoolDown: (x) => `CoolDown(Constant(${x}), 1500, 500)`,
  Hold: (x) => `Hold(CosineDecay(${x}, 2000), 1000)`,
  Sequence: (x) => `Sequence([(Constant(${x}), 500), CosineDecay(${x}, 1500)])`,
  warmup_stable_decay: (x) => `warmup_stable_decay(${x}, 200, 1300, 500)`,
};

// ---- Colors

const COLOURS = ['--class-0', '--class-1', '--class-2', '--class-3'];
let palette = null;

function readColours() {
  const probe = make('canvas', { width: 1, height: 1 }).getContext('2d', { willReadFrequently: true });
  const element = make('span', { hidden: '' });
  document.body.append(element);
  const rgb = (name) => {
    element.style.color = `var(${name})`;
    probe.fillStyle = getComputedStyle(element).color;
    probe.fillRect(0, 0, 1, 1);
    return [...probe.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  };
  palette = Object.fromEntries([...COLOURS, '--card', '--ink', '--soft', '--line', '--negative', '--positive',
    '--run-0', '--run-1'].map((name) => [name, rgb(name)]));
  element.remove();
  makeTables();
}

const css = (rgb, alpha = 1) => `rgba(${rgb.join(',')},${alpha})`;
const mix = (a, b, t) => a.map((x, i) => x + (b[i] - x) * t);

// A value from −1 to 1 as a color: one side negative, the other positive, 0 the card
function signed(t) {
  const strength = 0.85 * Math.min(1, Math.abs(t));
  return mix(palette['--card'], palette[t < 0 ? '--negative' : '--positive'], strength);
}

// Colors by number, for the pixels of maps: of signed values −127 … 127, and of each class 0 … 255
let tables = null;

const pixel = ([r, g, b]) => (255 << 24 | Math.round(b) << 16 | Math.round(g) << 8 | Math.round(r)) >>> 0;

function makeTables() {
  const steps = Array.from({ length: 256 }, (_, i) => i);
  const fade = (name, from, to) => Uint32Array.from(steps, (i) =>
    pixel(mix(palette['--card'], palette[name], from + ((to - from) * i) / 255)));
  tables = { signed: Uint32Array.from(steps, (i) => pixel(signed((i - 127) / 127))),
    sure: COLOURS.map((name) => fade(name, 0.06, 0.56)), share: COLOURS.map((name) => fade(name, 0, 0.85)) };
}

const tone = (t) => tables.signed[Math.round(127 * clamp(t || 0, -1, 1)) + 127];

// A canvas of so many points, whose colors are a function of their number
function paint(canvas, colourAt) {
  const { width, height } = canvas;
  const context = canvas.context ??= canvas.getContext('2d');
  const pixels = canvas.pixels ??= context.createImageData(width, height);
  const words = new Uint32Array(pixels.data.buffer);
  for (let i = 0; i < words.length; i++) words[i] = colourAt(i);
  context.putImageData(pixels, 0, 0);
}

// ---- The network

let places = []; // of each unit: layer by layer {x, y, size, button, canvas}

function buildNetwork() {
  const net = $('net');
  const counts = state.sizes;
  const width = net.clientWidth || 600;
  const height = Math.max(300, Math.min(460, 60 + 46 * Math.max(...counts)));
  net.style.height = `${height}px`;
  net.querySelectorAll('.node, .layer').forEach((element) => element.remove());
  $('edges').setAttribute('viewBox', `0 0 ${width} ${height}`);
  const top = 44;
  const margin = 34;
  places = counts.map((count, l) => {
    const x = counts.length > 1 ? margin + (l * (width - 2 * margin)) / (counts.length - 1) : width / 2;
    const pitch = Math.min(58, (height - top - 8) / count);
    const size = Math.max(16, Math.min(44, pitch - 6, (width - 2 * margin) / counts.length / 1.4));
    if (l > 0 && l < counts.length - 1) net.append(layerButtons(l, x));
    else net.append(make('span', { class: 'layer', style: `left:${x}px` }, l ? 'output' : 'input'));
    return Array.from({ length: count }, (_, u) => {
      const y = top + (height - top) / 2 + (u - (count - 1) / 2) * pitch;
      const canvas = make('canvas', { width: UNIT_SIDE, height: UNIT_SIDE, 'aria-hidden': 'true' });
      const button = make('button', { type: 'button', class: 'node', title: '',
        style: `left:${x - size / 2}px;top:${y - size / 2}px;width:${size}px;height:${size}px`,
        click: () => inspect(l, u) }, canvas, l > 0 && make('i', { class: 'bias' }));
      button.dataset.at = `${l},${u}`;
      if (l === 0) {
        button.disabled = true;
        button.setAttribute('aria-label', `input ${'xy'[u]}`);
        button.append(make('b', {}, 'xy'[u]));
      }
      net.append(button);
      return { x, y, size, button, canvas };
    });
  });
  drawInputs();
  $('edges').replaceChildren(...places.slice(1).flatMap((layer, l) => places[l].flatMap((from) =>
    layer.map((to) => {
      const [x1, x2] = [from.x + from.size / 2, to.x - to.size / 2];
      const middle = (x1 + x2) / 2;
      return make('path', { d: `M${x1} ${from.y}C${middle} ${from.y} ${middle} ${to.y} ${x2} ${to.y}` });
    }))));
  $('fewer').setAttribute('aria-disabled', settings.layers.length === 0);
  $('more').setAttribute('aria-disabled', settings.layers.length === limits.layers);
}

function layerButtons(l, x) {
  const count = settings.layers[l - 1];
  const set = (by) => {
    const wanted = clamp(count + by, 1, limits.units);
    if (wanted !== count) change((s) => { s.layers[l - 1] = wanted; });
  };
  const button = (sign, by, text, off) => make('button', { type: 'button', class: 'pm',
    'aria-label': text, 'aria-disabled': off, click: () => set(by) }, sign);
  return make('span', { class: 'layer', style: `left:${x}px` },
    button('−', -1, `Remove a unit of layer ${l}`, count === 1), String(count),
    button('+', 1, `Add a unit to layer ${l}`, count === limits.units));
}

function drawInputs() {
  places[0].forEach(({ canvas }, u) => paint(canvas, (i) => {
    const [column, row] = [i % UNIT_SIDE, Math.floor(i / UNIT_SIDE)];
    return tone((u === 0 ? column / (UNIT_SIDE - 1) : 1 - row / (UNIT_SIDE - 1)) * 2 - 1);
  }));
}

const weightsOf = (run, layer) => run.parameters[2 * (layer - 1)];
const biasesOf = (run, layer) => run.parameters[2 * (layer - 1) + 1];

function drawNetwork() {
  const run = state.runs[shown];
  const kind = $('lines').value;
  const curve = state.sizes[0] === 1;
  let path = $('edges').firstElementChild;
  for (let l = 1; l < places.length; l++) {
    const weights = weightsOf(run, l);
    const values = weights[kind];
    const largest = values ? values.reduce((top, x) => Math.max(top, Math.abs(x) || 0), 0) : 0;
    const next = places[l].length;
    places[l - 1].forEach((_, i) => places[l].forEach((__, j) => {
      const w = values?.[i * next + j] ?? 0;
      const share = largest ? Math.abs(w) / largest : 0;
      const own = path.style;
      path = path.nextElementSibling;
      own.stroke = `var(${w < 0 ? '--negative' : '--positive'})`;
      own.strokeWidth = 0.4 + 4.2 * share;
      own.strokeOpacity = 0.25 + 0.65 * share;
    }));
    const biases = biasesOf(run, l).value;
    const top = biases.reduce((high, x) => Math.max(high, Math.abs(x) || 0), 1e-9);
    places[l].forEach(({ button, canvas }, u) => {
      const mark = button.querySelector('.bias');
      mark.style.background = `var(${biases[u] < 0 ? '--negative' : '--positive'})`;
      mark.style.setProperty('--size', (0.25 + 0.45 * Math.abs(biases[u]) / top).toFixed(3));
      const idle = run.idle[l - 1]?.[u] ?? 0;
      button.classList.toggle('idle', l < places.length - 1 && idle === 1);
      button.setAttribute('aria-pressed', selected?.[0] === l && selected[1] === u);
      button.setAttribute('aria-label', `${l === places.length - 1 ? 'output' : `layer ${l}, unit`} ${u + 1}, bias ${show(biases[u])}`);
      if (l === places.length - 1) return drawOutputUnit(canvas, run, u);
      const map = run.maps[l - 1];
      const count = curve ? map.length / places[l].length : UNIT_SIDE ** 2;
      const at = curve ? (i) => Math.round((i % UNIT_SIDE) * (count - 1) / (UNIT_SIDE - 1)) : (i) => i;
      return paint(canvas, (i) => tables.signed[map[u * count + at(i)] + 127]);
    });
  }
}

function drawOutputUnit(canvas, run, u) {
  const last = places.at(-1).length;
  const column = (i) => Math.min(SIDE - 1, EVERY * (i % UNIT_SIDE));
  const row = (i) => Math.min(SIDE - 1, EVERY * Math.floor(i / UNIT_SIDE));
  if (!state.classes) {
    const top = run.output.reduce((high, x) => Math.max(high, Math.abs(x) || 0), 1e-9);
    const at = state.sizes[0] === 1
      ? (i) => Math.round((i % UNIT_SIDE) * (run.output.length - 1) / (UNIT_SIDE - 1))
      : (i) => row(i) * SIDE + column(i);
    return paint(canvas, (i) => tone(run.output[at(i)] / top));
  }
  const k = last === 1 ? 1 : u;
  return paint(canvas, (i) => tables.share[k][run.output[k * SIDE * SIDE + row(i) * SIDE + column(i)]]);
}

// Hovering a line: the weight whose curve is nearest to the pointer
function nearestLine(x, y) {
  let best = [9, null];
  for (let l = 1; l < places.length; l++) {
    places[l - 1].forEach((from, i) => places[l].forEach((to, j) => {
      const [x1, x2] = [from.x + from.size / 2, to.x - to.size / 2];
      if (x < x1 || x > x2) return;
      let [low, high] = [0, 1]; // x along the curve is monotonic in its parameter
      for (let k = 0; k < 20; k++) {
        const t = (low + high) / 2;
        const middle = (x1 + x2) / 2;
        const at = (1 - t) ** 3 * x1 + 3 * (1 - t) ** 2 * t * middle + 3 * (1 - t) * t * t * middle + t ** 3 * x2;
        if (at < x) low = t; else high = t;
      }
      const t = (low + high) / 2;
      const at = from.y + (to.y - from.y) * (3 * t * t - 2 * t ** 3);
      const distance = Math.abs(at - y);
      if (distance < best[0]) best = [distance, [l, i, j]];
    }));
  }
  return best[1];
}

function prepareNetwork() {
  const net = $('net');
  net.addEventListener('pointermove', (event) => {
    if (!state || event.target.closest('.layer')) return hideTip();
    const bounds = net.getBoundingClientRect();
    const [x, y] = [event.clientX - bounds.left, event.clientY - bounds.top];
    const node = event.target.closest('.node');
    const run = state.runs[shown];
    if (node) {
      const [l, u] = node.dataset.at.split(',').map(Number);
      if (!l) return hideTip();
      const idle = run.idle[l - 1]?.[u];
      const word = settings.activation === 'relu' ? '0 for' : 'saturated for';
      return tip(event, `layer ${l}, unit ${u + 1}: bias ${exact(biasesOf(run, l).value[u])}`
        + (idle !== undefined && l < places.length - 1 ? `; ${word} ${percent(idle)} of the samples` : ''));
    }
    const found = nearestLine(x, y);
    if (!found) return hideTip();
    const [l, i, j] = found;
    const own = weightsOf(run, l);
    const at = i * places[l].length + j;
    const more = ['grad', 'update', 'effective'].filter((name) => own[name])
      .map((name) => `${WORDS[name]} ${show(own[name][at], 4)}`);
    return tip(event, [`${own.name}[${i}, ${j}] = ${exact(own.value[at])}`, ...more].join('\n'));
  });
  net.addEventListener('pointerleave', hideTip);
  net.addEventListener('click', (event) => {
    if (event.target.closest('button') || !state) return;
    const bounds = net.getBoundingClientRect();
    const found = nearestLine(event.clientX - bounds.left, event.clientY - bounds.top);
    if (found) inspect(found[0], found[2], found[1]);
  });
  $('lines').addEventListener('change', draw);
  $('fewer').addEventListener('click', () => settings.layers.length
    && change((s) => { s.layers.pop(); }));
  $('more').addEventListener('click', () => settings.layers.length < limits.layers
    && change((s) => { s.layers.push(s.layers.at(-1) ?? 4); }));
}

const WORDS = { value: 'weight', grad: 'gradient', update: 'last update', effective: 'effective rate' };
const exact = (x) => String(Number(x.toPrecision(7))).replace('-', '−');

function tip(event, text) {
  const own = $('tooltip');
  own.hidden = false;
  own.textContent = text;
  own.style.left = `${Math.min(event.clientX + 14, innerWidth - own.offsetWidth - 8)}px`;
  own.style.top = `${event.clientY + 16}px`;
}

function hideTip() {
  $('tooltip').hidden = true;
}

// ---- The selected unit: its numbers, which can be edited

function inspect(layer, unit, input = null) {
  selected = selected && input === null && selected[0] === layer && selected[1] === unit ? null : [layer, unit];
  draw();
  if (input !== null) $('unit').querySelectorAll('input')[input]?.focus();
}

function drawUnit() {
  const card = $('unit');
  card.hidden = !selected || hiddenParts.includes('unit');
  if (card.hidden) return;
  const [layer, unit] = selected;
  const run = state.runs[shown];
  const key = `${shown} ${layer} ${unit} ${state.sizes}`;
  const count = state.sizes[layer - 1];
  const width = state.sizes[layer];
  const from = (i) => (layer === 1 ? 'xy'[i] : `unit ${i + 1}`);
  const [weights, biases] = [weightsOf(run, layer), biasesOf(run, layer)];
  const rows = [...Array.from({ length: count }, (_, i) => [from(i), weights, i * width + unit, [i, unit]]),
    ['bias', biases, unit, [unit]]];
  if (card.dataset.key !== key) {
    card.dataset.key = key;
    const edit = (name, index) => async ({ target }) => {
      const value = Number(target.value.replace('−', '-').replace(',', '.'));
      pause();
      const answer = target.value.trim() && Number.isFinite(value)
        ? await ask('edit', { run: shown, name, index, value }) : null;
      if (answer) takeWhole(answer); else draw();
    };
    card.replaceChildren(
      make('div', { class: 'headline' },
        make('h2', {}, `${layer === places.length - 1 ? 'Output' : `Layer ${layer}, unit`} ${unit + 1}`),
        make('button', { class: 'small', type: 'button', click: () => { selected = null; draw(); } }, 'Close')),
      make('p', { class: 'soft idle-text' }),
      make('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Numbers of the unit' },
        make('table', {}, make('thead', {}, make('tr', {}, ['from', 'weight', 'gradient', 'last update', 'effective rate']
          .map((text) => make('th', { scope: 'col' }, text)))),
          make('tbody', {}, rows.map(([name, own, , index]) => make('tr', {},
            make('th', { scope: 'row' }, name),
            make('td', {}, make('input', { type: 'text', inputmode: 'decimal', autocomplete: 'off',
              'aria-label': name === 'bias' ? 'bias' : `weight from ${name}`, change: edit(own.name, index) })),
            make('td'), make('td'), make('td')))))));
  }
  const idle = run.idle[layer - 1]?.[unit];
  card.querySelector('.idle-text').textContent = idle === undefined || layer === places.length - 1 ? ''
    : `${settings.activation === 'relu' ? 'It gives 0 for' : 'It is saturated for'} ${percent(idle)} of the training samples.`;
  card.querySelectorAll('tbody tr').forEach((row, r) => {
    const [, own, at] = rows[r];
    const [, first, ...others] = row.children;
    if (document.activeElement !== first.firstChild) first.firstChild.value = exact(own.value[at]).replace('−', '-');
    ['grad', 'update', 'effective'].forEach((name, k) => {
      others[k].textContent = own[name] ? show(own[name][at], 4) : '–';
    });
  });
}

// ---- The output: the map with the points

function buildOutput() {
  $('maps').classList.toggle('two', state.runs.length > 1);
  $('maps').replaceChildren(...state.runs.map((_, i) => make('figure', {},
    state.runs.length > 1 && make('figcaption', { title: settings.runs[i].lr }, make('i', { class: `swatch run-${i}` }),
      ` ${NAMES[i]}: ${settings.runs[i].rule}, ${settings.runs[i].lr}`),
    make('canvas', { class: 'map', role: 'img', 'data-run': i }))));
  document.querySelectorAll('.map').forEach(prepareMap);
  const dot = (k, hollow) => make('i', { class: `dot${hollow ? ' hollow' : ''}`, style: `--own:var(${COLOURS[k]})` });
  const names = state.classes ? Array.from({ length: state.classes }, (_, k) => make('li', {}, dot(k), `class ${k}`)) : [];
  const values = state.classes ? [] : state.sizes[0] === 1
    ? [make('li', {}, make('i', { class: 'stroke' }), 'the network')]
    : [make('li', {}, make('i', { class: 'ramp' }), '−1 to 1')];
  $('legend').replaceChildren(...names, ...values, make('li', {}, make('i', { class: 'dot' }), 'training'),
    ...(state.points.test.length ? [make('li', {}, make('i', { class: 'dot hollow' }), 'test')] : []));
}

function drawMap(canvas) {
  const run = state.runs[Number(canvas.dataset.run)];
  const size = canvas.clientWidth || 300;
  const ratio = devicePixelRatio || 1;
  if (canvas.width !== Math.round(size * ratio)) canvas.width = canvas.height = Math.round(size * ratio);
  const c = canvas.context ??= canvas.getContext('2d');
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, size, size);
  const at = (x) => (size * (x + BOX)) / (2 * BOX);
  const down = (y) => size - at(y);
  if (state.sizes[0] === 1) {
    c.strokeStyle = css(palette['--line']);
    c.lineWidth = 1;
    for (const v of [-1, 0, 1]) {
      c.beginPath(); c.moveTo(0, down(v)); c.lineTo(size, down(v)); c.moveTo(at(v), 0); c.lineTo(at(v), size); c.stroke();
    }
  } else {
    const n = SIDE * SIDE;
    const { classes: count } = state;
    const colourAt = count ? (i) => {
      let best = 0;
      for (let k = 1; k < count; k++) if (run.output[k * n + i] > run.output[best * n + i]) best = k;
      const sure = (run.output[best * n + i] - 255 / count) / (1 - 1 / count);
      return tables.sure[best][Math.max(0, Math.round(sure))];
    } : (i) => tone(run.output[i] * 0.7);
    c.imageSmoothingEnabled = true;
    const half = size / (SIDE - 1) / 2; // the first and the last points lie on the sides
    const small = canvas.small ??= make('canvas', { width: SIDE, height: SIDE });
    paint(small, colourAt);
    c.drawImage(small, -half, -half, size + 2 * half, size + 2 * half);
  }
  const radius = clamp(size / 90, 2.2, 3.6);
  const pale = !state.classes && state.sizes[0] === 2; // values near 0 have the card's color
  for (const [kind, points] of Object.entries(state.points)) {
    for (const { at: point, value } of drawnPoints(kind, points)) {
      const y = state.sizes[0] === 1 ? value : point[1];
      const colour = state.classes ? palette[COLOURS[value]] : state.sizes[0] === 1 ? palette['--positive'] : signed(value);
      c.beginPath();
      c.arc(at(point[0]), down(y), radius * (kind === 'train' ? 1 : 0.9), 0, 7);
      c.fillStyle = kind === 'train' ? css(colour) : css(palette['--card'], 0.75);
      c.fill();
      c.lineWidth = kind === 'train' ? 1 : 1.8;
      c.strokeStyle = kind === 'train' ? css(palette[pale ? '--soft' : '--card']) : css(pale ? mix(colour, palette['--soft'], 0.5) : colour);
      c.stroke();
    }
  }
  if (state.sizes[0] === 1) {
    c.beginPath();
    run.output.forEach((y, i) => c.lineTo((size * i) / (run.output.length - 1), down(y)));
    c.lineWidth = 2.5;
    c.strokeStyle = css(palette['--ink']);
    c.stroke();
  }
  canvas.setAttribute('aria-label', `What the network ${state.classes ? 'decides' : 'gives'} over the inputs${
    state.runs.length > 1 ? `, ${NAMES[canvas.dataset.run]}` : ''}: ${summary()[Number(canvas.dataset.run)]}`);
}

// While too few own points are drawn to train on, they are shown over the data before
function drawnPoints(kind, points) {
  if (settings.data !== 'own' || settings.points.length >= 4) return points;
  return kind === 'test' ? [] : settings.points.map(([x, y, value]) => ({ at: [x, y], value }));
}

function prepareMap(canvas) {
  const place = (event) => {
    const { left, top, width } = canvas.getBoundingClientRect();
    return [((event.clientX - left) / width) * 2 * BOX - BOX, BOX - ((event.clientY - top) / width) * 2 * BOX];
  };
  let last = null;
  const add = (event) => {
    const [x, y] = place(event).map((v) => Number(clamp(v, -BOX, BOX).toFixed(2)));
    if (last && Math.hypot(x - last[0], y - last[1]) < 0.12) return;
    if (settings.points.length >= limits.samples) return;
    last = [x, y];
    settings.points = [...settings.points, [x, y, pen]];
    draw();
  };
  canvas.addEventListener('pointerdown', (event) => {
    if (settings.data !== 'own') return;
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    last = null;
    add(event);
  });
  canvas.addEventListener('pointermove', (event) => {
    if (settings.data === 'own' && last && event.buttons === 1) return add(event);
    const [x, y] = place(event);
    return tip(event, valueAt(state.runs[Number(canvas.dataset.run)], x, y));
  });
  canvas.addEventListener('pointerup', () => {
    if (settings.data === 'own' && last) change(() => {});
    last = null;
  });
  canvas.addEventListener('pointerleave', hideTip);
}

function valueAt(run, x, y) {
  if (state.sizes[0] === 1) {
    const i = clamp(Math.round(((x + BOX) / (2 * BOX)) * (run.output.length - 1)), 0, run.output.length - 1);
    return `x = ${x.toFixed(2)}: ${show(run.output[i])}`;
  }
  const column = clamp(Math.round(((x + BOX) / (2 * BOX)) * (SIDE - 1)), 0, SIDE - 1);
  const row = clamp(Math.round(((BOX - y) / (2 * BOX)) * (SIDE - 1)), 0, SIDE - 1);
  const where = `x = ${x.toFixed(2)}, y = ${y.toFixed(2)}`;
  const i = row * SIDE + column;
  if (!state.classes) return `${where}: ${show(run.output[i])}`;
  return [where, ...Array.from({ length: state.classes },
    (_, k) => `class ${k}: ${(run.output[k * SIDE * SIDE + i] / 2.55).toFixed(1)} %`)].join('\n');
}

function drawScores() {
  const two = state.runs.length > 1;
  const row = (name, a, b, text) => state.runs.map(({ table }, i) =>
    [two ? `${NAMES[i]} ${name}` : name, text(table.at(-1)[a]), text(table.at(-1)[b])]);
  const rows = [...row('loss', 1, 3, (x) => show(x, 4)), ...(state.classes ? row('accuracy', 2, 4, percent) : [])];
  $('scores').replaceChildren(
    make('thead', {}, make('tr', {}, make('td'), ['training', 'test'].map((text) => make('th', { scope: 'col' }, text)))),
    make('tbody', {}, rows.map(([name, ...own]) => make('tr', {}, make('th', { scope: 'row' }, name),
      own.map((text) => make('td', {}, text))))));
  const remarks = state.runs.flatMap((run, i) => run.remarks.map(([kind, text]) => [kind, two ? `${NAMES[i]}: ${text}` : text]));
  const text = JSON.stringify(remarks);
  if ($('remarks').dataset.text === text) return;
  $('remarks').dataset.text = text;
  $('remarks').replaceChildren(...remarks.map(([kind, own]) => make('p', { class: `remark ${kind}` }, own)));
}

// ---- Charts: the course of the training

function chartList() {
  const layers = (state.runs[0].width - 6) / 2;
  const runColour = (i) => palette[`--run-${i}`];
  const layerColour = (l) => mix(palette['--positive'], palette['--negative'], layers > 1 ? l / (layers - 1) : 0);
  const per = (column, dashes = []) => state.runs.map((run, i) => ({ run, column, dashes, colour: runColour(i), name: state.runs.length > 1 ? NAMES[i] : '' }));
  const both = (a, b) => [...per(a).map((own) => ({ ...own, name: `${own.name} training`.trim() })),
    ...(state.points.test.length ? per(b, [4, 3]).map((own) => ({ ...own, name: `${own.name} test`.trim() })) : [])];
  const byLayer = (offset) => Array.from({ length: layers }, (_, l) => ({ run: state.runs[shown], column: 6 + 2 * l + offset,
    dashes: [], colour: layerColour(l), name: String(l + 1) }));
  const of = state.runs.length > 1 ? ` of ${NAMES[shown]}` : '';
  return [
    { title: 'loss', scale: 'log', series: both(1, 3) },
    state.classes && { title: 'accuracy', series: both(2, 4), low: 0, high: 1 },
    { title: 'rate η', series: per(5), schedule: true },
    { title: `gradient norm${of}`, note: 'by layer', scale: 'log', series: byLayer(0) },
    { title: `update : weights${of}`, note: 'by layer', scale: 'log', series: byLayer(1) },
    { title: settings.activation === 'relu' ? `dead for all samples${of}` : `saturated${of}`, bars: true },
  ].filter(Boolean);
}

function buildCharts() {
  $('charts').replaceChildren(...chartList().map(({ title, note }) => make('figure', {},
    make('figcaption', {}, make('b', {}, title), make('span', { class: 'soft' }, note ?? '')),
    make('canvas', { role: 'img' }), make('p', { class: 'keys' }))));
}

let frames = 0;

function drawCharts() {
  frames += 1;
  if ($('charts').hidden || (running && frames % 3)) return; // drawing takes longer than training
  const figures = [...$('charts').children];
  chartList().forEach((chart, i) => drawChart(figures[i], chart));
}

function drawChart(figure, chart) {
  const [, canvas, keys] = figure.children;
  const [width, height] = [canvas.clientWidth || 200, 84];
  const ratio = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const c = canvas.context ??= canvas.getContext('2d');
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, width, height);
  c.font = `11px ${getComputedStyle(canvas).fontFamily}`;
  if (chart.bars) return drawShares(c, width, height, keys, canvas);
  const curves = chart.series.map((own) => ({ ...own, points: own.run.table.map((row) => [row[0], row[own.column]]) }));
  let last = Math.max(1, ...state.runs.map(({ step }) => step));
  if (chart.schedule) {
    state.schedules.forEach((schedule, i) => {
      if (!schedule) return;
      const points = schedule.rates.map((rate, k) => [schedule.from + k * schedule.every, rate]);
      last = Math.max(last, points.at(-1)[0]);
      curves.unshift({ points, colour: palette['--soft'], dashes: [2, 3], name: '' , ahead: true, i });
    });
  }
  const log = chart.scale === 'log';
  const values = curves.flatMap(({ points }) => points.map(([, y]) => y)).filter((y) => Number.isFinite(y) && (!log || y > 0));
  let low = chart.low ?? (log ? Math.min(...values) : 0);
  let high = chart.high ?? Math.max(...values);
  if (!values.length) [low, high] = [log ? 0.1 : 0, 1];
  if (high <= low) [low, high] = log ? [low / 2, high * 2] : [low, low + (high || 1)];
  const [left, right, top, bottom] = [42, width - 4, 6, height - 6];
  const to = log ? Math.log : (y) => y;
  const atX = (step) => left + ((right - left) * step) / last;
  const atY = (y) => bottom - ((bottom - top) * (to(y) - to(low))) / (to(high) - to(low));
  c.strokeStyle = css(palette['--line']);
  c.lineWidth = 1;
  for (const y of [top, bottom]) { c.beginPath(); c.moveTo(left, y); c.lineTo(right, y); c.stroke(); }
  for (const { points, colour, dashes, ahead } of curves) {
    c.setLineDash(dashes);
    c.lineWidth = ahead ? 1.4 : 2;
    c.strokeStyle = css(colour);
    c.beginPath();
    let pen = false;
    for (const [step, y] of points) {
      if (!Number.isFinite(y) || (log && y <= 0)) { pen = false; continue; }
      if (pen) c.lineTo(atX(step), atY(y)); else c.moveTo(atX(step), atY(y));
      pen = true;
    }
    c.stroke();
    c.setLineDash([]);
    const [step, y] = points.at(-1);
    if (!ahead && Number.isFinite(y) && (!log || y > 0)) {
      c.beginPath(); c.arc(atX(step), atY(y), 3, 0, 7); c.fillStyle = css(colour); c.fill();
    }
  }
  c.fillStyle = css(palette['--soft']);
  c.textAlign = 'right';
  c.textBaseline = 'top';
  c.fillText(brief(high), left - 4, top - 3);
  c.textBaseline = 'bottom';
  c.fillText(brief(low), left - 4, bottom + 4);
  const named = chart.series.map((own) => {
    const value = own.run.table.at(-1)[own.column];
    return [own, chart.high === 1 ? percent(value) : show(value)];
  });
  keys.replaceChildren(...named.map(([own, value]) => make('span', {},
    make('i', { class: `key${own.dashes.length ? ' dashed' : ''}`, style: `--own:${css(own.colour)}` }), `${own.name} ${value}`.trim())));
  canvas.setAttribute('aria-label', `${chart.title}${chart.note ? `, ${chart.note}` : ''}: ${named.map(([own, value]) => `${own.name} ${value}`).join(', ')}`);
}

// For each hidden layer the share of outputs that are saturated, or of units that are dead (ReLU)
function drawShares(c, width, height, keys, canvas) {
  const relu = settings.activation === 'relu';
  const { idle } = state.runs[shown];
  const shares = idle.map((own) => (relu ? own.filter((x) => x === 1).length : own.reduce((a, b) => a + b, 0)) / Math.max(1, own.length));
  const known = idle.some((own) => own.length);
  const step = width / Math.max(1, shares.length);
  shares.forEach((share, l) => {
    const tall = known ? (height - 12) * share : 0;
    c.fillStyle = css(palette['--line']);
    c.fillRect(l * step + 4, 6, step - 8, height - 12);
    c.fillStyle = css(palette['--negative']);
    c.fillRect(l * step + 4, height - 6 - tall, step - 8, tall);
  });
  const texts = known ? shares.map((share, l) => `${l + 1}: ${percent(share)}`) : [`not defined for ${label(settings.activation)}`];
  keys.replaceChildren(...texts.map((text) => make('span', {}, text)));
  canvas.setAttribute('aria-label', `${relu ? 'Dead units' : 'Saturated outputs'} by layer: ${texts.join(', ')}`);
}

// ---- Drawing

function draw() {
  if (!state) return;
  if (!palette) readColours();
  drawNetwork();
  drawUnit();
  document.querySelectorAll('.map').forEach(drawMap);
  drawScores();
  drawCharts();
  const [run] = state.runs;
  $('count').textContent = `step ${run.step.toLocaleString('en')}, epoch ${run.epoch.toFixed(1)}`;
  const steps = remembered();
  $('scrub').max = steps.length - 1;
  $('scrub').value = steps.findLastIndex((step) => step <= run.step);
  $('scrub').setAttribute('aria-valuetext', `step ${steps[$('scrub').value]}`);
  $('track').style.setProperty('--at', `${100 * $('scrub').value / Math.max(1, steps.length - 1)}%`);
  $('back').setAttribute('aria-disabled', run.step === 0);
  if (!running || $('text').open) document.querySelector('#text pre').textContent = asText();
}

// ---- Data: tiles, points of one's own, and files

function prepareData() {
  for (const [name, { title, classes: count, inputs, sample }] of Object.entries(catalog.data)) {
    const canvas = make('canvas', { width: 96, height: 96, 'aria-hidden': 'true' });
    const button = make('button', { type: 'button', 'aria-label': title, title, 'data-name': name,
      click: () => change((s) => { s.data = name; }) }, canvas);
    button.paint = () => {
      const c = canvas.getContext('2d');
      c.clearRect(0, 0, 96, 96);
      for (const point of sample) {
        const [x, y] = point;
        const value = point.at(-1);
        c.fillStyle = css(count ? palette[COLOURS[value]] : inputs === 1 ? palette['--positive'] : signed(value));
        c.beginPath(); c.arc(48 + 31 * x, 48 - 31 * y, 4.2, 0, 7); c.fill();
      }
    };
    $('sets').append(button);
  }
  $('sets').append(make('button', { type: 'button', 'data-name': 'own', title: 'Points of your own, or a CSV file',
    click: () => change((s) => { s.data = 'own'; }) }, make('span', {}, 'draw', make('br'), 'or file')));
  $('pens').append(...COLOURS.map((name, k) => make('button', { type: 'button', class: 'pen', 'aria-label': `class ${k}`,
    style: `--own:var(${name})`, click: () => { pen = k; showSetup(); } }, String(k))));
  $('clear').addEventListener('click', () => { settings.points = []; showSetup(); draw(); });
  $('file').addEventListener('change', () => { readFile($('file').files[0]); $('file').value = ''; });
  addEventListener('dragover', (event) => event.preventDefault());
  addEventListener('drop', (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) readFile(event.dataTransfer.files[0]);
  });
}

async function readFile(file) {
  if (file.size > 5e6) return problem('The file is larger than 5 MB.');
  csv = parseTable(await file.text());
  if (csv.error) return problem(csv.error);
  settings.data = 'own';
  showSetup();
  return showColumns();
}

// A table of text: separators and quotes as in CSV, the first row as names if it has no numbers
function parseTable(text) {
  const first = text.slice(0, text.indexOf('\n') + 1 || undefined);
  const separator = [',', ';', '\t'].sort((a, b) => first.split(b).length - first.split(a).length)[0];
  const rows = [[]];
  let [field, quoted] = ['', false];
  for (const character of `${text.replace(/\r\n?/g, '\n').replace(/\n*$/, '')}\n`) {
    if (character === '"') quoted = !quoted;
    else if (quoted) field += character;
    else if (character === separator || character === '\n') {
      rows.at(-1).push(field.trim());
      field = '';
      if (character === '\n') rows.push([]);
    } else field += character;
  }
  rows.pop();
  const width = rows[0]?.length ?? 0;
  const isNumber = (x) => x !== '' && Number.isFinite(Number(x));
  const named = rows.length > 0 && !rows[0].some(isNumber);
  const names = named ? rows.shift() : Array.from({ length: width }, (_, k) => `column ${k + 1}`);
  const whole = rows.filter((row) => row.length === width);
  const numeric = names.map((_, k) => whole.length > 0 && whole.every((row) => isNumber(row[k])));
  if (quoted || width < 3 || whole.length < 4) {
    return { error: 'The file must be a table with three columns or more and four rows or more.' };
  }
  if (numeric.filter(Boolean).length < 2) return { error: 'The file must have two columns of numbers or more.' };
  return { names, rows: whole, numeric };
}

function showColumns() {
  const numbers = csv.names.flatMap((_, k) => (csv.numeric[k] ? [k] : []));
  const fewest = csv.names.findLastIndex((_, k) => new Set(csv.rows.map((row) => row[k])).size <= limits.classes);
  const field = (name, options, value) => {
    const input = make('select', { name }, options.map((k) => make('option', { value: k }, csv.names[k] || `column ${k + 1}`)));
    input.value = value;
    return make('label', { class: 'field' }, make('span', {}, name), input);
  };
  const form = $('columns');
  const inputs = numbers.filter((k) => k !== fewest);
  form.hidden = false;
  form.replaceChildren(field('x', numbers, inputs[0] ?? numbers[0]), field('y', numbers, inputs[1] ?? numbers[1]),
    field('class', csv.names.map((_, k) => k), fewest < 0 ? csv.names.length - 1 : fewest),
    make('button', { class: 'small' }, 'Use these columns'),
    make('p', { class: 'soft' }, `${csv.rows.length} rows. x and y are scaled to −1 … 1.`));
}

function useColumns(event) {
  event.preventDefault();
  const [x, y, kind] = ['x', 'y', 'class'].map((name) => Number($('columns').elements[name].value));
  const kinds = [...new Set(csv.rows.map((row) => row[kind]))].sort();
  if (kinds.length < 2 || kinds.length > limits.classes) {
    problem(`The column for the class must have 2 to ${limits.classes} different values; ${csv.names[kind]} has ${kinds.length}.`);
    return;
  }
  const every = Math.ceil(csv.rows.length / limits.samples);
  const rows = csv.rows.filter((_, i) => i % every === 0);
  const scaled = [x, y].map((column) => {
    const values = rows.map((row) => Number(row[column]));
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return values.map((v) => Number((high > low ? (2 * (v - low)) / (high - low) - 1 : 0).toFixed(3)));
  });
  $('columns').hidden = true;
  change((s) => { s.points = rows.map((row, i) => [scaled[0][i], scaled[1][i], kinds.indexOf(row[kind])]); }, true);
}

// ---- Out of it: link, script, walkthrough, picture

function save(blob, name) {
  const link = make('a', { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function prepareActions() {
  $('link').addEventListener('click', async () => {
    const url = `python -m minidl playground, then ${address()}`;
    const text = location.href.split('#')[0] + address();
    await navigator.clipboard?.writeText(text).catch(() => {});
    $('live').textContent = `Copied: ${url}`;
    $('link').textContent = 'Copied';
    setTimeout(() => { $('link').textContent = 'Copy link'; }, 2000);
  });
  $('script').addEventListener('click', async () => {
    pause();
    const answer = await ask('script', { run: shown });
    if (!answer) return;
    $('dialog').querySelector('pre').textContent = answer.text;
    $('dialog').showModal();
  });
  $('download').addEventListener('click', () => save(
    new Blob([$('dialog').querySelector('pre').textContent], { type: 'text/x-python' }), 'training.py'));
  $('walk').addEventListener('click', async () => {
    pause();
    const answer = await ask('walk', { run: shown });
    if (!answer) return;
    const url = URL.createObjectURL(new Blob([answer.html], { type: 'text/html' }));
    open(url, '_blank');
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  });
  $('picture').addEventListener('click', () => document.querySelector('.map')?.toBlob(
    (blob) => save(blob, `playground-step-${state.runs[0].step}.png`)));
  $('compare').addEventListener('click', () => change((s) => {
    if (s.runs.length === 2) s.runs.pop();
    else s.runs.push({ rule: 'SGD', lr: '0.1', options: {}, batch_size: s.runs[0].batch_size });
  }, true));
  $('columns').addEventListener('submit', useColumns);
}

// ---- Begin

function redraw() {
  readColours();
  for (const button of $('sets').children) button.paint?.();
  if (!state) return;
  buildNetwork();
  draw();
}

$('theme').hidden = false;
prepareData();
prepareKeys();
prepareNetwork();
prepareActions();
prepareTheme(redraw);
readColours();
redraw();
addEventListener('resize', redraw);
addEventListener('hashchange', () => { settings = readAddress(); start(); });
showSetup();
start();
