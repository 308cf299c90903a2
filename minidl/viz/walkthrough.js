'use strict';
// Draws the steps held in #walk. Whatever a user may have named goes in as text, never as markup.
(() => {
  const $ = (id) => document.getElementById(id);
  const { left_out: leftOut, loss, nodes, arrays, steps } = JSON.parse($('walk').textContent);
  const PHASES = { forward: 'Forward', backward: 'Backward', update: 'Update', summary: 'Summary' };
  const MARKS = { forward: 'computed', backward: 'flowed-back', update: 'updated' };
  const PACE = 2800; // milliseconds a step stays while playing
  const calm = matchMedia('(prefers-reduced-motion: reduce)');
  let current = 0;
  let timer = null;

  // ---- Small tools

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (typeof value === 'function') element.addEventListener(name, value);
      else if (value !== null && value !== undefined) element.setAttribute(name, value);
    }
    element.append(...children.flat().filter((child) => child !== null));
    return element;
  }

  function attempt(action) { // storage and history may be forbidden, as in a notebook's frame
    try { return action(); } catch { return null; }
  }

  const isNumber = (item) => item.length === 2 && item.every((text) => typeof text === 'string');
  const number = ([shown, exact]) => make('span', { class: 'number', title: exact }, shown);
  const tokens = (items) => make('span', { class: 'tokens' },
    items.map((item) => (typeof item === 'string' ? item : number(item))));
  const shapeText = (shape) => `(${shape.join(', ')}${shape.length === 1 ? ',' : ''})`;
  const indexText = (index) => (index === '' ? '' : `[${index}]`);
  const product = (factors) => factors.reduce((a, b) => a * b, 1);

  // ---- Arrays

  const columns = (array) => (array.shape.length ? array.shape.at(-1) : 1);
  const lines = (array) => product(array.shape.slice(0, -1));

  const READERS = {
    float32: Float32Array, float64: Float64Array, int64: BigInt64Array, int32: Int32Array,
    uint8: Uint8Array, bool: Uint8Array,
  };
  const decoded = new Map();

  function valuesOf(array) {
    if (!decoded.has(array)) {
      const bytes = Uint8Array.from(atob(array.values), (letter) => letter.charCodeAt(0));
      decoded.set(array, new READERS[array.dtype](bytes.buffer));
    }
    return decoded.get(array);
  }

  function exactText(value, dtype) { // the fewest digits that give the value back, as Python prints it
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

  function entryAt(array, index) { // a Number, or null where the page does not hold it
    for (const [r, row] of array.index.entries()) {
      const c = row.indexOf(index);
      if (c >= 0) return array.rows[r][c];
    }
    if (!array.values || !READERS[array.dtype]) return null;
    const place = index.split(', ').reduce((at, k, axis) => at * array.shape[axis] + Number(k), 0);
    const exact = exactText(valuesOf(array)[place], array.dtype);
    return [exact.replaceAll('-', '−'), exact];
  }

  function indexAt(array, place) { // 13 -> "3, 1" in a shape of (5, 4)
    const index = [];
    for (const size of array.shape.toReversed()) {
      index.unshift(place % size);
      place = Math.floor(place / size);
    }
    return index.join(', ');
  }

  function readIndex(array, text) { // "(3, 1)" -> "3, 1", or null if there is no such entry
    const index = (text.match(/-?\d+/g) ?? []).map(Number)
      .map((k, axis) => (k < 0 ? k + array.shape[axis] : k));
    const inside = index.length === array.shape.length
      && index.every((k, axis) => k >= 0 && k < array.shape[axis]);
    return inside ? index.join(', ') : null;
  }

  function matrix(array, label, pick) { // cells are buttons if there is something to pick them for
    const cell = (value, r, c) => {
      const index = array.index[r][c];
      const shared = { class: 'cell number', title: value[1], 'data-index': index };
      if (!pick) return make('span', shared, value[0]);
      return make('button', { ...shared, type: 'button', 'aria-pressed': 'false',
        'aria-label': `${label}${indexText(index)} = ${value[0]}`, click: () => pick(index) }, value[0]);
    };
    const wide = !array.whole && array.rows[0]?.length < columns(array);
    const more = (text) => make('td', { class: 'more', 'aria-hidden': 'true' }, text);
    const rows = array.rows.map((row, r) => make('tr', {},
      row.map((value, c) => make('td', {}, cell(value, r, c))), wide ? more('⋯') : null));
    if (!array.whole && array.rows.length < lines(array)) {
      rows.push(make('tr', {}, array.rows[0].map(() => more('⋮')), wide ? more('⋱') : null));
    }
    return make('div', { class: 'bracket' },
      make('div', { class: 'scroll' }, make('table', { 'aria-label': label }, make('tbody', {}, rows))));
  }

  function paint(canvas, array) {
    const style = getComputedStyle(canvas);
    const probe = Object.assign(document.createElement('canvas'), { width: 1, height: 1 })
      .getContext('2d', { willReadFrequently: true });
    const read = (colour) => {
      probe.fillStyle = colour;
      probe.fillRect(0, 0, 1, 1);
      return [...probe.getImageData(0, 0, 1, 1).data];
    };
    const [cold, middle, hot] = ['outlineColor', 'backgroundColor', 'color'].map((key) => read(style[key]));
    const diverging = isDiverging(array);
    const context = canvas.getContext('2d');
    const image = context.createImageData(canvas.width, canvas.height);
    array.heat.flat().forEach((level, k) => {
      const share = diverging ? (level - 128) / 127 : level / 255;
      const end = share < 0 ? cold : hot;
      const strength = Math.min(1, Math.abs(share)) ** 0.6; // small ones show too; the scale beside it bends alike
      image.data.set(middle.map((a, i) => a + (end[i] - a) * strength), 4 * k);
    });
    context.putImageData(image, 0, 0);
  }

  const isDiverging = (array) => Number(array.min[1]) < 0 && Number(array.max[1]) > 0;

  function heatMap(array, label, pick) {
    const [height, width] = [array.heat.length, array.heat[0].length];
    const side = Math.max(4, Math.min(20, Math.floor(250 / Math.max(height, width))));
    const canvas = make('canvas', { width, height, role: 'img',
      'aria-label': `Heat map of ${label}, from ${array.min[0]} to ${array.max[0]}` });
    canvas.style.cssText = `width:${width * side}px;aspect-ratio:${width * side}/${Math.max(height * side, 16)}`;
    const pin = make('i', { hidden: '' });
    canvas.addEventListener('click', (event) => {
      const box = canvas.getBoundingClientRect();
      const along = (offset, size, count) => Math.min(count - 1, Math.max(0, Math.floor(offset / size * count)));
      const r = along(event.clientY - box.top, box.height, lines(array));
      const c = along(event.clientX - box.left, box.width, columns(array));
      pick(indexAt(array, r * columns(array) + c));
    });
    requestAnimationFrame(() => paint(canvas, array));
    const point = (index) => {
      const place = index.split(', ').reduce((at, k, axis) => at * array.shape[axis] + Number(k), 0);
      pin.hidden = false;
      pin.style.left = `${100 * ((place % columns(array)) + 0.5) / columns(array)}%`;
      pin.style.top = `${100 * (Math.floor(place / columns(array)) + 0.5) / lines(array)}%`;
    };
    return { box: make('div', { class: 'heat' }, canvas, pin), point };
  }

  function large(array, label, pick) { // facts, heat map and a field for the index
    const facts = ['min', 'mean', 'max'].filter((key) => array[key]).map((key) =>
      make('span', {}, `${key} `, make('b', { class: 'number', title: array[key][1] }, array[key][0])));
    const heat = array.heat && array.min ? heatMap(array, label, pick) : null;
    const widest = Number(array.max[1]) > -Number(array.min[1]) ? array.max[0] : array.min[0].replace('−', '');
    const scale = heat && make('div', { class: `scale ${isDiverging(array) ? 'diverging' : 'rising'}` },
      isDiverging(array) ? `−${widest}` : array.min[0], make('i'), isDiverging(array) ? widest : array.max[0]);
    const field = make('input', { placeholder: array.shape.map((size) => `0–${size - 1}`).join(', '),
      autocomplete: 'off', spellcheck: 'false', 'aria-label': `Index of an entry of ${label}`,
      input: () => {
        const index = readIndex(array, field.value);
        field.setCustomValidity(index === null ? `an index within ${shapeText(array.shape)}` : '');
        if (index !== null) pick(index, true);
      } });
    const show = (index, typed) => {
      heat?.point(index);
      field.setCustomValidity('');
      if (!typed) field.value = index;
    };
    const box = make('div', { class: 'large' }, make('div', {}, matrix(array, label, pick), make('div', { class: 'facts' }, facts)),
      make('div', {}, heat && heat.box, scale, make('label', { class: 'open' }, 'Open entry', field)));
    return { box, show };
  }

  // An array under its name. Its entries open where `onPick` says, or else below it, if they open at all.
  function figure({ letter, array: id, node, name }, kind, onPick) {
    const array = arrays[id];
    const label = letter || array.name;
    const own = !onPick && (kind === 'detail' || !array.whole) ? make('output') : null;
    const show = onPick ?? (own && ((index) => own.replaceChildren(...opened(array, label, index, node))));
    const pick = show && ((index, typed) => {
      for (const cell of box.querySelectorAll('button.cell')) {
        cell.setAttribute('aria-pressed', String(cell.dataset.index === index));
      }
      big?.show(index, typed);
      show(index);
    });
    const title = name ?? nodes[node]?.name ?? array.name;
    const linked = nodes[node] && kind !== 'detail';
    const named = { class: title.length > 40 ? 'name long' : 'name', title: title.length > 40 ? title : null };
    const big = array.whole ? null : large(array, label, pick);
    const box = make('figure', { class: `array ${kind}` },
      make('figcaption', {},
        letter && letter !== title ? make('span', { class: 'letter' }, letter, ' ') : null,
        linked ? make('button', { ...named, type: 'button', click: () => open(node) }, title) : make('span', named, title),
        make('div', { class: 'soft' }, `${shapeText(array.shape)} ${array.dtype}`)),
      big ? big.box : matrix(array, label, pick), own);
    box.pick = pick;
    return box;
  }

  function copyable(text) {
    const code = make('code', {}, text);
    const button = make('button', { type: 'button', class: 'small', click: async () => {
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = 'Copied';
      } catch { // not allowed here: select it, to be copied by hand
        getSelection().selectAllChildren(code);
      }
    } }, 'Copy');
    return make('div', { class: 'ask' }, make('div', { class: 'scroll' }, code), button);
  }

  function explainLine(array, index, node) {
    const tuple = index && !index.includes(',') ? `${index},` : index;
    return `walk.explain(${JSON.stringify(node ? nodes[node].name : array.name)}, (${tuple}))`;
  }

  function opened(array, label, index, node) { // "W[3, 1] = 0.25" and how to ask for its making
    const value = entryAt(array, index);
    return [make('div', { class: 'tokens' }, `${label}${indexText(index)} `, ...(value ? ['= ', number(value)] : [])),
      copyable(explainLine(array, index, node))];
  }

  // ---- A step

  // Which cells of an operand made a result: the largest of all cells, a row, a column or the cell of the same index
  // whose numbers all stand in the worked line, each as often as in the cells.
  function usedCells(array, result, index, line) {
    const written = line.filter((item) => typeof item !== 'string').map(([, exact]) => exact);
    const stands = (group) => {
      const left = [...written];
      return group.every(({ exact }) => left.includes(exact) && delete left[left.indexOf(exact)]);
    };
    const cells = array.rows.flatMap((row, r) => row.map(([, exact], c) => ({ r, c, exact, index: array.index[r][c] })));
    const at = index.split(', ').map(Number);
    const groups = [cells, ...at.flatMap((k) => [cells.filter(({ r }) => r === k), cells.filter(({ c }) => c === k)])];
    if (String(array.shape) === String(result.shape)) groups.push(cells.filter((cell) => cell.index === index));
    const best = groups.filter(stands).sort((a, b) => b.length - a.length)[0] ?? [];
    return new Set(best.map((cell) => cell.index));
  }

  function partCard(part) {
    const card = make('section', { class: 'card' }, make('h3', {}, part.heading));
    if (part.formula) {
      const formula = make('div', { class: 'formula scroll' });
      formula.innerHTML = part.formula.mathml; // made and escaped by the package
      card.append(formula);
    }
    if (part.words) card.append(make('p', { class: 'soft' }, part.words));
    const operands = part.operands.map((operand) => figure(operand, 'operand'));
    card.append(make('div', { class: 'arrays' }, operands));
    if (!part.result) return card;

    const array = arrays[part.result.array];
    const worked = make('output', { class: 'worked' });
    const result = figure(part.result, 'result', (index) => {
      const line = part.worked[index];
      const label = make('span', { class: 'label' }, `${part.result.letter || array.name}${indexText(index)} in numbers`);
      const lines = line ? [tokens(line)] : [];
      if (!line) lines.push(...opened(array, part.result.letter, index, part.result.node));
      else if (!array.whole) lines.push(copyable(explainLine(array, index, part.result.node)));
      worked.replaceChildren(label, ...lines);
      part.operands.forEach((operand, k) => {
        const used = line ? usedCells(arrays[operand.array], array, index, line) : new Set();
        for (const cell of operands[k].querySelectorAll('.cell')) {
          cell.classList.toggle('used', used.has(cell.dataset.index));
        }
      });
    });
    card.append(make('div', { class: 'outcome' }, result, worked));
    const first = array.index[0]?.[0];
    if (first !== undefined) result.pick(first, true);
    return card;
  }

  function tableCard({ head, rows }) {
    const content = (item) => (typeof item === 'string' ? item : isNumber(item) ? number(item) : tokens(item));
    return make('section', { class: 'card' }, make('div', { class: 'scroll' }, make('table', { class: 'rows' },
      make('thead', {}, make('tr', {}, head.map((text) => make('th', { scope: 'col' }, text)))),
      make('tbody', {}, rows.map((row) => make('tr', {}, row.map((item) => make('td', {}, content(item)))))))));
  }

  function barsCard(bars) {
    const bar = ({ label, number: size, share, node }) => {
      const fill = make('i', { 'aria-hidden': 'true' });
      fill.style.width = `${100 * share}%`;
      const name = node && nodes[node] ? make('button', { type: 'button', click: () => open(node) }, label)
        : make('span', {}, label);
      return [name, make('div', {}, fill), number(size)];
    };
    return make('section', { class: 'card' }, make('h3', {}, 'Size of each gradient'),
      make('div', { class: 'bars' }, bars.flatMap(bar)));
  }

  function lossCard({ before, after }) {
    const side = (words, value, kind) => make('div', { class: kind }, make('span', { class: 'soft' }, words),
      make('b', { class: 'number', title: value[1] }, value[0]));
    return make('section', { class: 'card' }, make('div', { class: 'loss' }, side('Loss before', before, 'before'),
      after && make('i', { 'aria-hidden': 'true' }, '→'), after && side('Loss after the update', after, 'after')));
  }

  function stepContent(step) {
    const mates = steps.filter(({ phase }) => phase === step.phase);
    const place = mates.length > 1 ? ` · ${mates.indexOf(step) + 1} of ${mates.length}` : '';
    return [
      make('div', { class: 'says' }, make('p', { class: 'phase' }, PHASES[step.phase] + place),
        make('h2', {}, step.title), make('p', {}, step.words)),
      step.phase === 'summary' && loss.before ? lossCard(loss) : null,
      ...step.notes.map(({ title, text }) => make('aside', { class: 'note' }, make('b', {}, title), text)),
      ...step.parts.map(partCard),
      step.bars ? barsCard(step.bars) : null,
      step.table ? tableCard(step.table) : null,
    ].filter((element) => element !== null);
  }

  // ---- The graph

  const drawing = $('drawing');
  const drawnNodes = new Map([...drawing.querySelectorAll('[data-node]')].map((g) => [g.dataset.node, g]));
  const drawnEdges = [...drawing.querySelectorAll('[data-from]')];

  function carries(edge, phase) { // does a gradient come back along this edge?
    const source = nodes[edge.dataset.from];
    return phase === 'forward' || !source || source.kind === 'op' || source.gradient !== null;
  }

  function mark(element, names) {
    for (const name of [...Object.values(MARKS), 'now']) element.classList.toggle(name, names.has(name));
  }

  function lightUp() {
    const marks = new Map([...drawnNodes.values(), ...drawnEdges].map((element) => [element, new Set()]));
    steps.slice(0, current + 1).forEach(({ phase, node }, k) => {
      if (!node || !MARKS[phase]) return;
      marks.get(drawnNodes.get(node))?.add(MARKS[phase]);
      if (k === current) marks.get(drawnNodes.get(node))?.add('now');
      if (phase === 'update') return;
      for (const edge of drawnEdges.filter((e) => e.dataset.to === node && carries(e, phase))) {
        marks.get(edge).add(MARKS[phase]);
        if (k === current) marks.get(edge).add('now');
        if (nodes[edge.dataset.from]?.kind !== 'op') marks.get(drawnNodes.get(edge.dataset.from))?.add(MARKS[phase]);
      }
    });
    marks.forEach((names, element) => mark(element, names));
    bringIntoView(drawnNodes.get(steps[current].node));
  }

  function bringIntoView(element) { // within the drawing alone: the page stays where it is
    if (!element) return;
    const [box, view] = [element.getBoundingClientRect(), drawing.getBoundingClientRect()];
    drawing.scrollBy({ left: box.left + box.width / 2 - view.left - view.width / 2,
      top: box.top + box.height / 2 - view.top - view.height / 2, behavior: calm.matches ? 'auto' : 'smooth' });
  }

  function prepareGraph() {
    const svg = drawing.querySelector('svg');
    svg?.setAttribute('role', 'group'); // no longer one picture: its nodes are buttons
    if (svg) svg.style.minWidth = `${0.7 * svg.width.baseVal.value}px`; // legible; what does not fit scrolls
    drawnNodes.forEach((g, key) => {
      const node = nodes[key];
      if (!node) return;
      for (const [name, value] of Object.entries({ tabindex: 0, role: 'button',
        'aria-label': `${node.name}, ${node.op ?? node.kind}, shape ${node.shape}` })) g.setAttribute(name, value);
      g.addEventListener('click', () => open(key));
      g.addEventListener('keydown', (event) => {
        if (event.key !== 'Enter' && event.key !== ' ') return;
        event.preventDefault();
        open(key);
      });
    });
  }

  function open(key) { // the details of a node
    const node = nodes[key];
    const dialog = $('node');
    const close = make('button', { class: 'small', type: 'button', click: () => dialog.close() }, 'Close');
    const views = [['Value', 'value', 'forward'], ['Gradient', 'gradient', 'backward'], ['After the update', 'after', 'update']]
      .filter(([, field]) => node[field] !== null)
      .map(([heading, field, phase]) => make('section', { class: phase }, make('h3', {}, heading),
        figure({ letter: '', array: node[field], node: key, name: arrays[node[field]].name }, 'detail')));
    const chips = node.steps.map((k) => make('button', { class: `small ${steps[k].phase}`, type: 'button',
      click: () => { dialog.close(); go(k); } }, make('i'), `${k + 1}. ${PHASES[steps[k].phase]}`));
    dialog.replaceChildren(
      make('div', { class: 'headline' }, make('h2', { id: 'node-name' }, node.name), close),
      make('p', { class: 'soft' }, [node.kind, node.op, node.shape].filter(Boolean).join(' · ')),
      ...(chips.length ? [make('h3', {}, 'Steps'), make('div', { class: 'chips' }, chips)] : []), ...views);
    if (!dialog.open) dialog.showModal();
  }

  // ---- Going from step to step

  function go(to, quietly = false) {
    current = Math.max(0, Math.min(steps.length - 1, to));
    const step = steps[current];
    document.body.dataset.phase = step.phase;
    document.body.className = step.phase;
    const inside = $('step').contains(document.activeElement);
    $('step').replaceChildren(...stepContent(step));
    if (inside) $('step').focus({ preventScroll: true });
    $('phase').textContent = PHASES[step.phase];
    $('count').textContent = `step ${current + 1} of ${steps.length}`;
    $('scrub').value = current;
    $('scrub').setAttribute('aria-valuetext', `step ${current + 1}: ${step.title}`);
    $('track').style.setProperty('--at', `${100 * current / Math.max(1, steps.length - 1)}%`);
    for (const id of ['first', 'previous']) $(id).setAttribute('aria-disabled', String(current === 0));
    for (const id of ['next', 'last']) $(id).setAttribute('aria-disabled', String(current === steps.length - 1));
    for (const tab of $('phases').children) {
      if (tab.dataset.phase === step.phase) tab.setAttribute('aria-current', 'step');
      else tab.removeAttribute('aria-current');
    }
    lightUp();
    if (quietly) return;
    if (!timer) $('live').textContent = `${step.title}. ${step.words}`;
    const top = $('step').getBoundingClientRect().top;
    if (top < 0) scrollBy({ top: top - 16 });
    attempt(() => history.replaceState(null, '', `#step-${current + 1}`));
  }

  function play(on) {
    clearInterval(timer);
    timer = null;
    if (on && current === steps.length - 1) go(0);
    if (on) timer = setInterval(() => {
      go(current + 1);
      if (current === steps.length - 1) play(false);
    }, PACE);
    $('controls').classList.toggle('playing', on);
    $('play').setAttribute('aria-label', on ? 'Pause' : 'Play');
  }

  const MOVES = { ArrowLeft: () => current - 1, ArrowRight: () => current + 1, Home: () => 0, End: () => steps.length - 1 };

  function onKey(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || $('node').open) return;
    const target = event.target instanceof Element ? event.target : document.body;
    if (target.closest('input, textarea, select, [contenteditable]')) return;
    if (event.key === ' ' && !target.closest('button, summary, a, [role=button]')) {
      event.preventDefault();
      play(!timer);
    } else if (MOVES[event.key]) {
      const box = target.closest('.scroll, pre');
      if (box && box.scrollWidth > box.clientWidth && target === box) return; // the arrows scroll what is in focus
      event.preventDefault();
      play(false);
      go(MOVES[event.key]());
    }
  }

  function prepareControls() {
    const press = (id, move) => $(id).addEventListener('click', () => { play(false); go(move()); });
    press('first', MOVES.Home);
    press('previous', MOVES.ArrowLeft);
    press('next', MOVES.ArrowRight);
    press('last', MOVES.End);
    $('play').addEventListener('click', () => play(!timer));
    $('scrub').max = Math.max(0, steps.length - 1);
    $('scrub').addEventListener('input', () => { play(false); go(Number($('scrub').value)); });
    const stripes = [];
    for (const [phase, name] of Object.entries(PHASES)) {
      const first = steps.findIndex((step) => step.phase === phase);
      const tab = make('button', { type: 'button', class: phase, 'data-phase': phase,
        click: () => { play(false); go(first); } }, name);
      tab.disabled = first < 0;
      $('phases').append(tab);
      const at = (k) => `${100 * k / Math.max(1, steps.length - 1)}%`;
      const last = steps.findLastIndex((step) => step.phase === phase);
      if (first >= 0) stripes.push(`var(--${phase}) ${at(first - 0.5)} ${at(last + 0.5)}`);
    }
    $('track').style.setProperty('--stripes', `linear-gradient(90deg, ${stripes.join(', ')})`);
  }

  function prepareTheme() {
    const root = document.documentElement;
    const isDark = () => (root.dataset.theme ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')) === 'dark';
    const repaint = () => go(current, true);
    const remembered = attempt(() => localStorage.getItem('minidl-theme'));
    if (remembered) root.dataset.theme = remembered;
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', repaint);
    $('theme').addEventListener('click', () => {
      root.dataset.theme = isDark() ? 'light' : 'dark';
      attempt(() => localStorage.setItem('minidl-theme', root.dataset.theme));
      repaint();
    });
  }

  function fromAddress() {
    const asked = /^#step-(\d+)$/.exec(attempt(() => location.hash) ?? '');
    return asked ? Number(asked[1]) - 1 : 0;
  }

  function start() {
    $('text').open = false; // open without JavaScript, and in print
    addEventListener('beforeprint', () => { $('text').open = true; });
    $('left-out').textContent = leftOut ?? '';
    $('left-out').hidden = !leftOut;
    if (!steps.length) return;
    for (const id of ['theme', 'phases', 'step', 'controls']) $(id).hidden = false;
    prepareTheme();
    prepareGraph();
    prepareControls();
    addEventListener('keydown', onKey);
    addEventListener('hashchange', () => go(fromAddress()));
    $('node').addEventListener('click', (event) => { if (event.target === $('node')) $('node').close(); });
    go(fromAddress(), true);
  }

  start();
})();
