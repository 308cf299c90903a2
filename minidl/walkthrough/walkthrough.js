// The walkthrough's page: shows the steps in the JSON of #walk.

const { omitted, loss, nodes, arrays, steps } = JSON.parse($('walk').textContent);
end = steps.length - 1;
const PHASES = { forward: 'Forward', backward: 'Backward', update: 'Update', summary: 'Summary' };
const MARKS = { forward: 'computed', backward: 'differentiated', update: 'updated' };
const FEW = 4; // rows of inputs that are shown at first; twice as many columns
const SECONDS_PER_STEP = 2.8; // while playing
const COLD = [30, 136, 200];
const HOT = [228, 115, 30];
const runs = []; // consecutive steps of one phase
steps.forEach(({ phase }, k) => {
  if (phase === runs.at(-1)?.phase) runs.at(-1).last = k;
  else runs.push({ phase, first: k, last: k });
});

const titleIfLong = (text) => (text.length > 40 ? { class: 'long', title: text } : {});

// ---- Numbers and indices

const isNumber = (item) => item.length === 2 && item.every((text) => typeof text === 'string');
const tokens = (items) => make('span', { class: 'tokens' },
  items.map((item) => (typeof item === 'string' ? item : number(item))));
const shapeText = (shape) => `(${shape.join(', ')}${shape.length === 1 ? ',' : ''})`;
const bracketed = (index) => (index === '' ? '' : `[${index}]`);
const columns = ({ shape }) => shape.at(-1) ?? 1;
const lines = ({ shape }) => shape.slice(0, -1).reduce((a, b) => a * b, 1);
const flatPosition = ({ shape }, index) => // "3, 1" in a shape of (5, 4) -> 13
  index.split(', ').reduce((position, k, axis) => position * shape[axis] + Number(k), 0);

function indexOf({ shape }, position) { // the inverse
  const index = [];
  for (const size of [...shape].reverse()) {
    index.unshift(position % size);
    position = Math.floor(position / size);
  }
  return index.join(', ');
}

function readIndex({ shape }, text) { // "(3, -1)" -> "3, 3", or null if there is no such entry
  const typed = (text.match(/-?\d+/g) ?? []).map(Number);
  const index = typed.map((k, axis) => (k < 0 ? k + shape[axis] : k));
  const inside = index.length === shape.length && index.every((k, axis) => k >= 0 && k < shape[axis]);
  return inside ? index.join(', ') : null;
}

const READERS = { float32: Float32Array, float64: Float64Array, int64: BigInt64Array,
  int32: Int32Array, uint8: Uint8Array, bool: Uint8Array };
const decoded = new Map();

function valuesOf(array) {
  if (!decoded.has(array)) decoded.set(array, unpack(array.values, READERS[array.dtype]));
  return decoded.get(array);
}

function exactText(value, dtype) { // the fewest digits that determine the value, as in Python
  if (dtype === 'bool') return value ? 'True' : 'False';
  if (!dtype.startsWith('float')) return String(value);
  if (!Number.isFinite(value)) return String(value).toLowerCase().replace('infinity', 'inf');
  let short = value;
  for (let digits = 1; dtype === 'float32' && digits < 10; digits += 1) {
    short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) break;
  }
  const size = Math.abs(short);
  if (size && (size < 1e-4 || size >= 1e16)) {
    return short.toExponential().replace(/e([+-])(\d)$/, 'e$10$2');
  }
  return Number.isInteger(short) ? `${Object.is(short, -0) ? '-0' : short}.0` : String(short);
}

function entryAt(array, index) { // a number, or null if it is not on the page
  for (const [r, row] of array.index.entries()) {
    if (row.includes(index)) return array.rows[r][row.indexOf(index)];
  }
  if (!array.values || !READERS[array.dtype]) return null;
  const exact = exactText(valuesOf(array)[flatPosition(array, index)], array.dtype);
  return [exact.replaceAll('-', '−'), exact];
}

// ---- Arrays

