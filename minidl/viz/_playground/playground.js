// The playground, after network.js. The server trains; the page asks for steps and draws what they did.
// The state is the settings, which are also the address, and the last answer of the server.

const catalog = JSON.parse($('catalog').textContent);
const { box: BOX, side: SIDE, every: EVERY, limits, defaults } = catalog;
const UNIT_SIDE = Math.ceil(SIDE / EVERY);
const NAMES = ['A', 'B'];
const LABELS = { cross_entropy: 'cross-entropy', binary_cross_entropy: 'binary cross-entropy',
  mse: 'squared error', mae: 'absolute error', huber: 'Huber', leaky_relu: 'leaky ReLU', relu: 'ReLU',
  elu: 'ELU', gelu: 'GELU', silu: 'SiLU', auto: 'automatic', own: 'own points', values: 'values over x, y', curve: 'y over x' };
const label = (name) => LABELS[name] ?? name.replaceAll('_', ' ');

// What is no part of the settings of a training, by the id of its field, with the first value
const VIEW = { speed: '200', keep: 'keep', lines: 'value', stop: 'never', bound: '0.1' };

const isLog = (log) => Array.isArray(log) && log.every((own) => Array.isArray(own)
  && Number.isInteger(own[0]) && (own[1]?.settings || own[1]?.edit));

let later = null; // what the address asks for after the start: {step, log}
let settings = readAddress();
let session = null; // the server's name for this tab's training
let state = null; // the last answer, with the whole history of each run
let shown = 0; // the run whose network is shown
let selected = null; // [layer, unit] that is inspected; layer 1 is the first with weights
let pen = 0; // the number of the class, or of the value, of points that are drawn
let running = false;
let note = ''; // why playing has ended
let csv = null; // {names, rows} of a file whose columns are being chosen

// ---- The address

function readAddress() {
  const own = structuredClone(defaults);
  const given = new URLSearchParams(location.hash.slice(1));
  for (const [id, first] of Object.entries(VIEW)) setView(id, given.get(id) ?? first);
  const step = clamp(Math.trunc(Number(given.get('step'))) || 0, 0, 1e7);
  const log = attempt(() => JSON.parse(given.get('then')));
  later = step || isLog(log) ? { step, log: isLog(log) ? log : [] } : null;
  const value = (text, like) => (typeof like === 'number' ? Number(text) : text);
  for (const [key, text] of given) {
    if (key === 'layers') own.layers = text ? text.split(',').map(Number) : [];
    else if (key === 'points') own.points = text.split(';').map((p) => p.split(',').map(Number));
    else if (Object.hasOwn(own, key) && key !== 'runs') own[key] = value(text, own[key]);
    else if (/^[ab]\./.test(key)) {
      const run = own.runs['ab'.indexOf(key[0])] ??= { ...own.runs[0], options: {} };
      const name = key.slice(2);
      if (name === 'batch_size') run.batch_size = text === 'all' ? null : Number(text);
      else if (name === 'rule' || name === 'lr') run[name] = text;
      else attempt(() => { run.options[name] = JSON.parse(text); });
    }
  }
  if (!given.has('loss')) repair(own);
  return own;
}

function setView(id, value) { // unless it is none of the choices
  const own = $(id);
  if (own.tagName === 'INPUT' || [...own.options].some((option) => option.value === value)) own.value = value;
}

function address(chosen = settings) {
  const fields = new URLSearchParams();
  for (const [key, value] of Object.entries(chosen)) {
    if (JSON.stringify(value) === JSON.stringify(defaults[key]) || key === 'runs') continue;
    if (key === 'points') {
      if (chosen.data === 'own') fields.set(key, value.map((p) => p.join(',')).join(';'));
    } else fields.set(key, value);
  }
  chosen.runs.forEach((run, i) => {
    for (const name of ['rule', 'lr', 'batch_size']) {
      if (i || run[name] !== defaults.runs[0][name]) {
        fields.set(`${'ab'[i]}.${name}`, run[name] ?? 'all');
      }
    }
    for (const [name, value] of Object.entries(run.options)) {
      fields.set(`${'ab'[i]}.${name}`, JSON.stringify(value));
    }
  });
  for (const [id, first] of Object.entries(VIEW)) if ($(id).value !== first) fields.set(id, $(id).value);
  if (hiddenParts.length) fields.set('hide', hiddenParts);
  return `#${fields.toString().replaceAll('%2C', ',').replaceAll('%3B', ';')}`;
}

const keepAddress = () => attempt(() => history.replaceState(null, '', address()));

const hiddenByAddress = () => (new URLSearchParams(location.hash.slice(1)).get('hide') ?? '').split(',')
  .filter(Boolean);
const hiddenParts = hiddenByAddress();

// ---- Questions to the server, one after the other

let line = Promise.resolve();
const ask = (name, question) => (line = line.then(() => send(name, question)));

// In a notebook: the widget that the page is embedded in passes questions on to Python.
const waiting = new Map(); // what resolves a question, by its number
let questions = 0;
const LATE = 4000; // milliseconds after which the page says that there is no answer

function bridged(name, question) {
  return new Promise((resolve) => {
    const late = setTimeout(() => problem('The kernel has not answered yet: it is busy, or has ended.'), LATE);
    waiting.set(++questions, (answer) => { clearTimeout(late); resolve(answer); });
    parent.postMessage({ minidl: questions, name, question }, '*');
  });
}

if (catalog.bridged) {
  addEventListener('message', ({ data, source }) => {
    if (source !== parent || !waiting.has(data?.minidl)) return;
    waiting.get(data.minidl)(data.answer);
    waiting.delete(data.minidl);
  });
}

