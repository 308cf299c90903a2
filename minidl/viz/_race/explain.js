// The step explained, before race.js: the equations of a rule with the numbers of one step, and the
// arrows that it is the sum of. The equations are trees of minidl.walkthrough.parser, evaluated
// here for x and for y.

// ---- Equations and their values

const FUNCTIONS = { sin: Math.sin, cos: Math.cos, tanh: Math.tanh, ln: Math.log, sgn: Math.sign,
  '√': Math.sqrt, σ: (x) => 1 / (1 + Math.exp(-x)), max: Math.max, min: Math.min };
const BINARY = { '+': (a, b) => a + b, '−': (a, b) => a - b, '·': (a, b) => a * b,
  '/': (a, b) => a / b, '^': (a, b) => a ** b, '<': (a, b) => a < b, '>': (a, b) => a > b,
  '≤': (a, b) => a <= b, '≥': (a, b) => a >= b, '=': (a, b) => a === b, '≠': (a, b) => a !== b,
  and: (a, b) => a && b, or: (a, b) => a || b };
const AXES = [0, 1];

function evaluate([kind, ...parts], valueOf) {
  if (kind === 'number') return parts[0] === '½' ? 0.5 : Number(parts[0]);
  if (kind === 'name') return valueOf(parts[0]);
  if (kind === 'if') return evaluate(parts[evaluate(parts[1], valueOf) ? 0 : 2], valueOf);
  if (kind === 'call') {
    return FUNCTIONS[parts[0]](...parts.slice(1).map((part) => evaluate(part, valueOf)));
  }
  const [a, b] = parts.map((part) => evaluate(part, valueOf));
  return { negative: -a, abs: Math.abs(a), indicator: Number(a), not: !a }[kind]
    ?? BINARY[kind](a, b);
}

function symbolsBefore(run, k, axis) { // the values of the symbols before a step
  const { values, rates, state, t } = run.rule;
  const known = { ...values, θ: positionOf(run, k)[axis], g: vectorAt(run.gradient, k)[axis],
    t: t?.[k] ?? steps[k] + 1 };
  for (const symbol of rates) known[symbol] = run.rateAt(k);
  for (const [symbol, name] of Object.entries(state)) known[symbol] = stateAt(run, name, k)[axis];
  return known;
}

function stateAt(run, name, k) { // a number that is the same for x and y is repeated
  const { data } = run.slots.find((slot) => slot.name === name);
  return data.length === end + 1 ? [data[k], data[k]] : vectorAt(data, k);
}

// The lines that apply in a step, for one axis: each equation, the values of the symbols before it
// and its own, as the equation gives it.
function linesOf(rule, known) {
  let values = known;
  return rule.equations.flatMap((equation, i) => {
    const valueOf = (name) => values[name];
    if (equation.condition && !evaluate(equation.condition, valueOf)) return [];
    const line = { ...equation, i, values, value: evaluate(equation.tree, valueOf) };
    values = { ...values, [line.symbol]: line.value };
    return [line];
  });
}

// The same with what the race recorded after the step, where it did.
function linesWithRecorded(run, k, axis) {
  const lines = linesOf(run.rule, symbolsBefore(run, k, axis));
  if (!isNextStep(k)) return lines;
  const after = { θ: positionOf(run, k + 1)[axis] };
  for (const [symbol, name] of Object.entries(run.rule.state)) {
    after[symbol] = stateAt(run, name, k + 1)[axis];
  }
  for (const [symbol, recorded] of Object.entries(after)) {
    const line = lines.findLast((other) => other.symbol === symbol);
    if (!line) continue;
    const { value, values } = line;
    const size = Math.abs(value) + Math.abs(recorded) + Math.abs(values[symbol] ?? 0);
    line.differs = Math.abs(value - recorded) > 1e-6 * size + 1e-150;
    line.value = recorded;
    for (const later of lines) if (later.i > line.i) later.values[symbol] = recorded;
  }
  return lines;
}

const lastValue = (lines, symbol) => lines.findLast((line) => line.symbol === symbol)?.value;

