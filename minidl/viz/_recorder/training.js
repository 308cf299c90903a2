// A recorded training, after network.js. `current` is the number of a look; everything is drawn for it.

const recorded = JSON.parse($('recorded').textContent);
const floats = (text) => unpack(text, Float64Array);
const { steps, layers, taken } = recorded;
const at = floats(recorded.at); // the steps whose loss and rate the page has
const epochEnds = floats(recorded.epochEnds);
const SIZE = { width: 340, height: 150, left: 46, right: 332, top: 8, bottom: 130 };
const BINS = 24;
const CLASSES = Array.from({ length: 8 }, (_, k) => `--class-${k}`);

// ---- Numbers as text

const show = (x, digits = 4) => (x === null || x === undefined || Number.isNaN(x) ? '–'
  : !Number.isFinite(x) ? (x > 0 ? '∞' : '−∞')
  : x !== 0 && (Math.abs(x) < 1e-3 || Math.abs(x) >= 1e6)
    ? x.toExponential(digits - 1).replace(/\.?0+e/, 'e').replace('e+', 'e').replaceAll('-', '−')
  : Number(x.toPrecision(digits)).toString().replace('-', '−'));

// ---- Colors

const readColours = () => readPalette(['--card', '--ink', '--soft', '--negative', '--positive', ...CLASSES]);
const layerColour = (l, of) => `color-mix(in oklab, var(--positive), var(--negative) ${of > 1 ? Math.round((100 * l) / (of - 1)) : 0}%)`;

function paint(canvas, width, height, colourAt) {
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext('2d');
  const pixels = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) pixels.data.set([...colourAt(i), 255], 4 * i);
  context.putImageData(pixels, 0, 0);
}

// ---- Curves over the steps

const column = (text, width, k) => {
  const all = floats(text);
  return Float64Array.from(steps, (_, i) => all[i * width + k]);
};
const byLayer = (values) => layers.map((name, l) => ({ name, colour: layerColour(l, layers.length), x: steps, ...values(l) }));

function chartList() {
  const epoch = (name, text, more) => ({ name, x: epochEnds, y: floats(text), ...more });
  const charts = [{ title: 'loss', log: true, series: [
    { name: 'of the step', x: at, y: floats(recorded.loss), colour: 'var(--positive)', faint: true, exact: true },
    ...(recorded.epochs.loss ? [epoch('of the epoch', recorded.epochs.loss, { colour: 'var(--positive)' })] : []),
    ...(recorded.epochs.validation ? [epoch('validation', recorded.epochs.validation, { colour: 'var(--negative)', dashed: true })] : []),
  ] }];
  const names = Object.keys(recorded.metrics);
  for (const name of names.filter((own) => !(own.startsWith('validation_') && names.includes(own.slice(11))))) {
    const validation = recorded.metrics[`validation_${name}`];
    charts.push({ title: name, series: [epoch('training', recorded.metrics[name], { colour: 'var(--positive)' }),
      ...(validation ? [epoch('validation', validation, { colour: 'var(--negative)', dashed: true })] : [])] });
  }
  charts.push({ title: 'rate η', zero: true, series: [{ name: '', x: at, y: floats(recorded.rate), colour: 'var(--positive)', exact: true }] });
  const norm = (k) => byLayer((l) => ({ y: column(recorded.norms, 2 * layers.length, 2 * l + k), exact: true }));
  const note = layers.length < recorded.allLayers ? `the first ${layers.length} of ${recorded.allLayers} layers` : 'by layer';
  charts.push({ title: 'gradient norm', note, log: true, series: norm(0) });
  charts.push({ title: 'update : weights', note, log: true, series: norm(1) });
  const quantile = (l, k) => column(recorded.rates, 3 * layers.length, 3 * l + k);
  const rates = byLayer((l) => ({ y: quantile(l, 1), band: [quantile(l, 0), quantile(l, 2)], exact: true }));
  if (rates.some(({ y }) => y.some(Number.isFinite))) {
    charts.push({ title: 'effective rates', note: 'median, 5 … 95 %', log: true, series: rates });
  }
  const known = recorded.activations.filter(({ kind }) => ['relu', 'tanh', 'sigmoid'].includes(kind));
  if (known.length) {
    const relu = known.every(({ kind }) => kind === 'relu');
    charts.push({ title: relu ? 'dead units' : 'saturated', note: relu ? '0 for all samples' : 'share of the outputs', share: true,
      series: known.map(({ name, idle }, l) => ({ name, x: steps, y: floats(idle), colour: layerColour(l, known.length), exact: true })) });
  }
  return charts;
}