async function send(name, question) {
  try {
    const asked = { session, ...(typeof question === 'function' ? question() : question) };
    const answer = catalog.bridged ? await bridged(name, asked)
      : await (await fetch(name, { method: 'POST', body: JSON.stringify(asked) })).json();
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
  if (!text && own.hidden) return;
  own.hidden = !text;
  own.replaceChildren(text.replace(/^playground: /, ''));
  if (again) {
    own.append(' ', make('button', { class: 'small', type: 'button', click: () => (session ? advance(0) : start()) },
      'Try again'));
  }
}

async function start() {
  const answer = await ask('start', { settings });
  if (answer) takeWhole(answer);
  else if (accepted) settings = JSON.parse(accepted);
  return answer;
}

let typed = []; // schedules that the server has not accepted yet
let pending = 0; // changes that the server has not answered: the settings are ahead of the state

// A change of the settings: with the weights kept if they fit, unless the reader chose otherwise.
async function change(edit, again = $('keep').value === 'again') {
  edit(settings);
  repair(settings);
  if (settings.data === 'own' && settings.points.length < 4) return showSetup();
  const kept = !again && session && settings.runs.length === state?.runs.length;
  pending += 1;
  const answer = await ask(kept ? 'change' : 'start', { settings });
  pending -= 1;
  if (answer) takeWhole(answer);
  else if (accepted) settings = JSON.parse(accepted);
  if (!answer) showSetup();
}

function classes({ data, kind, points } = settings) {
  if (data !== 'own') return catalog.data[data]?.classes ?? 0;
  if (kind !== 'classes') return 0;
  return Math.max(2, ...points.map((point) => point[2] + 1));
}

function repair(own) { // a loss that fits the data
  const losses = catalog.losses[classes(own) ? 'classes' : 'values'];
  if (!losses.includes(own.loss)) [own.loss] = losses;
}

// ---- Answers

let accepted = null; // the settings of the training, as JSON

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
  accepted = JSON.stringify(answer.settings);
  if (!pending) [settings, typed] = [JSON.parse(accepted), []];
  note = '';
  state = { ...answer, runs: null };
  state.runs = answer.runs.map((run) => unpackRun(run, null));
  state.points = { train: pairs(answer.data.x, answer.data.y), test: pairs(answer.data.xTest, answer.data.yTest) };
  shown = Math.min(shown, state.runs.length - 1);
  if (selected && !(selected[0] < state.sizes.length && selected[1] < state.sizes[selected[0]])) selected = null;
  keepAddress();
  showSetup();
  buildNetwork();
  buildOutput();
  buildCharts();
  draw();
}

function pairs(x, y) {
  const [points, values] = [unpack(x, Float32Array), unpack(y, Float32Array)];
  const inputs = state.shown;
  return [...values].map((value, i) => ({ at: [...points.subarray(i * inputs, (i + 1) * inputs)], value }));
}

// Ask for steps; the state is set as soon as the answer is there. Draws nothing.
async function request(steps) {
  const detail = !running || selected !== null || $('lines').value === 'effective';
  const answer = await ask('frame', () => ({ steps, detail,
    seen: state.runs.map(({ version, table }) => [version, table.length]) }));
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

// What ends playing, when it begins to hold
const STOPS = {
  step: (bound) => state.runs[0].step >= bound && `step ${state.runs[0].step} is reached`,
  loss: (bound) => state.runs.some(({ table }) => table.at(-1)[1] <= bound) && `the training loss is at most ${bound}`,
  test: (bound) => state.runs.some(({ table }) => table.at(-1)[3] <= bound) && `the test loss is at most ${bound}`,
  remark: () => state.runs.some(({ remarks }) => remarks.length) && 'there is a remark',
};
const stopReason = () => STOPS[$('stop').value]?.(Number($('bound').value)) || '';

async function run() { // the server takes the next steps while the page draws the last ones
  running = true;
  note = '';
  showPlaying();
  let held = stopReason();
  let [last, owed] = [performance.now(), 1];
  while (running && session) {
    const speed = Number($('speed').value);
    const now = performance.now();
    owed = Math.min(owed + (speed * (now - last)) / 1000, limits.steps);
    last = now;
    let steps = speed ? Math.floor(owed) : fast;
    const left = Number($('bound').value) - state.runs[0].step;
    if ($('stop').value === 'step' && left > 0) steps = Math.min(steps, Math.ceil(left));
    if (steps > 0) owed -= speed ? steps : 0;
    const answered = steps > 0 ? request(steps) : null;
    draw();
    await answered;
    if (state.runs.some(({ table }) => !Number.isFinite(table.at(-1)[1]))) pause();
    const reason = stopReason();
    if (running && reason && !held) {
      note = `Stopped, since ${reason}.`;
      pause();
    }
    held = reason;
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
  note = '';
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
  : x !== 0 && (Math.abs(x) < 1e-3 || Math.abs(x) >= 1e5) ? x.toExponential(digits - 1).replaceAll('-', '−')
  : Number(x.toPrecision(digits)).toString().replace('-', '−'));
const brief = (x) => (x !== 0 && Math.abs(x) < 1e-3 ? show(x, 1) : show(x, 2));

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
  $('live').textContent = [note, ...summary(), ...remarks].join(' ').trim();
}

function asText() {
  const run = state.runs[shown];
  const lines = [...summary(), '', `Network ${state.sizes.join('–')}, ${label(state.settings.activation)}:`];
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

const slug = (name) => name.replace(/ η$/, '').replaceAll(' ', '-'); // by which the address hides a field

function select(name, options, value, set) {
  const input = make('select', { 'aria-label': name, change: () => set(input.value) },
    options.map((option) => make('option', { value: option }, label(String(option)))));
  input.value = value;
  return make('label', { class: 'field', 'data-part': slug(name) }, make('span', {}, name), input);
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
  return make('label', { class: 'field slider', 'data-part': slug(name) }, make('span', {}, name, ' '), output, input);
}

function entry(name, value, set, attributes = {}, part = name) {
  const input = make('input', { type: 'text', 'aria-label': name, value, autocomplete: 'off', spellcheck: 'false', ...attributes,
    change: () => set(input.value) });
  return make('label', { class: 'field', 'data-part': slug(part) }, make('span', {}, name), input);
}

const toNumber = (text) => (text.trim() ? Number(text.replace('−', '-')) : NaN); // NaN is refused

function check(name, value, set) {
  const input = make('input', { type: 'checkbox', change: () => set(input.checked) });
  input.checked = value;
  return make('label', { class: 'check', 'data-part': slug(name) }, input, name);
}

function showSetup() {
  const focus = document.activeElement?.dataset?.focus ?? focusKey(document.activeElement);
  const own = settings.data === 'own';
  for (const button of $('sets').children) {
    button.setAttribute('aria-pressed', button.dataset.name === settings.data);
  }
  $('own').hidden = !own;
  showPens();
  $('bound-field').hidden = !['step', 'loss', 'test'].includes($('stop').value);
  const percentage = (x) => `${Math.round(100 * x)} %`;
  $('data-fields').replaceChildren(...[
    !own && settings.data !== 'given' && slider('samples', settings.samples, { low: 20, high: limits.samples, step: 20 },
      (x) => change((s) => { s.samples = x; })),
    !own && settings.data !== 'given' && slider('noise', settings.noise, { low: 0, high: 0.6, step: 0.02 },
      (x) => change((s) => { s.noise = x; })),
    slider('test part', settings.test, { low: 0, high: 0.8, step: 0.1, shown: percentage },
      (x) => change((s) => { s.test = x; })),
    entry('seed', settings.seed, (x) => change((s) => { s.seed = toNumber(x); }, true),
      { inputmode: 'numeric' }),
  ].filter(Boolean));
  $('formulas').replaceChildren(...[settings.activation, settings.loss].flatMap((name) =>
    [make('dt', {}, label(name)), make('dd', {}, catalog.formulas[name])]));
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
    'aria-pressed': i === shown, click: () => { shown = Math.min(i, state.runs.length - 1); showSetup(); draw(); } }, NAMES[i])));
  hideParts();
  if (focus) [...document.querySelectorAll('main :is(input, select, button)')]
    .find((element) => focusKey(element) === focus)?.focus();
}