// ---- Worked lines: an equation with numbers in place of its symbols

const PRECEDENCE = { or: 1, and: 1, '<': 2, '>': 2, '≤': 2, '≥': 2, '=': 2, '≠': 2, '+': 3, '−': 3,
  negative: 3, '·': 4, '/': 4, '^': 6 };
const ATOM = 9;

const superscript = (text) => [...text].map((digit) => '⁰¹²³⁴⁵⁶⁷⁸⁹'[digit] ?? '⁻').join('');
const bracketed = (inside, [opening, closing] = '()') => [opening, ...inside, closing];

// The tree with numbers of so many digits, as texts and elements. `level` is the precedence of what
// surrounds it.
function worked(node, values, digits, level = 0) {
  const [kind, ...parts] = node;
  const inner = (part, at = 0) => worked(part, values, digits, at);
  const own = PRECEDENCE[kind] ?? ATOM;
  switch (kind) {
    case 'number': return [parts[0]];
    case 'name': {
      const x = values[parts[0]];
      const shown = numberElement(x, digits);
      const power = level > PRECEDENCE['^'] && level < ATOM && shown.textContent.includes('e');
      const brackets = power || (level > 3 && (x < 0 || Object.is(x, -0)));
      return brackets ? bracketed([shown]) : [shown];
    }
    case 'if': return inner(parts[evaluate(parts[1], (name) => values[name]) ? 0 : 2], level);
    case 'abs': return bracketed(inner(parts[0]), '||');
    case 'indicator': return bracketed(inner(parts[0]), '[]');
    case 'call': {
      const [name, ...operands] = parts;
      const lines = operands.map((part) => inner(part));
      if (name === '√' && lines[0].length === 1) return ['√', ...lines[0]];
      return [name, ...bracketed(lines.flatMap((line, i) => (i ? [', ', ...line] : line)))];
    }
    default: {
      let line = null;
      if (kind === 'negative') line = ['−', ...inner(parts[0], 4)];
      else if (kind === 'not') line = ['not ', ...inner(parts[0], 2)];
      else if (kind === '^') {
        const exponent = evaluate(parts[1], (name) => values[name]);
        const base = inner(parts[0], 7);
        if (Number.isInteger(exponent)) line = [...base, superscript(String(exponent))];
        else if (parts[1][0] === 'negative') line = [...base, '^', numberElement(exponent, digits)];
        else line = [...base, '^', ...inner(parts[1], ATOM)];
      } else line = [...inner(parts[0], own), ` ${kind} `, ...inner(parts[1], own + 1)];
      return level > own ? bracketed(line) : line;
    }
  }
}

// So many digits that the numbers, as they are shown, give the value. compute(round) is the value
// of numbers that were rounded.
function digitsFor(value, compute) {
  const enough = (digits) => {
    const found = compute((x) =>
      (typeof x === 'number' && Number.isFinite(x) ? Number(x.toPrecision(digits)) : x));
    return !(Math.abs(found - value) > 1e-3 * Math.abs(value));
  };
  return [4, 6, 8].find(enough) ?? 12;
}

function workedLine(line) { // "0.9 · 1.5 + 0.1 · 2 = 1.55", or a single number
  const digits = digitsFor(line.value, (round) =>
    evaluate(line.tree, (name) => round(line.values[name])));
  const terms = worked(line.tree, line.values, digits);
  const value = numberElement(line.value, 4);
  const alone = terms.length === 1 && (terms[0].textContent ?? terms[0]) === value.textContent;
  return alone ? [value] : [...terms, line.differs ? ' ≠ ' : ' = ', value];
}

// ---- The parts of a step, and the effective rate