let charts = [];

function buildCharts() {
  charts = chartList().map((chart) => {
    const values = chart.series.flatMap(({ y, band }) => [...y, ...(band ?? []).flatMap((own) => [...own])])
      .filter((y) => Number.isFinite(y) && (!chart.log || y > 0));
    let low = chart.zero || chart.share ? 0 : Math.min(...values);
    let high = chart.share ? 1 : Math.max(...values);
    if (!values.length) [low, high] = [chart.log ? 0.1 : 0, 1];
    if (!(high > low)) [low, high] = chart.log ? [low / 2, high * 2] : [low - (low ? Math.abs(low) / 2 : 0), high + (Math.abs(high) / 2 || 1)];
    const to = chart.log ? Math.log : (y) => y;
    const atX = (step) => SIZE.left + ((SIZE.right - SIZE.left) * step) / Math.max(1, taken);
    const atY = (y) => SIZE.bottom - ((SIZE.bottom - SIZE.top) * (to(y) - to(low))) / (to(high) - to(low));
    const drawable = (y) => Number.isFinite(y) && (!chart.log || y > 0);
    const point = (x, y) => `${atX(x).toFixed(1)} ${atY(y).toFixed(1)}`;
    const paths = chart.series.flatMap(({ x, y, colour, faint, dashed, band }) => {
      let d = '';
      let pen = false;
      y.forEach((value, i) => {
        if (drawable(value)) d += `${pen ? 'L' : 'M'}${point(x[i], value)}`;
        pen = drawable(value);
      });
      const line = make('path', { d, class: faint ? 'faint' : '', style: `stroke:${colour}`, 'stroke-dasharray': dashed ? '5 3' : null });
      if (!band) return [line];
      const rows = [...x].flatMap((step, i) => (drawable(band[0][i]) && drawable(band[1][i]) ? [i] : []));
      const edge = [...rows.map((i) => point(x[i], band[1][i])), ...rows.toReversed().map((i) => point(x[i], band[0][i]))];
      return [make('path', { class: 'band', d: edge.length ? `M${edge.join('L')}Z` : '', style: `fill:${colour}` }), line];
    });
    const text = (x, y, anchor, content) => {
      const element = document.createElementNS(SVG, 'text');
      for (const [name, value] of Object.entries({ x, y, 'text-anchor': anchor })) element.setAttribute(name, value);
      element.textContent = content;
      return element;
    };
    const frame = [SIZE.top, SIZE.bottom].map((y) => make('line', { class: 'frame', x1: SIZE.left, x2: SIZE.right, y1: y, y2: y }));
    const cursor = make('line', { class: 'cursor', y1: SIZE.top, y2: SIZE.bottom });
    const label = (y) => (chart.share ? `${100 * y} %` : show(y, 2));
    const svg = make('svg', { viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: 'img' }, ...frame, ...paths, cursor,
      text(SIZE.left - 5, SIZE.top + 7, 'end', label(high)), text(SIZE.left - 5, SIZE.bottom, 'end', label(low)),
      text(SIZE.left, SIZE.height - 4, 'start', '0'), text(SIZE.right, SIZE.height - 4, 'end', `step ${taken.toLocaleString('en')}`));
    const keys = make('p', { class: 'keys' });
    const heading = make('figcaption', {}, make('b', {}, chart.title), chart.note && make('span', { class: 'soft' }, chart.note));
    $('charts').append(make('figure', { class: 'card' }, heading, svg, keys));
    const seek = (event) => {
      const { left, width } = svg.getBoundingClientRect();
      const x = ((event.clientX - left) / width) * SIZE.width;
      const step = ((x - SIZE.left) / (SIZE.right - SIZE.left)) * taken;
      move(steps.reduce((best, own, k) => (Math.abs(own - step) < Math.abs(steps[best] - step) ? k : best), 0));
    };
    svg.addEventListener('pointerdown', (event) => { svg.setPointerCapture(event.pointerId); seek(event); });
    svg.addEventListener('pointermove', (event) => { if (event.buttons === 1) seek(event); });
    return { ...chart, svg, cursor, keys, atX };
  });
}