function hideParts() {
  for (const part of document.querySelectorAll('[data-part]')) {
    if (hiddenParts.includes(part.dataset.part)) part.hidden = true;
  }
}

// What names a field after it has been made anew
const focusKey = (element) => {
  if (!element?.closest?.('.fields, .layer, #which, #pens')) return null;
  const section = element.closest('[data-run]')?.dataset.run ?? '';
  return `${section} ${element.getAttribute('aria-label') ?? element.closest('label')?.textContent
    ?? element.textContent} ${element.tagName}`;
};

const RATE_TEXT = /^\s*[\d.e+-]+\s*$/i;

function runFields(run, i) {
  const rule = catalog.rules[run.rule];
  const set = (edit) => change((s) => edit(s.runs[i]));
  const batches = [1, 2, 4, 8, 16, 32, 64, 128, 'all', 'other'];
  const size = run.batch_size ?? 'all';
  const usual = batches.includes(size);
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
    select('batch size', batches, usual ? size : 'other', (x) => set((r) => {
      r.batch_size = x === 'all' ? null : Number(x === 'other' ? 10 : x);
    })),
    !usual && entry('its samples', size, (x) => set((r) => { r.batch_size = toNumber(x) || 0; }), { inputmode: 'numeric' }, 'batch size'),
    select('schedule', ['constant', ...Object.keys(SCHEDULES), ...(plain || scheduleOf(run) in SCHEDULES ? [] : [scheduleOf(run)])],
      plain ? 'constant' : scheduleOf(run), (x) => set((r) => {
        const peak = plain ? Number(r.lr) : 0.03;
        r.lr = x === 'constant' ? String(peak) : SCHEDULES[x]?.(peak) ?? r.lr;
      })),
    !plain && entry('its formula', typed[i] ?? run.lr, (x) => {
      typed[i] = x;
      set((r) => { r.lr = x; });
    }, {}, 'schedule'),
  ];
  const options = Object.entries(rule.options).map(([name, standard]) => {
    const value = run.options[name] ?? standard;
    const put = (x) => set((r) => { r.options[name] = x; });
    if (typeof value === 'boolean') return check(label(name), value, put);
    const text = Array.isArray(value) ? value.join(', ') : String(value);
    return entry(label(name), text, (x) => put(Array.isArray(standard) ? x.split(',').map(toNumber) : toNumber(x)));
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
  ReduceOnPlateau: (x) => `ReduceOnPlateau(${x}, 0.5, patience=5)`,
  warmup_stable_decay: (x) => `warmup_stable_decay(${x}, 200, 1300, 500)`,
};

// ---- Colors

const COLOURS = ['--class-0', '--class-1', '--class-2', '--class-3'];
let palettes = 0; // how many were read

function readColours() {
  readPalette([...COLOURS, '--card', '--ink', '--soft', '--line', '--negative', '--positive',
    '--accent', '--non-finite', '--run-0', '--run-1']);
  palettes += 1;
  makeTables();
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

// ---- The network: a canvas over the buttons of its units

let places = []; // of each unit: layer by layer {x, y, size, button}

function buildNetwork() {
  const net = $('net');
  const counts = state.sizes;
  const width = net.clientWidth || 600;
  const focus = focusKey(document.activeElement);
  net.querySelectorAll('.node, .layer').forEach((element) => element.remove());
  const margin = 34;
  const apart = (width - 2 * margin) / Math.max(1, counts.length - 1);
  net.classList.toggle('narrow', apart < 104); // the buttons of a layer stand below each other
  const top = apart < 104 ? 132 : 44;
  const height = top + Math.max(256, Math.min(416, 16 + 46 * Math.max(...counts)));
  net.style.height = `${height}px`;
  places = counts.map((count, l) => {
    const x = margin + l * apart;
    const pitch = Math.min(58, (height - top - 8) / count);
    const size = Math.max(16, Math.min(44, pitch - 6, (width - 2 * margin) / counts.length / 1.4));
    if (l > 0 && l < counts.length - 1) net.append(layerButtons(l, x));
    else net.append(make('span', { class: 'layer', style: `left:${x}px` }, l ? 'output' : 'input'));
    return Array.from({ length: count }, (_, u) => {
      const y = top + (height - top) / 2 + (u - (count - 1) / 2) * pitch;
      const button = make('button', { type: 'button', class: 'node', title: '',
        style: `left:${x - size / 2}px;top:${y - size / 2}px;width:${size}px;height:${size}px`,
        click: () => inspect(l, u) });
      button.dataset.at = `${l},${u}`;
      if (l === 0) {
        button.disabled = true;
        button.setAttribute('aria-label', `input ${inputName(u)}`);
      }
      net.append(button);
      return { x, y, size, button };
    });
  });
  for (let l = 1; l < places.length; l++) {
    for (const to of places[l]) {
      to.lines = places[l - 1].map((from) => {
        const line = new Path2D();
        const [x1, x2] = [from.x + from.size / 2, to.x - to.size / 2];
        line.moveTo(x1, from.y);
        line.bezierCurveTo((x1 + x2) / 2, from.y, (x1 + x2) / 2, to.y, x2, to.y);
        return line;
      });
    }
  }
  $('more').setAttribute('aria-disabled', settings.layers.length === limits.layers);
  hideParts();
  if (focus) [...net.querySelectorAll('button')].find((element) => focusKey(element) === focus)?.focus();
}

function layerButtons(l, x) {
  const count = state.sizes[l];
  const set = (by) => {
    const wanted = clamp(settings.layers[l - 1] + by, 1, limits.units);
    if (wanted !== settings.layers[l - 1]) change((s) => { s.layers[l - 1] = wanted; });
  };
  const button = (sign, by, text, off) => make('button', { type: 'button', class: 'pm', 'data-part': 'layers',
    'aria-label': text, 'aria-disabled': off, click: () => set(by) }, sign);
  return make('span', { class: 'layer', style: `left:${x}px` },
    button('−', -1, `Remove a unit of layer ${l}`, count === 1), String(count),
    button('+', 1, `Add a unit to layer ${l}`, count === limits.units),
    make('button', { type: 'button', class: 'pm away', 'data-part': 'layers', 'aria-label': `Remove layer ${l}`,
      title: `Remove layer ${l}`, click: () => change((s) => { s.layers.splice(l - 1, 1); }) }, '×'));
}

const weightsOf = (run, layer) => run.parameters[2 * (layer - 1)];
const biasesOf = (run, layer) => run.parameters[2 * (layer - 1) + 1];
const largestOf = (values, least = 0) => values.reduce((top, x) => Math.max(top, Math.abs(x) || 0), least);

// A canvas with as many pixels as it shows, and its context in units of the page
function fitted(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const c = canvas.context ??= canvas.getContext('2d');
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, width, height);
  return c;
}

const small = make('canvas', { width: UNIT_SIDE, height: UNIT_SIDE }); // the map of a unit, one after the other

function drawNetwork() {
  const run = state.runs[shown];
  const c = fitted($('edges'), $('net').clientWidth, $('net').clientHeight);
  const last = places.length - 1;
  for (let l = 1; l <= last; l++) {
    const values = weightsOf(run, l)[$('lines').value];
    const largest = values ? largestOf(values) : 0;
    const next = places[l].length;
    places[l].forEach(({ lines }, j) => lines.forEach((line, i) => {
      const w = values?.[i * next + j] ?? 0;
      const share = largest ? Math.abs(w) / largest : 0;
      c.lineWidth = 0.4 + 4.2 * share;
      c.strokeStyle = css(palette[w < 0 ? '--negative' : '--positive'], 0.25 + 0.65 * share);
      c.stroke(line);
    }));
  }
  places.forEach((layer, l) => layer.forEach(({ x, y, size, button }, u) => {
    paint(small, l === 0 ? inputAt(u) : l === last ? outputAt(run, u) : unitAt(run, l, u));
    const idle = l > 0 && l < last && run.idle[l - 1]?.[u] === 1;
    const chosen = selected?.[0] === l && selected[1] === u;
    c.drawImage(small, x - size / 2, y - size / 2, size, size);
    c.beginPath();
    c.roundRect(x - size / 2, y - size / 2, size, size, 3);
    c.setLineDash(idle ? [4, 3] : []);
    c.lineWidth = chosen ? 3 : idle ? 2 : 1.5;
    c.strokeStyle = css(palette[chosen ? '--accent' : idle ? '--non-finite' : '--soft']);
    c.stroke();
    c.setLineDash([]);
    if (l === 0) return drawLetter(c, catalog.names && settings.data === 'given' ? String(u + 1) : 'xy'[u], x, y);
    const biases = biasesOf(run, l).value;
    c.beginPath();
    c.arc(x - size / 2 + 1, y + size / 2 - 1, 2.6 + 3.4 * Math.abs(biases[u] || 0) / largestOf(biases, 1e-9), 0, 7);
    c.fillStyle = css(palette[biases[u] < 0 ? '--negative' : '--positive']);
    c.fill();
    c.lineWidth = 1.2;
    c.strokeStyle = css(palette['--card']);
    c.stroke();
    if (running) return null; // names are for when one reads them
    button.setAttribute('aria-pressed', chosen);
    return button.setAttribute('aria-label', `${l === last ? 'output' : `layer ${l}, unit`} ${u + 1}, bias ${show(biases[u])}`);
  }));
}

function drawLetter(c, letter, x, y) {
  c.font = `italic 700 17px ${getComputedStyle(document.body).getPropertyValue('--math') || 'serif'}`;
  c.textAlign = 'center';
  c.textBaseline = 'middle';
  c.lineWidth = 3;
  c.strokeStyle = css(palette['--card'], 0.85);
  c.strokeText(letter, x, y);
  c.fillStyle = css(palette['--ink']);
  c.fillText(letter, x, y);
}

// The color of each point of a unit's map: of an input, a hidden unit, an output

const inputName = (u) => (settings.data === 'given' ? catalog.names[u] : 'xy'[u]);

const inputAt = (u) => (i) => {
  if (u > 1) return tone(0); // it has its mean everywhere
  const [column, row] = [i % UNIT_SIDE, Math.floor(i / UNIT_SIDE)];
  return tone((u === 0 ? column / (UNIT_SIDE - 1) : 1 - row / (UNIT_SIDE - 1)) * 2 - 1);
};

const alongCurve = (count) => (i) => Math.round(((i % UNIT_SIDE) * (count - 1)) / (UNIT_SIDE - 1));

function unitAt(run, l, u) {
  const map = run.maps[l - 1];
  const count = map.length / places[l].length;
  const at = state.shown === 1 ? alongCurve(count) : (i) => i;
  return (i) => tables.signed[map[u * count + at(i)] + 127];
}

function outputAt(run, u) {
  const column = (i) => Math.min(SIDE - 1, EVERY * (i % UNIT_SIDE));
  const row = (i) => Math.min(SIDE - 1, EVERY * Math.floor(i / UNIT_SIDE));
  const square = (i) => row(i) * SIDE + column(i);
  if (!state.classes) {
    const top = largestOf(run.output, 1e-9);
    const at = state.shown === 1 ? alongCurve(run.output.length) : square;
    return (i) => tone(run.output[at(i)] / top);
  }
  const k = places.at(-1).length === 1 ? 1 : u;
  return (i) => tables.share[k][run.output[k * SIDE * SIDE + square(i)]];
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
      const word = state.settings.activation === 'relu' ? '0 for' : 'saturated for';
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
  $('more').addEventListener('click', () => settings.layers.length < limits.layers
    && change((s) => { s.layers.push(s.layers.at(-1) ?? 4); }));
}

const WORDS = { value: 'weight', grad: 'gradient', update: 'last update', effective: 'effective rate' };
const exact = (x) => String(Number(x.toPrecision(7))).replace('-', '−');

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
  const from = (i) => (layer === 1 ? inputName(i) : `unit ${i + 1}`);
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
    : `${state.settings.activation === 'relu' ? 'It gives 0 for' : 'It is saturated for'} ${percent(idle)} of the training samples.`;
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
    state.runs.length > 1 && make('figcaption', { title: state.settings.runs[i].lr }, make('i', { class: `swatch run-${i}` }),
      ` ${NAMES[i]}: ${state.settings.runs[i].rule}, ${state.settings.runs[i].lr}`),
    make('canvas', { class: 'map', role: 'img', 'data-run': i }))));
  document.querySelectorAll('.map').forEach(prepareMap);
  const dot = (k, hollow) => make('i', { class: `dot${hollow ? ' hollow' : ''}`, style: `--own:var(${COLOURS[k]})` });
  const names = state.classes ? Array.from({ length: state.classes }, (_, k) => make('li', {}, dot(k), `class ${k}`)) : [];
  const values = state.classes ? [] : state.shown === 1
    ? [make('li', {}, make('i', { class: 'stroke' }), 'the network')]
    : [make('li', {}, make('i', { class: 'ramp' }), [-1, 1].map((t) => show(unscaled(t, axesOf().value))).join(' to '))];
  $('legend').replaceChildren(...names, ...values, make('li', {}, make('i', { class: 'dot' }), 'training'),
    ...(state.points.test.length ? [make('li', {}, make('i', { class: 'dot hollow' }), 'test')] : []));
}