function matrix(array, label, pick) { // its cells are buttons if there is a `pick`
  const cell = (value, index) => {
    const common = { class: `cell number${nonFinite(value[1])}`, title: value[1], 'data-index': index };
    return pick ? make('button', { ...common, type: 'button', 'aria-pressed': 'false',
      'aria-label': `${label}${bracketed(index)} = ${value[0]}`, click: () => pick(index) }, value[0])
      : make('span', common, value[0]);
  };
  const more = (text) => make('td', { class: 'more', 'aria-hidden': 'true' }, text);
  const wide = array.rows.length && array.rows[0].length < columns(array);
  const rows = array.rows.map((row, r) => make('tr', {},
    row.map((value, c) => make('td', {}, cell(value, array.index[r][c]))), wide && more('⋯')));
  if (array.rows.length && array.rows.length < lines(array)) {
    rows.push(make('tr', {}, array.rows[0].map(() => more('⋮')), wide && more('⋱')));
  }
  const table = make('table', { 'aria-label': label }, make('tbody', {}, rows));
  if (pick) rove(table, 'button', array.rows[0]?.length, (button) => pick(button.dataset.index));
  const box = make('div', { class: 'matrix scroll' }, make('div', { class: 'bracket' }, table));
  const widths = (array.rows[0] ?? []).map((_, c) => // in ems: of a digit 0.65, between columns 0.8
    0.8 + 0.65 * Math.max(...array.rows.map((row) => row[c]?.[0].length ?? 0)));
  box.style.setProperty('--ems', widths.reduce((a, b) => a + b, wide ? 3.5 : 1.5));
  return box;
}

function heatMap(array, label, pick) {
  const [height, width] = [array.heat.length, array.heat[0].length];
  const side = Math.max(4, Math.min(20, Math.floor(200 / Math.max(height, width))));
  const canvas = make('canvas', { width, height, role: 'img',
    'aria-label': `Heat map of ${label}, from ${array.min[0]} to ${array.max[0]}` });
  canvas.style.width = `${width * side}px`;
  canvas.style.aspectRatio = `${width * side} / ${Math.max(height * side, 16)}`;
  const diverging = Number(array.min[1]) < 0 && Number(array.max[1]) > 0;
  const image = new ImageData(width, height);
  array.heat.flat().forEach((level, k) => { // the power makes small values visible, as on the scale
    const fraction = diverging ? (level - 128) / 127 : level / 255;
    const strength = Math.min(1, Math.abs(fraction)) ** 0.6;
    image.data.set([...(fraction < 0 ? COLD : HOT), 255 * strength], 4 * k);
  });
  canvas.getContext('2d').putImageData(image, 0, 0);
  canvas.addEventListener('click', ({ clientX, clientY }) => {
    const box = canvas.getBoundingClientRect();
    const along = (fraction, count) => clamp(Math.floor(fraction * count), 0, count - 1);
    const r = along((clientY - box.top) / box.height, lines(array));
    const c = along((clientX - box.left) / box.width, columns(array));
    pick(indexOf(array, r * columns(array) + c));
  });
  const pin = make('i', { hidden: '' });
  const point = (index) => {
    const position = flatPosition(array, index);
    pin.hidden = false;
    pin.style.left = `${100 * ((position % columns(array)) + 0.5) / columns(array)}%`;
    pin.style.top = `${100 * (Math.floor(position / columns(array)) + 0.5) / lines(array)}%`;
  };
  const far = Number(array.max[1]) > -Number(array.min[1]) ? array.max[0] : array.min[0].slice(1);
  const [low, high] = diverging ? [`−${far}`, far] : [array.min[0], array.max[0]];
  const scale = make('div', { class: diverging ? 'scale diverging' : 'scale' }, low, make('i'), high);
  return { elements: [make('div', { class: 'heat' }, canvas, pin), scale], point };
}

// A large array: a corner, its extremes, a heat map, and a field for an index.
function large(array, label, pick, own) {
  const facts = ['min', 'mean', 'max'].filter((key) => array[key])
    .map((key) => make('span', {}, `${key} `, number(array[key])));
  const heat = array.heat && array.min ? heatMap(array, label, pick) : null;
  const field = make('input', { autocomplete: 'off', spellcheck: 'false', inputmode: 'text',
    placeholder: array.shape.map((size) => `0–${size - 1}`).join(', '),
    'aria-label': `Index of an entry of ${label}`,
    input: () => {
      const index = readIndex(array, field.value);
      field.setCustomValidity(index === null ? `An index within ${shapeText(array.shape)}` : '');
      if (index !== null) pick(index, true);
    } });
  const show = (index, typed) => {
    heat?.point(index);
    field.setCustomValidity('');
    if (!typed) field.value = index;
  };
  const box = make('div', { class: 'large' },
    make('div', {}, matrix(array, label, pick), make('div', { class: 'facts' }, facts), own),
    make('div', {}, heat?.elements, make('label', { class: 'open' }, 'Open entry', field)));
  return { box, show };
}