// The value of a curve at a step: of that very step, or of the last epoch before
function valueAt({ x, y, exact }, step) {
  let i = x.length - 1;
  while (i >= 0 && x[i] > step) i -= 1;
  return i < 0 || (exact && x[i] !== step) ? NaN : y[i];
}

function drawCharts(step) {
  for (const { series, svg, cursor, keys, atX, title, note, share } of charts) {
    for (const name of ['x1', 'x2']) cursor.setAttribute(name, atX(step));
    const named = series.map((own) => [own, share ? percent(valueAt(own, step)) : show(valueAt(own, step))]);
    keys.replaceChildren(...named.map(([{ name, colour, dashed, faint }, text]) => make('span', { title: name },
      make('i', { class: `key${dashed ? ' dashed' : ''}${faint ? ' faint' : ''}`, style: `--own:${colour}` }), `${name} `, make('b', {}, text))));
    svg.setAttribute('aria-label', `${title}${note ? `, ${note}` : ''}: ${named.map(([{ name }, text]) => `${name} ${text}`).join(', ')}`);
  }
}

// ---- The map

const map = recorded.map;
const given = map && { looks: map.looks.map((text) => unpack(text, Uint8Array)), points: unpack(map.points, Float32Array), targets: unpack(map.targets, Float32Array) };

function buildMap() {
  $('output').hidden = !map;
  if (!map) return;
  const dot = (k) => make('i', { class: 'dot', style: `--own:var(${CLASSES[k]})` });
  const items = map.classes ? Array.from({ length: map.classes }, (_, k) => make('li', {}, dot(k), `class ${k}`))
    : map.inputs === 1 ? [make('li', {}, make('i', { class: 'stroke' }), 'the model'), make('li', {}, make('i', { class: 'dot', style: '--own:var(--positive)' }), 'data')]
    : [make('li', {}, make('i', { class: 'ramp' }), `${show(-largest(), 2)} to ${show(largest(), 2)}`)];
  $('legend').replaceChildren(...items);
  const range = ([low, high]) => `${show(low, 3)} … ${show(high, 3)}`;
  $('axes').textContent = map.inputs === 1 ? `input ${range(map.x[0])}, output ${range(map.value)}`
    : `input 1 →  ${range(map.x[0])}, input 2 ↑  ${range(map.x[1])}`;
  $('map').addEventListener('pointermove', (event) => tip(event, outputText(event)));
  $('map').addEventListener('pointerleave', hideTip);
}

const largest = () => Math.max(...map.value.map(Math.abs)) || 1;
const valueOf = (code) => map.value[0] + (code / 255) * (map.value[1] - map.value[0]);

// The probability of a class at a point of the grid; of two classes the page has that of class 1
function shareOf(codes, k, i) {
  const n = map.side ** 2;
  return map.classes === 2 ? (k ? codes[i] : 255 - codes[i]) : codes[k * n + i];
}