// The step from k on is the sum of `gradient`, the step if the average of earlier gradients were 0;
// `momentum`, what that average adds; and `decay`, by which decoupled weight decay shrinks θ.
function stepParts(run, k) {
  if (!run.rule || k >= end) return null;
  const { momentum } = run.rule;
  const parts = { step: [], gradient: [], momentum: [], decay: [] };
  for (const axis of AXES) {
    const known = symbolsBefore(run, k, axis);
    const lines = linesOf(run.rule, known);
    const own = lines.filter(({ symbol }) => symbol === 'θ');
    const decay = own.length > 1 ? own[0].value - known.θ : 0;
    const step = lastValue(lines, 'θ') - known.θ;
    const alone = momentum === null ? step
      : lastValue(linesOf(run.rule, { ...known, [momentum]: 0 }), 'θ') - known.θ;
    parts.step.push(step);
    parts.gradient.push(alone - decay);
    parts.momentum.push(momentum === null ? 0 : step - alone);
    parts.decay.push(decay);
  }
  return parts;
}

// What the step multiplies the average of gradients by, or the gradient without one, for x and y.
function effectiveRate(run, k) {
  const { momentum } = run.rule;
  const unit = new Set(['g', momentum]);
  return AXES.map((axis) => {
    const known = symbolsBefore(run, k, axis);
    const lines = linesOf(run.rule, known);
    const last = lines.findLast(({ symbol }) => symbol === 'θ');
    const [kind, from, change] = last.tree;
    if (kind !== '−' || from[1] !== 'θ') return (known.θ - last.value) / known.g;
    const valueOf = (name) => {
      if (unit.has(name)) return 1;
      const line = lines.findLast(({ symbol }) => symbol === name);
      return line?.sign === '=' ? evaluate(line.tree, valueOf) : last.values[name];
    };
    return evaluate(change, valueOf);
  });
}

// ---- The arrows on the map

const LONGEST = 90; // pixels of the longest arrow that is magnified
const SHORTEST = 5; // of an arrow that is drawn

function magnification(vectors) { // 1, 2, 5, 10 … that makes short arrows visible
  const longest = Math.max(...vectors.map((vector) => Math.hypot(...vector)));
  if (!(longest > 0) || longest > LONGEST / 2) return 1;
  const power = 10 ** Math.floor(Math.log10(LONGEST / longest));
  return [5, 2, 1].find((m) => m * power * longest <= LONGEST) * power;
}

// Draw the arrows from the point whose numbers are shown; returns boxes along them. A rule with
// momentum has an arrow for each part of its step, another one an arrow downhill.
function drawStepArrows(g) {
  const { run, k } = shownPoint();
  const boxes = [];
  let factor = 1;
  if (!playing && run && inside(positionOf(run, k))) {
    const from = plane.project(positionOf(run, k));
    const parts = stepParts(run, k);
    if (!hasParts(run)) drawDownhill(g, run, k, from);
    if (parts?.step.every(Number.isFinite)) {
      const [step, momentum, gradient, decay] = ['step', 'momentum', 'gradient', 'decay']
        .map((name) => [parts[name][0] * plane.sx, -parts[name][1] * plane.sy]);
      factor = magnification([step, momentum, gradient]);
      const draw = (start, vector, ink, width, dashes) => {
        const along = (s) => start.map((x, j) => x + s * factor * vector[j]);
        if (Math.hypot(...vector) * factor < SHORTEST) return along(1);
        setPen(g, ink, width, dashes);
        drawArrow(g, ...visiblePart(start, along(1)), 9);
        boxes.push(...[0.35, 0.65, 1].map((s) => squareAround(along(s), 5)));
        return along(1);
      };
      draw(from, step, run.ink, 5, []);
      if (hasParts(run) && k) {
        const tip = draw(from, momentum, palette.momentum, 2.2, []);
        draw(draw(tip, gradient, palette.ink, 2, [5, 3]), decay, palette.soft, 2, [2, 3]);
      }
    }
    if (hovered) drawRing(g, from, 10);
  }
  showLegend(run, factor);
  return boxes;
}

const hasParts = (run) => Boolean(run.rule?.momentum);