function copyable(text) {
  const code = make('code', {}, text);
  const button = make('button', { type: 'button', class: 'small', click: async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = 'Copied';
    } catch { // not allowed here: select the text, for the user to copy
      getSelection().selectAllChildren(code);
    }
  } }, 'Copy');
  return make('div', { class: 'copyable' }, make('div', { class: 'scroll' }, code), button);
}

function explainLine(array, index, node) {
  const tuple = index && !index.includes(',') ? `${index},` : index;
  return copyable(`walk.explain(${JSON.stringify(nodes[node]?.name ?? array.name)}, (${tuple}))`);
}

function entryLine(array, label, index) { // "W[3, 1] = 0.25"
  const value = entryAt(array, index);
  return make('div', { class: 'tokens' },
    value ? [`${label}${bracketed(index)} = `, number(value)] : [label, bracketed(index)]);
}

// An array with its name. `onPick` is called with the index of a picked entry, which is also shown
// below the array, with the call that explains it, if the array is large or shown by itself.
function figure({ symbol, array: id, node, name }, kind, onPick) {
  const array = arrays[id];
  const label = symbol || array.name;
  const own = kind === 'detail' || !array.whole ? make('div', { class: 'own', role: 'status' }) : null;
  const pick = (onPick || own) && ((index, typed) => {
    for (const cell of box.querySelectorAll('button.cell')) {
      cell.setAttribute('aria-pressed', String(cell.dataset.index === index));
    }
    big?.show(index, typed);
    own?.replaceChildren(...[kind !== 'result' && entryLine(array, label, index),
      explainLine(array, index, node)].filter(Boolean));
    onPick?.(index);
  });
  const big = array.whole ? null : large(array, label, pick, own);
  const title = name ?? nodes[node]?.name ?? array.name;
  const linked = nodes[node] && kind !== 'detail';
  const named = title.length > 40 ? { class: 'name long', title } : { class: 'name' };
  const box = make('figure', { class: `array ${kind}` },
    make('figcaption', {},
      symbol && symbol !== title && make('span', { class: 'symbol' }, symbol, ' '),
      linked ? make('button', { ...named, type: 'button', click: () => openNode(node) }, title)
        : title && make('span', named, title),
      make('span', { class: 'soft' }, ` ${shapeText(array.shape)} ${array.dtype}`),
      kind === 'result' && array.index.flat().length > 1
        && make('span', { class: 'soft hint' }, 'Select a number to see how it is computed.')),
    big?.box, !big && matrix(array, label, pick), !big && own);
  return { box, pick };
}

// ---- A step

// The cells of an operand whose numbers are in a worked line.
function usedCells({ symbol, array }, line) {
  const from = line.filter((item) => typeof item !== 'string' && item[2] === symbol);
  return new Set(from.map(([, , , position]) => indexOf(arrays[array], position)));
}

// The formulas of a step, each with the worked line of one entry, and the arrays of one of them.
function partsCard({ parts, phase, node }) {
  const passed = ({ result }) => result?.node && result.node !== node; // a gradient of an input
  let chosen = phase === 'backward' ? parts.findIndex(passed) : -1;
  if (chosen < 0) chosen = parts.length - 1;
  const first = ({ result }) => (result ? arrays[result.array].index[0]?.[0] : undefined);
  const indices = parts.map(first); // of the entry that each line shows
  const workedLines = parts.map(() => make('div', { class: 'worked' }));
  const panel = make('div', { class: 'panel' });

  const showLine = (k) => {
    const { result, worked } = parts[k];
    const [index, line] = [indices[k], worked[indices[k]]];
    const shown = line ? tokens(line)
      : index !== undefined && entryLine(arrays[result.array], symbolOf(result), index);
    workedLines[k].replaceChildren(...[shown].filter(Boolean));
  };
  const pick = (index) => { // also in the lines of all results of the same shape
    const { shape } = arrays[parts[chosen].result.array];
    parts.forEach(({ result }, k) => {
      if (k !== chosen && String(result && arrays[result.array].shape) !== String(shape)) return;
      if (k !== chosen && !parts[k].worked[index] && !entryAt(arrays[result.array], index)) return;
      indices[k] = index;
      showLine(k);
    });
    markUsed(parts[chosen], index, panel);
  };
  const choose = (k) => {
    chosen = k;
    rows.forEach((row, n) => {
      row.classList.toggle('chosen', n === k && parts.length > 1);
      row.querySelector('button.label')?.setAttribute('aria-pressed', n === k);
      workedLines[n].role = n === k ? 'status' : null;
    });
    fill(panel, parts[k], indices[k], pick);
  };
  const rows = parts.map((part, k) => make('div', { class: 'line' },
    label(part, parts.length > 1 && (() => choose(k))), workedLines[k]));
  parts.forEach((_, k) => showLine(k));
  choose(chosen);
  const formulas = make('div', { class: 'formulas', role: 'group', 'aria-label': 'Formulas' }, rows);
  rove(formulas, 'button.label');
  return make('section', { class: 'card' }, formulas, panel);
}