function drawMap() {
  if (!map) return;
  const canvas = $('map');
  const codes = given.looks[current];
  const size = canvas.clientWidth || 320;
  const ratio = devicePixelRatio || 1;
  canvas.width = canvas.height = Math.round(size * ratio);
  const c = canvas.getContext('2d');
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  const inside = ([low, high], x) => ((x - low) / (high - low || 1)) * size;
  const heights = map.inputs === 1 ? spread(map.value) : map.x[1];
  if (map.inputs === 2) {
    const small = make('canvas');
    paint(small, map.side, map.side, (i) => {
      if (!map.classes) return signed(valueOf(codes[i]) / largest());
      let best = 0;
      for (let k = 1; k < map.classes; k++) if (shareOf(codes, k, i) > shareOf(codes, best, i)) best = k;
      const sure = (shareOf(codes, best, i) / 255 - 1 / map.classes) / (1 - 1 / map.classes);
      return mix(palette['--card'], palette[CLASSES[best]], 0.06 + 0.5 * clamp(sure, 0, 1));
    });
    const half = size / (map.side - 1) / 2; // the first and the last points lie on the sides
    c.drawImage(small, -half, -half, size + 2 * half, size + 2 * half);
  }
  given.targets.forEach((target, i) => {
    const [x, y] = [inside(map.x[0], given.points[i * map.inputs]), size - inside(heights, map.inputs === 1 ? target : given.points[2 * i + 1])];
    c.beginPath();
    c.arc(x, y, 2.8, 0, 7);
    c.fillStyle = css(map.classes ? palette[CLASSES[target]] : map.inputs === 1 ? palette['--positive'] : signed(target / largest()));
    c.fill();
    c.strokeStyle = css(palette[map.classes || map.inputs === 1 ? '--card' : '--soft']);
    c.stroke();
  });
  if (map.inputs === 1) {
    c.beginPath();
    codes.forEach((code, i) => c.lineTo((size * i) / (codes.length - 1), size - inside(heights, valueOf(code))));
    [c.lineWidth, c.strokeStyle] = [2.5, css(palette['--ink'])];
    c.stroke();
  }
  canvas.setAttribute('aria-label', `What the model gives over its inputs after step ${steps[current]}`);
}

const spread = ([low, high]) => [low - 0.05 * (high - low), high + 0.05 * (high - low)];

function outputText(event) {
  const { left, top, width } = $('map').getBoundingClientRect();
  const [u, v] = [(event.clientX - left) / width, (event.clientY - top) / width].map((t) => clamp(t, 0, 1));
  const codes = given.looks[current];
  const along = ([low, high], t) => show(low + t * (high - low), 3);
  if (map.inputs === 1) return `${along(map.x[0], u)}: ${show(valueOf(codes[Math.round(u * (codes.length - 1))]), 3)}`;
  const i = Math.round(v * (map.side - 1)) * map.side + Math.round(u * (map.side - 1));
  const where = `${along(map.x[0], u)}, ${along(map.x[1], 1 - v)}`;
  if (!map.classes) return `${where}: ${show(valueOf(codes[i]), 3)}`;
  return [where, ...Array.from({ length: map.classes }, (_, k) => `class ${k}: ${(shareOf(codes, k, i) / 2.55).toFixed(1)} %`)].join('\n');
}

// ---- The first layer: a picture for each unit, or a table of colors, a row for each input

const first = recorded.first;
const firstCodes = first && first.values.map((text) => unpack(text, Int8Array));
const firstTop = first && (Math.max(...first.tops) || 1);

function buildFirst() {
  $('weights').hidden = !first;
  if (!first) return;
  const cut = first.units < first.shape[1] ? `; the first ${first.units} units are shown` : '';
  const rows = first.inputs < first.shape[0] ? `; the first ${first.inputs} inputs are shown` : '';
  const form = first.side ? '' : '; a row for each input, a column for each unit';
  document.querySelector('#weights > p').textContent = `${first.name}, ${first.shape.join(' × ')}${form}${cut}${rows}. Blue is positive, orange negative.`;
  $('units').classList.toggle('whole', !first.side);
  const count = first.side ? first.units : 1;
  $('units').replaceChildren(...Array.from({ length: count }, () => make('canvas', { role: 'img' })));
  if (first.side) return;
  const canvas = $('units').firstChild;
  const ratio = clamp((first.inputs * 1.2) / first.units, 0.15, 2);
  canvas.style.aspectRatio = String(1 / ratio);
  canvas.addEventListener('pointermove', (event) => {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    const place = (t, n) => clamp(Math.floor(t * n), 0, n - 1);
    const [i, j] = [place((event.clientY - top) / height, first.inputs), place((event.clientX - left) / width, first.units)];
    tip(event, `[${i}, ${j}] ≈ ${show((firstCodes[current][j * first.inputs + i] / 127) * first.tops[current], 2)}`);
  });
  canvas.addEventListener('pointerleave', hideTip);
}