function showLegend(run, factor) { // the same at each step, so that nothing below it moves
  const shown = { downhill: run && !hasParts(run), next: run, momentum: run && hasParts(run),
    gradient: run && hasParts(run), decay: run?.rule?.values.decoupled };
  for (const [name, on] of Object.entries(shown)) {
    document.querySelector(`.legend .${name}`).hidden = !on;
  }
  $('magnified').hidden = !run;
  $('magnified').textContent = factor > 1 ? `arrows ${formatNumber(factor)} × as long` : 'arrows to scale';
}

function drawDownhill(g, run, k, from) { // −∇f, of a fixed length
  const gradient = vectorAt(run.gradient, k);
  const [dx, dy] = [-gradient[0] * plane.sx, gradient[1] * plane.sy];
  const size = Math.hypot(dx, dy);
  const steep = Math.hypot(...gradient) > 1e-3 * Math.hypot(...vectorAt(run.gradient, 0));
  if (!Number.isFinite(size) || !steep) return;
  setPen(g, palette.ink, 1.6, [4, 3]);
  drawArrow(g, from, [from[0] + 48 * dx / size, from[1] + 48 * dy / size]);
}

// ---- The card: the equations with numbers, and the state over the steps

function showExplanation() {
  const card = $('explain');
  const { run, k } = shownPoint();
  card.hidden = !run;
  if (!run) return;
  card.style.setProperty('--colour', run.colour);
  const from = Math.min(k, end - 1);
  const title = make('h2', {}, `Step ${steps[from] + 1}`,
    make('span', { class: 'soft' }, `of ${run.name}, from θ of step ${steps[from]}`));
  const body = run.rule ? [equationList(run, from), sumOfParts(run, from), chartList(run, from)]
    : withoutNumbers(run);
  card.replaceChildren(title, ...body.filter(Boolean));
}

function withoutNumbers({ name, equations }) { // what a rule has that can't be evaluated
  const note = (text) => make('p', { class: 'soft' }, text);
  if (!equations) return [note(`${name} has no equations that can be evaluated.`)];
  const rows = equations.formulas.map((mathml) => {
    const formula = make('dt', {});
    formula.innerHTML = mathml; // generated and escaped by the package
    return make('div', { class: 'long-line' }, formula);
  });
  const unread = equations.unread.map((line) => note(`This equation can't be read: ${line}.`));
  return [make('dl', { class: 'equations' }, rows),
    note(`${name} has equations that can't be evaluated, so there are no numbers.`), ...unread];
}

function equationList(run, k) {
  const byAxis = AXES.map((axis) => linesWithRecorded(run, k, axis));
  return make('dl', { class: 'equations' }, run.rule.equations.map((equation, i) => {
    const lines = byAxis.map((own) => own.find((line) => line.i === i));
    if (!lines.some(Boolean)) return null;
    const formula = make('dt', {});
    formula.innerHTML = equation.mathml; // generated and escaped by the package
    const rows = (equation.by_axis ? AXES : [0]).filter((axis) => lines[axis]);
    const attributes = { 'data-symbol': equation.symbol, class: equation.long ? 'long-line' : '' };
    return make('div', attributes, formula, rows.map((axis) =>
      make('dd', {}, make('span', { class: 'axis' }, equation.by_axis ? 'xy'[axis] : ''),
        make('span', { class: 'worked' }, ...workedLine(lines[axis])))));
  }));
}

const PARTS = { momentum: 'from momentum', gradient: 'from the gradient', decay: 'from weight decay' };

function sumOfParts(run, k) { // the numbers of the arrows, if there is more than one
  const parts = stepParts(run, k);
  const names = Object.keys(PARTS).filter((name) => parts[name].some((x) => x !== 0));
  if (!names.some((name) => name !== 'gradient')) return null;
  const row = (axis) => {
    const digits = digitsFor(parts.step[axis], (round) =>
      names.reduce((sum, name) => sum + round(parts[name][axis]), 0));
    const terms = names.map((name, i) => [i ? ' + ' : '', make('span', { class: name },
      ...negativeInBrackets(numberElement(parts[name][axis], digits), i > 0))]);
    return make('dd', {}, make('span', { class: 'axis' }, 'xy'[axis]),
      make('span', { class: 'worked' }, ...terms.flat(), ' = ', numberElement(parts.step[axis], 4)));
  };
  const legend = names.map((name, i) => [i ? ' + ' : '', make('span', { class: name }, PARTS[name])]);
  return make('dl', { class: 'equations parts' }, make('div', { 'data-symbol': 'Δθ' },
    make('dt', {}, make('span', { class: 'symbol' }, 'Δθ'), ' = ', ...legend.flat()),
    AXES.map(row)));
}