const symbolOf = ({ symbol, array }) => symbol || arrays[array].name;

// The formula of a part, or else its heading or caption; a button if it can be chosen.
function label(part, choose) {
  const own = choose
    ? make('button', { class: 'label', type: 'button', click: choose, title: part.formula?.text ?? null })
    : make('div', { class: 'label' });
  if (part.formula) own.innerHTML = part.formula.mathml; // generated and escaped by the package
  else own.textContent = part.heading || part.caption;
  own.classList.toggle('formula', Boolean(part.formula));
  return own;
}

let unfolded = null; // whether the inputs are shown, once the reader has decided

function fill(panel, part, index, pick) {
  const { heading, formula, caption, operands, result } = part;
  const figures = operands.map((operand) => figure(operand, 'operand').box);
  const own = operands.map(({ array }) => arrays[array]);
  const few = own.every((array) => array.whole && lines(array) <= FEW)
    && own.reduce((sum, array) => sum + columns(array), 0) <= 2 * FEW;
  const listed = operands.flatMap(({ symbol, name }, k) => [k > 0 && ', ',
    make('span', { class: 'symbol' }, symbol), name !== symbol && ` ${name}`,
    own[k].shape.length > 0 && ` ${shapeText(own[k].shape)}`]);
  const toggle = ({ currentTarget }) => { unfolded = !currentTarget.parentElement.open; };
  const inputs = figures.length > 0
    && make('details', { class: 'inputs', open: unfolded ?? few ? '' : null },
      make('summary', { click: toggle }, figures.length > 1 ? 'Inputs: ' : 'Input: ', listed),
      make('div', { class: 'arrays' }, figures));
  const outcome = result && figure(result, 'result', pick);
  panel.replaceChildren(...[
    heading && (formula || caption) && make('h3', titleIfLong(heading), heading),
    caption && (formula || heading) && make('p', { class: 'soft' }, caption),
    inputs, outcome?.box,
  ].filter(Boolean));
  if (index !== undefined) outcome.pick(index, true);
}

// Mark the entries of the inputs that are in a worked line.
function markUsed(part, index, panel) {
  const figures = panel.querySelectorAll('.inputs figure');
  part.operands.forEach((operand, k) => {
    const used = usedCells(operand, part.worked[index] ?? []);
    for (const cell of figures[k].querySelectorAll('.cell')) {
      cell.classList.toggle('used', used.has(cell.dataset.index));
    }
  });
}

function tableCard({ head, rows }) {
  const content = (item) =>
    (typeof item === 'string' ? item : isNumber(item) ? number(item) : tokens(item));
  const line = (row) => make('tr', {}, row.map((item) => make('td', {}, content(item))));
  const table = make('table', { class: 'rows' },
    make('thead', {}, make('tr', {}, head.map((text) => make('th', { scope: 'col' }, text)))),
    make('tbody', {}, rows.map(line)));
  const scroll = { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'table' };
  return make('section', { class: 'card' }, make('div', scroll, table));
}

function barsCard(bars) {
  const bar = ({ label, number: size, fraction, node }) => {
    const fill = make('i', { 'aria-hidden': 'true' });
    fill.style.width = `${100 * fraction}%`;
    const open = { ...titleIfLong(label), type: 'button', click: () => openNode(node) };
    return [nodes[node] ? make('button', open, label) : make('span', titleIfLong(label), label),
      make('div', {}, fill), number(size)];
  };
  return make('section', { class: 'card' }, make('h3', {}, 'Size of each gradient'),
    make('div', { class: 'bars' }, bars.flatMap(bar)));
}