function drawMap(canvas) {
  const run = state.runs[Number(canvas.dataset.run)];
  const size = canvas.clientWidth || 300;
  const c = fitted(canvas, size, size);
  const at = (x) => (size * (x + BOX)) / (2 * BOX);
  const down = (y) => size - at(y);
  if (state.shown === 1) {
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
    const field = canvas.field ??= make('canvas', { width: SIDE, height: SIDE });
    paint(field, colourAt);
    c.drawImage(field, -half, -half, size + 2 * half, size + 2 * half);
  }
  const key = `${size} ${palettes}`;
  const dots = canvas.dots ??= make('canvas');
  if (!running || dots.key !== key) drawDots(fitted(dots, size, size), size, at, down);
  dots.key = key;
  c.drawImage(dots, 0, 0, size, size);
  if (state.shown === 1) {
    c.beginPath();
    run.output.forEach((y, i) => c.lineTo((size * i) / (run.output.length - 1), down(y)));
    c.lineWidth = 2.5;
    c.strokeStyle = css(palette['--ink']);
    c.stroke();
  }
  if (!running) canvas.setAttribute('aria-label', `What the network ${state.classes ? 'decides' : 'gives'} over the inputs${
    state.runs.length > 1 ? `, ${NAMES[canvas.dataset.run]}` : ''}: ${summary()[Number(canvas.dataset.run)]}`);
}

