// The live page of a race, after race.js: a click or the fields set the start, sliders the options.
// Each change asks the server for a new race, which takes the place of the one that is shown.

const first = JSON.stringify({ start: origin, noise, options: {} });
let question = JSON.parse(first);
let asking = false;
let changed = false; // whether the question has changed since it was sent

async function ask() { // one question at a time, and the newest next
  changed = true;
  if (asking) return;
  asking = true;
  while (changed) {
    changed = false;
    const answer = await answered();
    $('problem').textContent = answer.error ?? '';
    if (!answer.error) takeOver(answer);
  }
  asking = false;
  page.announce();
}

async function answered() {
  try {
    const response = await fetch('race', { method: 'POST', body: JSON.stringify(question) });
    return await response.json();
  } catch {
    return { error: 'The server does not answer. It ends with the command that started it.' };
  }
}

function takeOver(answer) {
  ({ start: origin, noise } = answer);
  answer.runs.forEach((own, i) => {
    Object.assign(runs[i], unpackRun(own), { charts: null });
    runs[i].row.title = `${own.name}, rate ${own.rate}`;
  });
  chartRange = findChartRange();
  if (mesh) mesh.segments = runs.map(drapePath);
  document.querySelector('.description').replaceChildren(
    ...answer.description.map((line) => make('li', {}, line)));
  document.querySelector('#text pre').textContent = answer.text;
  hover(null);
  draw();
}

// ---- The start: a click, or a drag with a mouse

const RESOLUTION = 10 ** Math.floor(Math.log10(width / 400)); // of a start that is clicked

function setStart(point) {
  const rounded = point.map((x) => Number((Math.round(x / RESOLUTION) * RESOLUTION).toPrecision(12)));
  question.start = [clamp(rounded[0], ...surface.x), clamp(rounded[1], ...surface.y)];
  showControls();
  ask();
}

function prepareStart() {
  const canvas = $('surface');
  const startAt = ({ clientX, clientY }) => {
    const { left: x, top: y } = canvas.getBoundingClientRect();
    const place = [clientX - x, clientY - y];
    if (in3D || !inBox(place, plane.box)) return;
    setStart([left + (place[0] - plane.box[0]) / plane.sx, top - (place[1] - plane.box[1]) / plane.sy]);
  };
  canvas.addEventListener('click', startAt);
  canvas.addEventListener('pointermove', (event) => {
    if (event.buttons === 1 && event.pointerType === 'mouse') startAt(event);
  });
}

// ---- The sliders: positions are steps, and each step is a value

const digits = (x) => Number(x.toPrecision(2));
const RATE = { low: -100, high: 20, // 20 positions for each power of ten, from 0.00001 to 10
  to: (x) => (x > 0 ? 20 * Math.log10(x) : -100), from: (at) => digits(10 ** (at / 20)) };
const FRACTION = { low: 0, high: 80, // the same for 1 − β, from 1 to 0.0001
  to: (x) => -20 * Math.log10(1 - x), from: (at) => 1 - digits(10 ** (-at / 20)) };
const NOISE = { low: 0, high: 81, // 0, and from 0.01 to 100
  to: (x) => (x > 0 ? 41 + 20 * Math.log10(x) : 0),
  from: (at) => (at > 0 ? digits(10 ** ((at - 41) / 20)) : 0) };

function slider(word, symbol, label, scale, value, set) {
  const at = Math.round(scale.to(value));
  const input = make('input', { type: 'range', 'aria-label': label, step: 1, value: at,
    min: Math.min(scale.low, at), max: Math.max(scale.high, at) });
  const output = make('output', {});
  const show = (x) => {
    output.textContent = formatNumber(x, 4);
    input.setAttribute('aria-valuetext', output.textContent);
  };
  input.addEventListener('input', () => {
    const x = Number(scale.from(Number(input.value)).toPrecision(12));
    show(x);
    set(x);
    ask();
  });
  show(value);
  return make('label', {}, make('span', {}, `${word} `, make('span', { class: 'symbol' }, symbol)),
    input, output);
}

function optionSlider(run, { symbol, option, part, value }) {
  const whole = () => question.options[run.name]?.[option];
  const now = whole()?.[part] ?? whole() ?? value;
  const set = (x) => {
    const own = question.options[run.name] ??= {};
    const both = data.controls[run.i].filter((other) => other.option === option);
    if (part === null) own[option] = x;
    else (own[option] ??= both.map((other) => other.value))[part] = x;
  };
  const [word, scale] = option === 'lr' ? ['rate', RATE] : [option, FRACTION];
  return slider(word, symbol, `${symbol} of ${run.name}`, scale, now ?? run.rateAt(0), set);
}

function coordinate(axis) {
  const [low, high] = surface['xy'[axis]];
  const input = make('input', { type: 'number', id: `start-${'xy'[axis]}`, step: 'any', min: low,
    max: high, value: question.start[axis],
    change: () => { // an empty field is no start
      if (input.value) question.start[axis] = clamp(Number(input.value), low, high);
      input.value = question.start[axis];
      ask();
    } });
  return make('label', {}, make('span', { class: 'symbol' }, 'xy'[axis]), input);
}

function showStart() {
  const noiseSlider = slider('noise', 'σ', 'σ, the deviation of the noise in each gradient', NOISE,
    question.noise, (x) => { question.noise = x; });
  $('start-fields').replaceChildren(coordinate(0), coordinate(1), noiseSlider);
}

function prepareControls() {
  showStart();
  $('reset').addEventListener('click', () => {
    question = JSON.parse(first);
    showStart();
    showControls(true);
    ask();
  });
}

let shownRun = null; // whose sliders are shown

function showControls(again = false) {
  ['start-x', 'start-y'].forEach((id, axis) => {
    if (document.activeElement !== $(id)) $(id).value = question.start[axis];
  });
  const run = runs[selected];
  if (run === shownRun && !again) return;
  shownRun = run;
  $('options').style.setProperty('--colour', run.colour);
  $('options-of').textContent = run.name;
  $('sliders').replaceChildren(
    ...data.controls[run.i].map((control) => optionSlider(run, control)));
}

prepareControls();
prepareStart();
onDraw = showControls;
if (location.hash) draw();
else go(end);