function lossCard({ before, after }) {
  const side = (caption, value, kind) => make('div', { class: kind },
    make('span', { class: 'soft' }, caption), make('b', {}, number(value)));
  const [old, now] = [before, after ?? before]
    .map(([, exact]) => Number(exact.replace('inf', 'Infinity')));
  const change = now < old ? 'fallen' : now > old || Number.isNaN(now) ? 'risen' : '';
  return make('section', { class: 'card' }, make('div', { class: `loss ${change}` },
    side('Loss before', before, 'before'), after && make('i', { 'aria-hidden': 'true' }, '→'),
    after && side('Loss after the update', after, 'after')));
}

function stepContent(step) {
  const peers = steps.filter(({ phase }) => phase === step.phase);
  const count = peers.length > 1 ? ` · ${peers.indexOf(step) + 1} of ${peers.length}` : '';
  return [
    make('div', { class: 'caption' }, make('h2', titleIfLong(step.title), step.title),
      PHASES[step.phase] !== step.title && make('p', { class: 'phase' }, PHASES[step.phase] + count),
      make('p', {}, step.caption)),
    step.phase === 'summary' && loss.before && lossCard(loss),
    ...step.notes.map(({ title, text }) => make('div', { class: 'note' }, make('b', {}, title), text)),
    step.parts.length > 0 && partsCard(step),
    step.bars && barsCard(step.bars),
    step.table && tableCard(step.table),
  ].filter(Boolean);
}

// ---- The graph

const drawing = $('drawing');
const drawnNodes = new Map([...drawing.querySelectorAll('[data-node]')].map((g) => [g.dataset.node, g]));
const drawnEdges = [...drawing.querySelectorAll('[data-from]')];

function isActive(edge, node, phase) { // does a value or gradient go along this edge in the step?
  const source = nodes[edge.dataset.from];
  const needsGrad = !source || source.gradient !== null;
  return edge.dataset.to === node && (phase === 'forward' || (phase === 'backward' && needsGrad));
}

const arrowPaths = new Map(drawnEdges.map((edge) => {
  const [line, head] = [...edge.querySelectorAll('path')].map((path) => path.getAttribute('d'));
  const [x, start] = line.match(/[\d.]+/g).map(Number); // 12 above the lower edge of its node
  const [, end] = head.match(/[\d.]+/g);
  return [edge, { forward: [line, head], backward: [`${line}V${end}`, `M${x} ${start + 12}l-4.5 9h9z`] }];
}));

function pointArrow(edge) { // of a gradient the head is at the source
  const { forward, backward } = arrowPaths.get(edge);
  const paths = edge.matches('.now.differentiated') ? backward : forward;
  edge.querySelectorAll('path').forEach((path, k) => path.setAttribute('d', paths[k]));
}

function markProgress() { // everything up to the current step
  const marks = new Map([...drawnNodes.values(), ...drawnEdges].map((element) => [element, new Set()]));
  steps.slice(0, current + 1).forEach(({ phase, node }, k) => {
    if (!node || !MARKS[phase]) return;
    const names = k === current ? [MARKS[phase], 'now'] : [MARKS[phase]];
    const add = (element, added) => added.forEach((name) => marks.get(element)?.add(name));
    add(drawnNodes.get(node), names);
    for (const edge of drawnEdges.filter((candidate) => isActive(candidate, node, phase))) {
      add(edge, names);
      const source = edge.dataset.from;
      if (nodes[source]?.kind !== 'op') add(drawnNodes.get(source), [MARKS[phase]]);
    }
  });
  marks.forEach((names, element) => {
    for (const name of [...Object.values(MARKS), 'now']) element.classList.toggle(name, names.has(name));
  });
  drawnEdges.forEach(pointArrow);
  scrollIntoView(drawnNodes.get(steps[current].node));
}

function scrollIntoView(element) { // within the drawing; the page does not scroll
  if (!element) return;
  const [box, view] = [element.getBoundingClientRect(), drawing.getBoundingClientRect()];
  drawing.scrollBy({ left: box.left + box.width / 2 - view.left - view.width / 2,
    top: box.top + box.height / 2 - view.top - view.height / 2, behavior: calm.matches ? 'auto' : 'smooth' });
}