// The points. While too few own ones are drawn to train on, they are shown over the data before.
function drawDots(c, size, at, down) {
  const few = settings.data === 'own' && settings.points.length < 4;
  const kind = few ? settings.kind : state.classes ? 'classes' : state.shown === 1 ? 'curve' : 'values';
  const own = few ? { train: settings.points.map(([x, y, value]) => ({ at: [x, y], value })) } : state.points;
  const radius = clamp(size / 90, 2.2, 3.6);
  const pale = kind === 'values'; // values near 0 have the card's color
  for (const [part, points] of Object.entries(own)) {
    for (const { at: [x, second], value } of points) {
      const y = kind === 'curve' ? second ?? value : second;
      const colour = kind === 'classes' ? palette[COLOURS[value]] : pale ? signed(value) : palette['--positive'];
      c.beginPath();
      c.arc(at(x), down(y), radius * (part === 'train' ? 1 : 0.9), 0, 7);
      c.fillStyle = part === 'train' ? css(colour) : css(palette['--card'], 0.75);
      c.fill();
      c.lineWidth = part === 'train' ? 1 : 1.8;
      c.strokeStyle = part === 'train' ? css(palette[pale ? '--soft' : '--card']) : css(pale ? mix(colour, palette['--soft'], 0.5) : colour);
      c.stroke();
    }
  }
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
    last = [x, y];
    addPoint(x, y);
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
  const done = () => {
    if (settings.data === 'own' && last) change(() => {});
    last = null;
  };
  canvas.addEventListener('pointerup', done);
  canvas.addEventListener('pointercancel', done); // the page is scrolled
  canvas.addEventListener('pointerleave', hideTip);
}

function addPoint(x, y) {
  if (settings.points.length >= limits.samples) return;
  settings.points = [...settings.points, [x, y, PENS[settings.kind][pen] ?? 0]];
}

// What a place on the map stands for: of data from a program in their own units
const unscaled = (x, [center, scale] = [0, 1]) => center + scale * x;
const axesOf = () => (settings.data === 'given' ? catalog.axes : { inputs: [], value: undefined });

function valueAt(run, x, y) {
  const { inputs, value } = axesOf();
  const place = (k, v) => `${settings.data === 'given' ? catalog.names[k] : 'xy'[k]} = ${inputs[k] ? show(unscaled(v, inputs[k])) : v.toFixed(2)}`;
  if (state.shown === 1) {
    const i = clamp(Math.round(((x + BOX) / (2 * BOX)) * (run.output.length - 1)), 0, run.output.length - 1);
    return `${place(0, x)}: ${show(unscaled(run.output[i], value))}`;
  }
  const column = clamp(Math.round(((x + BOX) / (2 * BOX)) * (SIDE - 1)), 0, SIDE - 1);
  const row = clamp(Math.round(((BOX - y) / (2 * BOX)) * (SIDE - 1)), 0, SIDE - 1);
  const where = `${place(0, x)}, ${place(1, y)}`;
  const i = row * SIDE + column;
  if (!state.classes) return `${where}: ${show(unscaled(run.output[i], value))}`;
  return [where, ...Array.from({ length: state.classes },
    (_, k) => `class ${k}: ${(run.output[k * SIDE * SIDE + i] / 2.55).toFixed(1)} %`)].join('\n');
}