function drawFirst() {
  if (!first) return;
  const codes = firstCodes[current];
  const scale = first.tops[current] / 127 / firstTop;
  const colour = (unit, input) => signed(codes[unit * first.inputs + input] * scale);
  [...$('units').children].forEach((canvas, unit) => {
    if (first.side) paint(canvas, first.side, first.side, (i) => colour(unit, i));
    else paint(canvas, first.units, first.inputs, (i) => colour(i % first.units, Math.floor(i / first.units)));
    canvas.setAttribute('aria-label', `Weights ${first.side ? `of unit ${unit + 1} ` : ''}after step ${steps[current]}, the largest ${show(first.tops[current], 3)}`);
  });
}

// ---- Activations

const activations = recorded.activations.map((own) => ({ ...own, bars: unpack(own.bars, Uint8Array),
  idle: floats(own.idle), mean: floats(own.mean), std: floats(own.std) }));

function buildActivations() {
  const why = recorded.why || (activations.length ? 'What each layer gives for some of the samples.' : 'The model has no activation functions.');
  document.querySelector('#activations > p').textContent = why;
  $('histograms').replaceChildren(...activations.map(({ name }) => {
    const bars = Array.from({ length: BINS }, () => {
      const bar = document.createElementNS(SVG, 'rect');
      bar.setAttribute('width', '5');
      return bar;
    });
    return make('div', {}, make('b', {}, name),
      make('svg', { viewBox: `0 0 ${6 * BINS} 52`, role: 'img' }, ...bars, make('line', { x1: 0, x2: 6 * BINS, y1: 51, y2: 51 })),
      make('p'));
  }));
}

function drawActivations() {
  [...$('histograms').children].forEach((box, k) => {
    const { bars, idle, mean, std, low, high, kind, name } = activations[k];
    [...box.querySelectorAll('rect')].forEach((bar, b) => {
      const tall = (bars[current * BINS + b] / 255) * 50;
      for (const [attribute, value] of Object.entries({ x: 6 * b, y: 51 - tall, height: tall })) bar.setAttribute(attribute, value);
    });
    const word = kind === 'relu' ? 'dead' : 'saturated';
    const text = `${show(low, 2)} … ${show(high, 2)}; mean ${show(mean[current], 3)} ± ${show(std[current], 3)}${
      Number.isNaN(idle[current]) ? '' : `; ${word} ${percent(idle[current])}`}`;
    box.querySelector('p').textContent = text;
    box.querySelector('svg').setAttribute('aria-label', `Histogram of ${name}: ${text}`);
  });
}

// ---- Begin

function summary() {
  return charts.slice(0, 2).map(({ title, series }) => `${title} ${series.map((own) => `${own.name} ${show(valueAt(own, steps[current]))}`).join(', ')}`).join('; ');
}

function draw() {
  const step = steps[current];
  drawCharts(step);
  drawMap();
  drawFirst();
  drawActivations();
  const epochs = epochEnds.filter((end) => end <= step).length;
  $('count').textContent = `step ${step.toLocaleString('en')} of ${taken.toLocaleString('en')}, epoch ${epochs + (step && epochEnds.includes(step) ? 0 : 1)}`;
  $('scrub').setAttribute('aria-valuetext', `step ${step}`);
}

function redraw() {
  readColours();
  if (charts.length) draw();
}

$('theme').hidden = false;
$('controls').hidden = false;
end = steps.length - 1;
buildCharts();
buildMap();
buildFirst();
buildActivations();
prepareTheme(redraw);
readColours();
prepareSteps({ show: draw, announce: () => { $('live').textContent = `Step ${steps[current]}: ${summary()}.`; }, pace: () => Math.max(4, steps.length / 8) });
const asked = Number(new URLSearchParams(location.hash.slice(1)).get('step') ?? NaN);
go(Number.isFinite(asked) ? Math.max(0, steps.findLastIndex((step) => step <= asked)) : end, true);
addEventListener('resize', redraw);