const negativeInBrackets = (element, needed) =>
  (needed && element.textContent.startsWith('−') ? bracketed([element]) : [element]);

function chartList(run, k) { // of the gradient, the state and the effective rate over the steps
  run.charts ??= chartsOf(run);
  return make('div', { class: 'charts' }, run.charts.map((chart) => {
    const { symbol, name, scalar, values, picture, logarithmic } = chart;
    const at = 100 * k / Math.max(1, values.length - 1);
    for (const side of ['x1', 'x2']) picture.querySelector('.now').setAttribute(side, at);
    const caption = [name, logarithmic ? 'log scale' : ''].filter(Boolean).join(', ');
    return make('figure', {}, make('figcaption', {}, make('span', { class: 'symbol' }, symbol),
      caption, make('span', { class: 'values' }, (scalar ? [0] : AXES).map((axis) =>
        make('span', {}, scalar ? '' : `${'xy'[axis]} `, numberElement(values[k][axis], 3))))), picture);
  }));
}

const symbolOf = (run, name) =>
  Object.entries(run.rule.state).find((pair) => pair[1] === name)?.[0] ?? name;

function chartsOf(run) {
  const series = [['g', 'gradient', (k) => vectorAt(run.gradient, k)],
    ...run.slots.map(({ name, data }) => [symbolOf(run, name), '', (k) => stateAt(run, name, k),
      data.length === end + 1]),
    ['', `effective rate of ${run.rule.momentum ?? 'g'}`, (k) => effectiveRate(run, k)]];
  return series.map(([symbol, name, at, scalar]) =>
    ({ symbol, name, scalar, values: sequence(end, at) }))
    .filter(({ values }) => values.flat().some((x) => x !== values[0][0]))
    .map((chart) => ({ ...chart, ...chartPicture(chart.values) }));
}

// Two lines over the steps. The height is the logarithm if that shows more: of values that are never
// negative, or of |x| on both sides of 0.
function chartPicture(values) {
  const finite = values.flat().filter(Number.isFinite);
  const sizes = finite.map(Math.abs).filter((x) => x > 0).sort((a, b) => a - b);
  const [median, largest] = [sizes[sizes.length >> 1], sizes.at(-1)];
  const logarithmic = largest > 20 * (finite.some((x) => x < 0) ? median : sizes[0]);
  const unit = Math.max(sizes[sizes.length >> 3], 1e-6 * largest);
  const scale = !logarithmic ? (x) => x : (x) => Math.sign(x) * Math.log1p(Math.abs(x) / unit);
  const scaled = finite.map(scale);
  const [low, high] = [Math.min, Math.max].map((of) => scaled.reduce((a, b) => of(a, b), 0));
  const height = (x) => (38 - 36 * (scale(x) - low) / (high - low || 1)).toFixed(2);
  const across = 100 / Math.max(1, values.length - 1);
  const line = (axis) => values.map(({ [axis]: x }, k) => {
    if (!Number.isFinite(x)) return '';
    const drawn = k && Number.isFinite(values[k - 1][axis]);
    return `${drawn ? 'L' : 'M'}${(k * across).toFixed(2)} ${height(x)}`;
  }).join('');
  const picture = make('svg', { viewBox: '0 0 100 40', preserveAspectRatio: 'none',
    'aria-hidden': 'true' },
  make('line', { class: 'zero', x1: 0, x2: 100, y1: height(0), y2: height(0) }),
  make('line', { class: 'now', y1: 0, y2: 40 }),
  AXES.map((axis) => make('path', { class: 'xy'[axis], d: line(axis) })));
  return { picture, logarithmic };
}