function drawScores() {
  const two = state.runs.length > 1;
  const of = (i, name) => (two ? `${NAMES[i]} ${name}` : name);
  const row = (name, a, b, text) => state.runs.map(({ table }, i) =>
    [of(i, name), text(table.at(-1)[a]), text(table.at(-1)[b])]);
  const rows = [...row('loss', 1, 3, (x) => show(x, 4)), ...(state.classes ? row('accuracy', 2, 4, percent) : []),
    ...state.runs.map(({ seconds, step }, i) => [of(i, 'time'),
      step ? `${show(seconds)} s, ${show((1e6 * seconds) / step)} µs a step` : '–'])];
  const key = rows.map(([name]) => name).join();
  const scores = $('scores');
  if (scores.dataset.key !== key) {
    scores.dataset.key = key;
    scores.replaceChildren(
      make('thead', {}, make('tr', {}, make('td'), ['training', 'test'].map((text) => make('th', { scope: 'col' }, text)))),
      make('tbody', {}, rows.map(([name, ...own]) => make('tr', {}, make('th', { scope: 'row' }, name),
        own.map(() => make('td', { colspan: own.length > 1 ? 1 : 2 }))))));
  }
  const cells = scores.querySelectorAll('tbody td');
  rows.flatMap(([, ...own]) => own).forEach((text, i) => { cells[i].textContent = text; });
  const remarks = state.runs.flatMap((run, i) => run.remarks.map(([kind, text]) => [kind, two ? `${NAMES[i]}: ${text}` : text]));
  if (note) remarks.unshift(['stopped', note]);
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
  const note = state.runs.length > 1 ? `${NAMES[shown]}, by layer` : 'by layer';
  const relu = state.settings.activation === 'relu';
  return [
    { title: 'loss', scale: 'log', series: both(1, 3) },
    state.classes && { title: 'accuracy', series: both(2, 4), low: 0, high: 1 },
    { title: 'rate η', series: per(5), schedule: true },
    { title: 'gradient norm', note, scale: 'log', series: byLayer(0) },
    { title: 'update : weights', note, scale: 'log', series: byLayer(1) },
    state.runs[shown].idle.some((own) => own.length) && { title: relu ? 'dead units' : 'saturated', note, bars: true },
  ].filter(Boolean);
}

function buildCharts() {
  $('charts').replaceChildren(...chartList().map(({ title, note }) => make('figure', {},
    make('figcaption', {}, make('b', {}, title), make('span', { class: 'soft' }, note ?? '')),
    make('canvas', { role: 'img' }), make('p', { class: 'keys' }))));
}

function drawCharts() {
  if ($('charts').hidden) return;
  const figures = [...$('charts').children];
  chartList().forEach((chart, i) => drawChart(figures[i], chart));
}

function drawChart(figure, chart) {
  const [, canvas, keys] = figure.children;
  const [width, height] = [canvas.clientWidth || 200, 84];
  const c = fitted(canvas, width, height);
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
  const relu = state.settings.activation === 'relu';
  const { idle } = state.runs[shown];
  const shares = idle.map((own) => (relu ? own.filter((x) => x === 1).length : own.reduce((a, b) => a + b, 0)) / Math.max(1, own.length));
  const step = width / Math.max(1, shares.length);
  shares.forEach((share, l) => {
    const tall = (height - 12) * share;
    c.fillStyle = css(palette['--line']);
    c.fillRect(l * step + 4, 6, step - 8, height - 12);
    c.fillStyle = css(palette['--negative']);
    c.fillRect(l * step + 4, height - 6 - tall, step - 8, tall);
  });
  const texts = shares.map((share, l) => `${l + 1}: ${percent(share)}`);
  keys.replaceChildren(...texts.map((text) => make('span', {}, text)));
  canvas.setAttribute('aria-label', `${relu ? 'Dead units' : 'Saturated outputs'} by layer: ${texts.join(', ')}`);
}

// ---- Drawing

let charted = 0; // when the numbers and the course were drawn

function draw() {
  if (!state) return;
  if (!palette) readColours();
  drawNetwork();
  drawUnit();
  document.querySelectorAll('.map').forEach(drawMap);
  if (!running || performance.now() - charted > 150) { // faster than one can read, and drawing takes longer than training
    drawScores();
    drawCharts();
    charted = performance.now();
  }
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
  $('kind').addEventListener('change', () => setKind($('kind').value));
  $('clear').addEventListener('click', () => { settings.points = []; showSetup(); draw(); });
  $('undo').addEventListener('click', () => { change((s) => { s.points = s.points.slice(0, -1); }); draw(); });
  $('add').addEventListener('submit', (event) => {
    event.preventDefault();
    const [x, y, ...more] = $('at').value.replaceAll('−', '-').split(/[\s,;]+/).filter(Boolean).map(Number);
    if (more.length || ![x, y].every((v) => Math.abs(v) <= BOX)) {
      problem(`A point needs x and y from −${BOX} to ${BOX}, such as 0.5, −0.3.`);
      return;
    }
    problem('');
    addPoint(x, y);
    $('at').value = '';
    change(() => {});
    draw();
  });
  $('file').addEventListener('change', () => { readFile($('file').files[0]); $('file').value = ''; });
  addEventListener('dragover', (event) => event.preventDefault());
  addEventListener('drop', (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) readFile(event.dataTransfer.files[0]);
  });
}

// Of what own points are, and with what pens they are drawn
const PENS = { classes: [0, 1, 2, 3], values: [-1, -0.5, 0, 0.5, 1], curve: [] };

function showPens() {
  const { kind } = settings;
  $('kind').value = kind;
  pen = Math.min(pen, Math.max(0, PENS[kind].length - 1));
  $('pens').hidden = kind === 'curve';
  $('pens').replaceChildren(...PENS[kind].map((value, k) => make('button', { type: 'button', class: 'pen',
    'aria-label': `${kind === 'classes' ? 'class' : 'value'} ${show(value)}`, 'aria-pressed': k === pen,
    style: `--own:${kind === 'classes' ? `var(${COLOURS[k]})` : palette ? css(value ? signed(value) : palette['--soft']) : 'inherit'}`,
    click: () => { pen = k; showSetup(); } }, show(value))));
  $('undo').disabled = $('clear').disabled = !settings.points.length;
}