function prepareGraph() {
  const svg = drawing.querySelector('svg');
  if (!svg) return;
  svg.setAttribute('role', 'group'); // no longer an image: its nodes are buttons
  svg.style.minWidth = `${0.62 * svg.width.baseVal.value}px`; // legible
  drawnNodes.forEach((g, key) => {
    const node = nodes[key];
    if (!node) return;
    const seen = [...g.querySelectorAll('text')].map((text) => text.textContent).join(' ');
    g.setAttribute('role', 'button'); // named by its title
    g.querySelector('title').textContent = `${seen}, ${node.op ?? node.kind}, shape ${node.shape}`;
    g.addEventListener('click', () => openNode(key));
    g.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' && event.key !== ' ') return;
      event.preventDefault();
      openNode(key);
    });
  });
  rove(drawing, '[role=button]');
}

function openNode(key) {
  const node = nodes[key];
  const dialog = $('node');
  const views = { value: ['Value', 'forward'], gradient: ['Gradient', 'backward'],
    after: ['After the update', 'update'] };
  const view = ([field, [heading, phase]]) => node[field] !== null
    && make('section', { class: phase }, make('h3', {}, heading),
      figure({ symbol: '', array: node[field], node: key, name: '' }, 'detail').box);
  const link = (k) => make('button', { class: `small ${steps[k].phase}`, type: 'button',
    click: () => { dialog.close(); move(k); } }, make('i'), `${k + 1}. ${PHASES[steps[k].phase]}`);
  dialog.replaceChildren(...[
    make('div', { class: 'headline' }, make('h2', { id: 'node-name', ...titleIfLong(node.name) }, node.name),
      make('button', { class: 'small', type: 'button', click: () => dialog.close() }, 'Close')),
    make('p', { class: 'soft' }, [node.kind, node.op, node.shape].filter(Boolean).join(' · ')),
    node.steps.length > 0 && make('h3', {}, 'Steps'),
    make('div', { class: 'chips' }, node.steps.map(link)),
    ...Object.entries(views).map(view),
  ].filter(Boolean));
  dialog.setAttribute('aria-labelledby', 'node-name');
  play(false);
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

// ---- Navigation

function show() {
  const step = steps[current];
  const inside = $('step').contains(document.activeElement);
  document.body.className = step.phase;
  $('step').replaceChildren(...stepContent(step));
  if (inside) $('step').focus({ preventScroll: true });
  $('phase').textContent = PHASES[step.phase];
  $('count').textContent = `step ${current + 1} of ${steps.length}`;
  $('scrub').setAttribute('aria-valuetext', `step ${current + 1}: ${step.title}`);
  for (const tab of $('phases').children) {
    tab.setAttribute('aria-current', tab.className === step.phase ? 'step' : 'false');
  }
  markProgress();
  scrollBy({ top: Math.min(0, $('step').getBoundingClientRect().top - 16) });
}

function announce() {
  $('live').textContent = `${steps[current].title}. ${steps[current].caption}`;
  attempt(() => history.replaceState(null, '', `#step-${current + 1}`));
}

function preparePhases() {
  for (const [phase, name] of Object.entries(PHASES)) {
    const own = runs.filter((run) => run.phase === phase);
    const next = () => own.find(({ first }) => first > current) ?? own[0];
    const tab = make('button', { type: 'button', class: phase, click: () => move(next().first) }, name);
    tab.disabled = !own.length;
    $('phases').append(tab);
  }
  const at = (k) => `${100 * k / Math.max(1, end)}%`;
  const stripes = runs.map(({ phase, first, last }) =>
    `var(--${phase}) ${at(first - 0.5)} ${at(last + 0.5)}`);
  $('track').style.setProperty('--stripes', `linear-gradient(90deg, ${stripes.join(', ')})`);
}

prepareTheme();
$('omitted').textContent = omitted ?? '';
$('omitted').hidden = !omitted;
if (steps.length) {
  const requested = () => Number(/^#step-(\d+)$/.exec(location.hash)?.[1] ?? 1) - 1;
  for (const id of ['theme', 'phases', 'step', 'controls']) $(id).hidden = false;
  prepareGraph();
  preparePhases();
  prepareSteps({ show, announce, pace: () => 1 / SECONDS_PER_STEP });
  addEventListener('hashchange', () => go(requested()));
  $('node').addEventListener('click', ({ target }) => { if (target === $('node')) $('node').close(); });
  go(requested(), true);
}