function setKind(kind) {
  if (kind === settings.kind) return;
  const toClass = (value) => (value > 0 ? 1 : 0);
  const toValue = (value) => (settings.kind === 'classes' ? [-1, 1, 0, 0.5][value] : value);
  const points = settings.points.map(([x, y, value]) => [x, y, kind === 'classes' ? toClass(value) : toValue(value)]);
  pen = 0;
  if (csv) {
    Object.assign(settings, { kind, points: [] });
    repair(settings);
    showSetup();
    showColumns();
  } else change((s) => Object.assign(s, { kind, points }));
}

async function readFile(file) {
  if (file.size > 5e6) return problem('The file is larger than 5 MB.');
  const text = await file.text();
  if (/\.json$/i.test(file.name)) return openSaved(text);
  const table = parseTable(text);
  if (table.error) return problem(table.error);
  problem('');
  csv = table;
  const numbers = csv.numeric.filter(Boolean).length;
  const kind = csv.names.length > 2 && classColumn() >= 0 ? 'classes' : numbers > 2 ? 'values' : 'curve';
  Object.assign(settings, { data: 'own', kind, points: [] });
  repair(settings);
  showSetup();
  return showColumns();
}

// The last column with so few different values that they can be classes, or −1
const classColumn = () => csv.names.findLastIndex((_, k) =>
  new Set(csv.rows.map((row) => row[k])).size <= limits.classes);

// A table of text: separators and quotes as in CSV, the first row as names if it has no numbers
function parseTable(text) {
  const first = text.slice(0, text.indexOf('\n') + 1 || undefined);
  const separator = [',', ';', '\t'].sort((a, b) => first.split(b).length - first.split(a).length)[0];
  const rows = [[]];
  let [field, quoted, before] = ['', false, ''];
  for (const character of `${text.replace(/\r\n?/g, '\n').replace(/\n*$/, '')}\n`) {
    if (character === '"') {
      if (!quoted && before === '"') field += '"'; // two in a quoted field are one
      quoted = !quoted;
    } else if (quoted) field += character;
    else if (character === separator || character === '\n') {
      field = field.trim();
      rows.at(-1).push(separator === ',' ? field : field.replace(/^([+-]?\d*),(\d+)$/, '$1.$2')); // 0,5
      field = '';
      if (character === '\n') rows.push([]);
    } else field += character;
    before = character;
  }
  rows.pop();
  const width = rows[0]?.length ?? 0;
  const isNumber = (x) => x !== '' && Number.isFinite(Number(x));
  const named = rows.length > 0 && !rows[0].some(isNumber);
  const names = named ? rows.shift() : Array.from({ length: width }, (_, k) => `column ${k + 1}`);
  const whole = rows.filter((row) => row.length === width);
  const numeric = names.map((_, k) => whole.length > 0 && whole.every((row) => isNumber(row[k])));
  const other = rows.findIndex((row) => row.length !== width && row.join(''));
  if (quoted || width < 2 || whole.length < 4) {
    return { error: 'The file must be a table with two columns or more and four rows or more.' };
  }
  if (other >= 0) {
    return { error: `Row ${other + 1 + named} of the file has ${rows[other].length} fields; the first has ${width}.` };
  }
  if (numeric.filter(Boolean).length < 2) return { error: 'The file must have two columns of numbers or more.' };
  return { names, rows: whole, numeric };
}

function showColumns() {
  const numbers = csv.names.flatMap((_, k) => (csv.numeric[k] ? [k] : []));
  const fewest = classColumn();
  const field = (name, options, value) => {
    const input = make('select', { name }, options.map((k) => make('option', { value: k }, csv.names[k] || `column ${k + 1}`)));
    input.value = value;
    return make('label', { class: 'field' }, make('span', {}, name), input);
  };
  const form = $('columns');
  const { kind } = settings;
  const inputs = kind === 'classes' ? numbers.filter((k) => k !== fewest) : numbers;
  const third = { classes: ['class', csv.names.map((_, k) => k), fewest < 0 ? csv.names.length - 1 : fewest],
    values: ['value', numbers, numbers.at(-1)] }[kind];
  form.hidden = false;
  form.replaceChildren(field('x', numbers, inputs[0] ?? numbers[0]), field('y', numbers, inputs[1] ?? numbers[1]),
    third ? field(...third) : '',
    make('div', { class: 'row' }, make('button', { class: 'small' }, 'Use these columns'),
      make('button', { class: 'small', type: 'button', click: dropColumns }, 'Cancel')),
    make('p', { class: 'soft' }, `${csv.rows.length} rows${everyRow() > 1 ? `, of which one in ${everyRow()} is used` : ''}. Numbers are scaled to −1 … 1.`));
}

const everyRow = () => Math.ceil(csv.rows.length / limits.samples);

function dropColumns() {
  csv = null;
  $('columns').hidden = true;
  if (accepted) settings = JSON.parse(accepted);
  showSetup();
}

function useColumns(event) {
  event.preventDefault();
  const column = (name) => Number($('columns').elements[name]?.value ?? -1);
  const kind = column('class');
  const kinds = kind < 0 ? [] : [...new Set(csv.rows.map((row) => row[kind]))].sort();
  if (kind >= 0 && (kinds.length < 2 || kinds.length > limits.classes)) {
    problem(`The column for the class must have 2 to ${limits.classes} different values; ${csv.names[kind]} has ${kinds.length}.`);
    return;
  }
  const rows = csv.rows.filter((_, i) => i % everyRow() === 0);
  const scaled = ['x', 'y', 'value'].map(column).map((k) => {
    const values = rows.map((row) => Number(row[k] ?? 0));
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return values.map((v) => Number((high > low ? (2 * (v - low)) / (high - low) - 1 : 0).toFixed(3)));
  });
  $('columns').hidden = true;
  csv = null;
  change((s) => { s.points = rows.map((row, i) => [scaled[0][i], scaled[1][i], kind < 0 ? scaled[2][i] : kinds.indexOf(row[kind])]); }, true);
}

// ---- A training again: its settings, edits and steps, from a link or a file

const lean = (own) => Object.fromEntries(Object.entries(own).filter(([name, value]) =>
  JSON.stringify(value) !== JSON.stringify(defaults[name])));

function linkTo({ step, log }) {
  const [[, first], ...rest] = log;
  if (!step && !rest.length) return address();
  const changes = rest.map(([at, own]) => [at, own.settings ? { settings: lean(own.settings) } : own]);
  const then = changes.length ? `&then=${encodeURIComponent(JSON.stringify(changes))}` : '';
  return `${address(first.settings)}&step=${step}${then}`.replace('#&', '#');
}

async function openSaved(text) {
  const saved = attempt(() => JSON.parse(text));
  const good = saved?.playground === 1 && Number.isInteger(saved.step) && isLog(saved.log) && saved.log[0]?.[1].settings;
  if (!good) return problem('The file is not a training that the playground has saved.');
  for (const id of Object.keys(VIEW)) setView(id, String(saved.view?.[id] ?? VIEW[id]));
  return repeat(saved.log, saved.step);
}

let repeating = false;

async function repeat(log, step) {
  pause();
  const [[, { settings: first }], ...rest] = log;
  repeating = true;
  for (const id of ['controls', 'setup', 'training', 'network']) $(id).inert = true;
  await takeAgain(first, [...rest, [step, {}]], Math.max(10, Math.ceil(step / 150)));
  repeating = false;
  for (const id of ['controls', 'setup', 'training', 'network']) $(id).inert = false;
  $('repeat').hidden = true;
  announceNow();
}

async function takeAgain(first, changes, atOnce) {
  const take = async (name, question) => {
    const answer = await ask(name, question);
    if (answer) takeWhole(answer);
    return answer;
  };
  if (!await take('start', { settings: first })) return;
  const [end] = changes.at(-1);
  for (const [at, own] of changes) {
    while (repeating && state.runs[0].step < at) {
      $('repeat').hidden = false;
      $('repeat').firstElementChild.textContent = `Taking step ${state.runs[0].step.toLocaleString('en')} of ${end.toLocaleString('en')} again.`;
      if (!await request(clamp(at - state.runs[0].step, 1, Math.min(limits.steps, atOnce)))) return;
      draw();
    }
    if (!repeating) return;
    if (own.settings && !await take('change', { settings: own.settings })) return;
    if (own.edit && !await take('edit', own.edit)) return;
  }
}

async function begin() {
  await (later ? repeat([[0, { settings }], ...later.log], later.step) : start());
  if (state) return;
  const reason = $('problem').textContent;
  settings = structuredClone(defaults);
  if (await start()) problem(`The address can't be used: ${reason}`);
}

// ---- A picture of what is shown: canvases and texts at their places

function picture() {
  const parts = ['network', 'output', 'charts'].map($).filter((own) => own.offsetParent);
  const boxes = parts.map((own) => own.getBoundingClientRect());
  const [left, top] = ['left', 'top'].map((side) => Math.min(...boxes.map((box) => box[side])));
  const [right, bottom] = ['right', 'bottom'].map((side) => Math.max(...boxes.map((box) => box[side])));
  const canvas = make('canvas', { width: 2 * (right - left), height: 2 * (bottom - top) });
  const c = canvas.getContext('2d');
  c.scale(2, 2);
  c.translate(-left, -top);
  c.fillStyle = css(palette['--card']);
  c.fillRect(left, top, right - left, bottom - top);
  for (const part of parts) {
    for (const own of part.querySelectorAll('canvas')) {
      const box = own.getBoundingClientRect();
      c.drawImage(own, box.left, box.top, box.width, box.height);
    }
    for (const own of part.querySelectorAll('i.dot, i.key, i.swatch')) {
      const [box, style] = [own.getBoundingClientRect(), getComputedStyle(own)];
      const key = own.matches('.key');
      c.fillStyle = c.strokeStyle = key || own.matches('.hollow') ? style.borderTopColor : style.backgroundColor;
      c.lineWidth = 2;
      c.setLineDash(own.matches('.dashed') ? [3, 2] : []);
      c.beginPath();
      if (key) [c.moveTo(box.left, box.top + 1), c.lineTo(box.right, box.top + 1)];
      else c.arc(box.left + box.width / 2, box.top + box.height / 2, box.width / 2 - 1, 0, 7);
      if (key || own.matches('.hollow')) c.stroke(); else c.fill();
      c.setLineDash([]);
    }
    const texts = document.createTreeWalker(part, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const { currentNode: text } = texts;
      const parent = text.parentElement;
      if (!text.data.trim() || parent.closest('button, label, select, details, [hidden]')) continue;
      const range = document.createRange();
      range.selectNodeContents(text);
      const box = range.getClientRects()[0];
      if (!box) continue;
      const style = getComputedStyle(parent);
      c.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
      c.fillStyle = style.color;
      c.textBaseline = 'middle';
      c.fillText(text.data.trim(), box.left, box.top + box.height / 2);
    }
  }
  return canvas;
}

// ---- Out of it: link, script, walkthrough, picture, file

function save(blob, name) {
  const link = make('a', { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function prepareActions() {
  $('link').addEventListener('click', async () => {
    pause();
    const found = await ask('log', {});
    if (!found) return;
    const text = location.href.split('#')[0] + linkTo(found);
    await navigator.clipboard?.writeText(text).catch(() => {});
    $('live').textContent = `Copied: ${text}`;
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
  $('picture').addEventListener('click', () => picture().toBlob(
    (blob) => save(blob, `playground-step-${state.runs[0].step}.png`)));
  $('save').addEventListener('click', async () => {
    pause();
    const found = await ask('log', {});
    if (!found) return;
    const view = Object.fromEntries(Object.keys(VIEW).map((id) => [id, $(id).value]));
    save(new Blob([JSON.stringify({ playground: 1, ...found, view })], { type: 'application/json' }), 'playground.json');
  });
  $('open').addEventListener('change', () => { readFile($('open').files[0]); $('open').value = ''; });
  for (const id of Object.keys(VIEW)) {
    $(id).addEventListener('change', () => {
      keepAddress();
      showSetup();
      draw();
    });
  }
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
addEventListener('hashchange', () => {
  if (String(hiddenByAddress()) !== String(hiddenParts)) return location.reload();
  settings = readAddress();
  return begin();
});
$('repeat').lastElementChild.addEventListener('click', () => { repeating = false; });
hideParts();
begin();
