// The page of a race, after base.js: plays the data in #race.

const data = JSON.parse($('race').textContent);
const { surface, steps, runs } = data;
let { start: origin, noise } = data; // a live page replaces them, and what is in the runs
end = steps.length - 1; // index k: the page holds the state after steps[k] steps
const heights = unpack(surface.heights, Uint16Array);
const NOT_FINITE = 65535; // stands for the height where the surface is not finite
const MAX_HEIGHT = NOT_FINITE - 1;
const { side } = surface;
const [[left, right], [bottom, top]] = [surface.x, surface.y];
const centre = [(left + right) / 2, (bottom + top) / 2];
const width = Math.max(right - left, top - bottom);
const LIMIT = 1e4 * width; // points farther away are drawn at this distance
const unpackFloats = (text) => unpack(text, Float64Array);
const sequence = (count, value) => Array.from({ length: count }, (_, k) => value(k));

function unpackRun(run) {
  const [theta, loss, gradient] = [run.theta, run.loss, run.gradient].map(unpackFloats);
  const rates = typeof run.lr === 'string' ? unpackFloats(run.lr) : null;
  const slots = Object.entries(run.state)
    .map(([name, text]) => ({ name, data: unpackFloats(text) }));
  const rateAt = (k) => (rates ? rates[Math.min(k, end - 1)] : run.lr);
  return { ...run, theta, loss, gradient, slots, rateAt };
}

runs.forEach((run, i) => Object.assign(run, unpackRun(run), { i, visible: true }));

const vectorAt = (data, k) => [data[2 * k], data[2 * k + 1]];
const positionOf = (run, k) => vectorAt(run.theta, k);
const inside = ([x, y]) => x >= left && x <= right && y >= bottom && y <= top;
const visibleRuns = () => runs.filter(({ visible }) => visible);
const distance = ([x, y]) =>
  Math.min(...surface.minima.map(([a, b]) => Math.hypot(x - a, y - b)));
const isNextStep = (k) => k < end && steps[k + 1] === steps[k] + 1;

let selected = 0; // index of the run whose numbers are shown
let hovered = null; // the point of a path under the pointer, {run, k}
let in3D = false;
let onDraw = () => {}; // what a live page draws besides
let azimuth = 0; // of the camera, in radians
let elevation = 0.75; // of the camera, in radians; π/2 is from above

// ---- Numbers, formatted as by minidl._format.number

function formatNumber(x, digits = 5) {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? 'NaN' : x > 0 ? '∞' : '−∞';
  const size = Math.abs(x);
  const whole = size < 1e6 && (Number.isInteger(x) || size >= 10 ** digits);
  const [mantissa, power] = x.toExponential(digits - 1).split('e');
  const plain = whole || (power >= -4 && power < digits);
  const long = plain ? x.toFixed(whole ? 0 : digits - 1 - power) : mantissa;
  const short = long.includes('.') ? long.replace(/\.?0+$/, '') : long;
  return (plain ? short.replace(/^-0$/, '0') : `${short}e${Number(power)}`).replaceAll('-', '−');
}

const numberElement = (x, digits) => number([formatNumber(x, digits), String(x)]);

// ---- Styles of runs, colours

const MARKERS = { // in a square from −1 to 1
  o: 'M1 0A1 1 0 1 1-1 0 1 1 0 1 1 1 0z',
  s: 'M-.88-.88H.88V.88H-.88z',
  '^': 'M0-1 1 .8H-1z',
  v: 'M0 1 1-.8H-1z',
  '<': 'M-1 0 .8-1V1z',
  '>': 'M1 0-.8-1V1z',
  D: 'M0-1.15 1.15 0 0 1.15-1.15 0z',
  d: 'M0-1.25.75 0 0 1.25-.75 0z',
  P: 'M-.4-1.05H.4V-.4H1.05V.4H.4V1.05H-.4V.4H-1.05V-.4H-.4z',
  X: 'M-.55-1.1 0-.55.55-1.1 1.1-.55.55 0 1.1.55.55 1.1 0 .55-.55 1.1-1.1.55-.55 0-1.1-.55z',
  '*': 'M0-1.25.29-.4 1.19-.39.47.15.73 1.01 0 .5-.73 1.01-.47.15-1.19-.39-.29-.4z',
  p: 'M0-1.05 1-.32.62.85H-.62L-1-.32z',
  h: 'M0-1.05.91-.52V.52L0 1.05-.91.52V-.52z',
};
const DASHES = { solid: [], dashed: [6, 4], dotted: [1.5, 3.5] };

function styleSample({ marker, dashes }) {
  const line = make('line', { x1: -16, x2: 16, 'stroke-dasharray': DASHES[dashes].join(' ') });
  const shape = { d: MARKERS[marker], transform: 'scale(6.5)',
    'vector-effect': 'non-scaling-stroke' };
  return make('svg', { class: 'marker', viewBox: '-17 -10 34 20',
    preserveAspectRatio: 'xMidYMid slice', 'aria-hidden': 'true' }, line, make('path', shape));
}

const probe = make('i', { hidden: '' });
document.body.append(probe);

function resolveColour(text) { // a CSS colour in the current theme
  probe.style.color = text;
  return getComputedStyle(probe).color;
}

const rgb = (text) => text.match(/\d+/g).map(Number);

const palette = {};

function updatePalette() {
  for (const name of ['ink', 'soft', 'line', 'card', 'low', 'high', 'contour', 'momentum']) {
    palette[name] = resolveColour(`var(--${name})`);
  }
  for (const run of runs) {
    run.ink = resolveColour(getComputedStyle(run.row).getPropertyValue('--run'));
  }
  palette.sans = getComputedStyle(document.body).fontFamily;
}

// ---- Drawing

function prepareCanvas(id, height) { // a cleared context at the resolution of the screen
  const canvas = $(id);
  const ratio = devicePixelRatio || 1;
  const width = canvas.clientWidth;
  canvas.style.aspectRatio = `${width} / ${height}`; // a fixed height would be wrong in print
  [canvas.width, canvas.height] = [width, height].map((length) => Math.round(length * ratio));
  const g = canvas.getContext('2d');
  g.scale(ratio, ratio);
  g.lineJoin = 'round';
  return g;
}

function setPen(g, ink, width, dashes = []) {
  Object.assign(g, { strokeStyle: ink, fillStyle: ink, lineWidth: width });
  g.setLineDash(dashes);
}

function strokeLine(g, ...points) {
  g.beginPath();
  points.forEach((point, k) => (k ? g.lineTo(...point) : g.moveTo(...point)));
  g.stroke();
}

function ellipsePath([x, y], rx, ry = rx) {
  const path = new Path2D();
  path.ellipse(x, y, rx, ry, 0, 0, 7);
  return path;
}

function drawMarker(g, run, [x, y], size) {
  g.save();
  g.translate(x, y);
  g.scale(size, size);
  const shape = new Path2D(MARKERS[run.marker]);
  setPen(g, palette.card, 3 / size);
  g.stroke(shape);
  g.fillStyle = run.ink;
  g.fill(shape);
  g.restore();
}

const inBox = ([x, y], [l, t, r, b]) => x >= l && x <= r && y >= t && y <= b;

// The part of a line inside a box [left, top, right, bottom], or null (Liang and Barsky 1984).
function clipLine(start, stop, [l, t, r, b]) {
  const [[x, y], [u, v]] = [start, stop];
  let [from, to] = [0, 1];
  for (const [p, q] of [[x - u, x - l], [u - x, r - x], [y - v, y - t], [v - y, b - y]]) {
    if (p === 0 && q < 0) return null;
    if (p < 0) from = Math.max(from, q / p);
    if (p > 0) to = Math.min(to, q / p);
  }
  if (from > to) return null;
  const at = (s) => [x + s * (u - x), y + s * (v - y)];
  return [from > 0 ? at(from) : start, to < 1 ? at(to) : stop];
}

// A line through points inside a box. Nothing is drawn between two points outside the box, or to
// a point that is null.
function drawPolyline(g, points, box) {
  g.beginPath();
  let previous = null; // where the last line ended, if it was not clipped there
  for (let k = 1; k < points.length; k += 1) {
    const [from, to] = [points[k - 1], points[k]];
    const part = from && to && (inBox(from, box) || inBox(to, box)) && clipLine(from, to, box);
    if (part) {
      if (!previous || part[0] !== previous) g.moveTo(...part[0]);
      g.lineTo(...part[1]);
    }
    previous = part && part[1] === to ? to : null;
  }
  g.stroke();
}

function drawArrow(g, [x, y], [u, v], head = 7) {
  const length = Math.hypot(u - x, v - y);
  const [c, s] = [(u - x) / length, (v - y) / length];
  const neck = Math.max(0, length - head);
  strokeLine(g, [x, y], [x + c * neck, y + s * neck]);
  g.setLineDash([]);
  g.beginPath();
  g.moveTo(u, v);
  for (const w of [0.6, -0.6]) g.lineTo(u - head * (c + w * s), v - head * (s - w * c));
  g.fill();
}

function ticks(low, high, count) { // about so many round numbers
  const raw = (high - low) / count;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = unit * [1, 2, 5, 10].find((m) => m * unit >= raw);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return sequence(last - first + 1, (k) => Number(((first + k) * step).toPrecision(12)));
}

function drawText(g, text, x, y, { align = 'left', base = 'middle', ink, font = '13px' } = {}) {
  g.save();
  setPen(g, palette.card, 4); // a halo
  Object.assign(g, { font: `${font} ${palette.sans}`, textAlign: align, textBaseline: base });
  g.strokeText(text, x, y);
  g.fillStyle = ink ?? palette.soft;
  g.fillText(text, x, y);
  g.restore();
}

// ---- Shared by the 2-D and the 3-D view

const isSelected = (run) => run === shownPoint().run;
const selectedLast = () => visibleRuns().sort((a, b) => isSelected(a) - isSelected(b));
const squareAround = ([x, y], size) => [x - size, y - size, x + size, y + size];
const toUnitSquare = ([x, y]) => [(x - left) / (right - left), (y - bottom) / (top - bottom)];
const blend = (a, b, fraction) => a.map((level, j) => level + (b[j] - level) * fraction);
const limited = (point) => point.map((x, j) => clamp(x, centre[j] - LIMIT, centre[j] + LIMIT));
const AXIS_LABEL = { font: 'italic 15px' };

function drawRing(g, position, radius) {
  setPen(g, palette.ink, 1.8);
  g.stroke(ellipsePath(position, radius));
}

// A global minimum and the goal around it: a target, on top of the markers of runs.
function drawGoal(g, [x, y], rx, ry) {
  const circle = ellipsePath([x, y], rx, ry);
  const radius = Math.max(rx, ry, 6);
  for (const [ink, width] of [[palette.card, 4], [palette.ink, 1.6]]) {
    setPen(g, ink, width);
    g.stroke(circle);
    for (const [c, s] of [[1, 0], [0, 1], [-1, 0], [0, -1]]) {
      strokeLine(g, ...[radius + 4, radius + 11].map((r) => [x + c * r, y + s * r]));
    }
    g.fill(ellipsePath([x, y], 1.4 + width / 4));
  }
}

const KINDS = { // how other points with gradient 0 are marked, in a square from −1 to 1
  'local minimum': 'M-1-.9C-1 1.1 1 1.1 1-.9',
  saddle: 'M-1-1C-.2-.4-.2.4-1 1M1-1C.2-.4.2.4 1 1',
  maximum: 'M-1 .9C-1-1.1 1-1.1 1 .9',
};

function drawStationary(g, project) {
  for (const [x, y, kind] of surface.stationary) {
    g.save();
    g.translate(...project([x, y]));
    g.scale(5.5, 5.5);
    const shape = new Path2D(KINDS[kind]);
    for (const [ink, width] of [[palette.card, 4], [palette.ink, 1.4]]) {
      setPen(g, ink, width / 5.5);
      g.stroke(shape);
      g.fill(ellipsePath([0, 0], (width + 1.2) / 11));
    }
    g.restore();
  }
}

const shorten = (name) => (name.length > 24 ? `${name.slice(0, 22)} …` : name);

const SIDES = [[1, 0], [-1, 0], [0, -1], [0, 1], [1, -1], [1, 1], [-1, -1], [-1, 1]];
const LINE_HEIGHT = 16;

function groupEnds(ends) { // markers that overlap, in groups
  const groups = [];
  for (const mark of ends) {
    const [x, y] = mark.position;
    const near = groups.filter((group) => group.some(({ position: [u, v] }) =>
      Math.hypot(u - x, v - y) < 15));
    for (const group of near) groups.splice(groups.indexOf(group), 1);
    groups.push([...near.flat(), mark]);
  }
  return groups;
}

const overlap = ([l, t, r, b], [p, q, u, v]) => r >= p && l <= u && b >= q && t <= v;
const gap = ([l, t, r, b], [p, q, u, v]) => // between two boxes
  Math.hypot(Math.max(0, p - r, l - u), Math.max(0, q - b, t - v));

// A box of that size beside another one; else, with a line leading there, where it was before or as
// near as possible: inside the bounds, and overlapping nothing that is occupied. {box, far} or null.
function placeBox([w, h], around, before, bounds, occupied) {
  const isFree = (box) => inBox(box, bounds) && inBox(box.slice(2), bounds)
    && !occupied.some((other) => overlap(box, other));
  const [l, t, r, b] = around;
  const sides = h > LINE_HEIGHT ? [...SIDES].sort(([c], [d]) => c * c - d * d) : SIDES;
  const beside = sides.map(([c, s]) => {
    const distance = c && s ? 2 : 5;
    const x = c > 0 ? r + distance : c < 0 ? l - distance - w
      : clamp((l + r - w) / 2, bounds[0], bounds[2] - w);
    const y = s > 0 ? b + 3 : s < 0 ? t - 3 - h : clamp((t + b - h) / 2, bounds[1], bounds[3] - h);
    return [x, y, x + w, y + h];
  });
  const same = beside[before?.side];
  const box = [same, ...beside].find((other) => other && isFree(other));
  if (box) return { box, side: beside.indexOf(box) };
  const size = before && [before.box[2] - before.box[0], before.box[3] - before.box[1]];
  if (size && size[0] === w && size[1] === h && isFree(before.box)) return before;
  const free = ticks(bounds[0], bounds[2] - w, (bounds[2] - bounds[0]) / 12).flatMap((x) =>
    ticks(bounds[1], bounds[3] - h, (bounds[3] - bounds[1]) / 12).map((y) => [x, y, x + w, y + h]))
    .filter(isFree);
  const away = (one) => gap(one, around)
    + Math.hypot(one[0] + one[2] - l - r, one[1] + one[3] - t - b) / 4;
  free.sort((one, other) => away(one) - away(other));
  return free.length ? { box: free[0], far: true } : null;
}

// The labels of a group of markers, [{text, run, box, leader}], in a column or in several.
function placeLabels(g, group, bounds, occupied) {
  const at = [0, 1].map((j) => group.map(({ position }) => position[j]));
  const around = [0, 1].map((j) => Math.min(...at[j]) - 6)
    .concat([0, 1].map((j) => Math.max(...at[j]) + 6));
  const { run: first } = group[0];
  for (const most of [8, 4, 2, 16]) { // lines of a column
    const count = Math.ceil(group.length / most);
    const lines = Math.ceil(group.length / count);
    const columns = sequence(Math.ceil(group.length / lines), (k) =>
      group.slice(k * lines, (k + 1) * lines));
    const widths = columns.map((column) =>
      6 + Math.max(...column.map(({ text }) => g.measureText(text).width)));
    const size = [widths.reduce((a, b) => a + b), LINE_HEIGHT * columns[0].length];
    const place = placeBox(size, around, first.place, bounds, occupied);
    if (!place) continue;
    first.place = place;
    const [x, y, r, b] = place.box;
    const middle = [(around[0] + around[2]) / 2, (around[1] + around[3]) / 2];
    const leader = place.far ? [middle, [clamp(middle[0], x, r), clamp(middle[1], y, b)]] : null;
    const shift = (k) => widths.slice(0, k).reduce((sum, width) => sum + width, 3);
    return columns.flatMap((column, k) => column.map(({ text, run }, j) => {
      const [left, top] = [x + shift(k), y + j * LINE_HEIGHT];
      const box = [left, top, left + g.measureText(text).width, top + LINE_HEIGHT];
      return { text, run, leader, box };
    }));
  }
  first.place = null;
  return [];
}

// Draw a marker where each path ends now, and return those ends. project(point) is its position on
// the canvas; outside(run) draws a run that is outside the picture.
function drawMarkers(g, project, outside = () => null) {
  return selectedLast().map((run) => {
    if (!inside(positionOf(run, current))) return outside(run);
    const position = project(positionOf(run, current));
    drawMarker(g, run, position, isSelected(run) ? 7.5 : 6.5);
    return { run, position, text: shorten(run.name) };
  }).filter(Boolean);
}

function drawLabels(g, ends, bounds, occupied) { // beside the markers, the selected run's first
  const font = '600 13px';
  g.font = `${font} ${palette.sans}`;
  const labels = [];
  const taken = [...occupied, ...ends.map(({ position }) => squareAround(position, 7))];
  const groups = current ? groupEnds([...ends].reverse()) : []; // at first all are at the start
  for (const group of groups) {
    labels.push(...placeLabels(g, group, bounds, [...taken, ...labels.map(({ box }) => box)]));
  }
  for (const { leader, run } of labels.filter((label) => label.leader)) {
    for (const [ink, width] of [[palette.card, 3.5], [run.ink, 1.2]]) {
      setPen(g, ink, width);
      strokeLine(g, ...leader);
    }
  }
  for (const { run, text, box: [x, y] } of labels) {
    drawText(g, text, x, y + LINE_HEIGHT / 2, { ink: run.ink, font });
  }
  $('surface').dataset.labels = JSON.stringify(labels.map(({ text, box }) => [text, ...box]));
}

// ---- The 2-D view

const CONTOURS = 12;
let plane = null; // the layout on the canvas, and the drawn surface

function preparePlane() {
  const wide = matchMedia('(min-width: 60.01rem)').matches;
  const aspect = clamp((top - bottom) / (right - left), 0.3, 1.6); // equal scales if possible
  const available = Math.max(60, $('surface').clientWidth - 58);
  const maxHeight = wide ? Math.max(320, innerHeight - 290) : Infinity;
  const w = Math.min(available, maxHeight / aspect);
  const h = Math.round(w * aspect);
  const [x0, y0] = [46 + (available - w) / 2, 12];
  const [sx, sy] = [w / (right - left), h / (top - bottom)];
  const project = ([x, y]) => [x0 + (x - left) * sx, y0 + (top - y) * sy];
  plane = { project, w, h, sx, sy, box: [x0, y0, x0 + w, y0 + h], height: h + 52 };
  plane.image = heightImage();
  plane.contours = contourPath();
  if (aspect < 0.7 && wide) $('left-column').append($('losses'));
  else $('explain').before($('losses'));
}

function heightImage() { // one pixel per grid point
  const [low, high] = [rgb(palette.low), rgb(palette.high)];
  const image = new ImageData(side, side);
  heights.forEach((level, k) => {
    const colour = [...blend(low, high, level / MAX_HEIGHT), level === NOT_FINITE ? 0 : 255];
    image.data.set(colour, 4 * ((side - 1 - Math.floor(k / side)) * side + (k % side)));
  });
  const picture = new OffscreenCanvas(side, side);
  picture.getContext('2d').putImageData(image, 0, 0);
  return picture;
}

function contourPath() { // marching squares
  const path = new Path2D();
  const { box: [x0, , , y1], w, h } = plane;
  const cells = side - 1;
  for (let k = 0; k < side * cells; k += 1) {
    const [row, column] = [Math.floor(k / side), k % side];
    const corners = [heights[k], heights[k + 1], heights[k + side + 1], heights[k + side]];
    if (column === cells || corners.includes(NOT_FINITE)) continue;
    const [lowest, highest] = [Math.min(...corners), Math.max(...corners)];
    let level = Math.ceil(lowest / MAX_HEIGHT * CONTOURS);
    for (; level / CONTOURS * MAX_HEIGHT < highest; level += 1) {
      const z = level / CONTOURS * MAX_HEIGHT;
      const crossings = [];
      corners.forEach((a, edge) => {
        const b = corners[(edge + 1) % 4];
        if ((a > z) === (b > z)) return;
        const s = (z - a) / (b - a);
        const [u, v] = [[s, 0], [1, s], [1 - s, 1], [0, 1 - s]][edge];
        crossings.push([x0 + w * (column + u) / cells, y1 - h * (row + v) / cells]);
      });
      crossings.forEach((point, j) => (j % 2 ? path.lineTo(...point) : path.moveTo(...point)));
    }
  }
  return path;
}

function planePosition(run, k) { // on the canvas, or null
  const point = positionOf(run, k);
  return point.some(Number.isNaN) ? null : plane.project(limited(point));
}

// The part inside the box of a line that starts inside it.
const visiblePart = (from, to) => clipLine(from, to, plane.box) ?? [from, from];

function drawBackground(g) {
  const { project, w, h, box: [x0, y0, x1, y1] } = plane;
  g.imageSmoothingQuality = 'high';
  g.drawImage(plane.image, 0.5, 0.5, side - 1, side - 1, x0, y0, w, h);
  setPen(g, palette.contour, 1);
  g.stroke(plane.contours);
  g.strokeStyle = palette.line;
  g.strokeRect(x0, y0, w, h);
  for (const x of ticks(left, right, clamp(w / 60, 3, 9))) {
    drawText(g, formatNumber(x), project([x, 0])[0], y1 + 7, { align: 'center', base: 'top' });
  }
  for (const y of ticks(bottom, top, clamp(h / 52, 3, 9))) {
    const height = project([0, y])[1];
    if (height > y0 + 18) drawText(g, formatNumber(y), x0 - 7, height, { align: 'right' });
  }
  drawText(g, 'x', x1, y1 + 23, { ...AXIS_LABEL, align: 'right', base: 'top', ink: palette.ink });
  drawText(g, 'y', x0 - 7, y0 + 5, { ...AXIS_LABEL, align: 'right', ink: palette.ink });
}

function draw2D() {
  const g = prepareCanvas('surface', plane.height);
  const { box, project, sx, sy } = plane;
  $('surface').dataset.box = box;
  drawBackground(g);
  drawStationary(g, project);
  drawRing(g, project(origin), 7);
  for (const run of visibleRuns()) drawPath(g, run);
  const arrows = drawStepArrows(g);
  const ends = drawMarkers(g, project, (run) => drawExitArrow(g, run));
  const goals = surface.minima.map(project);
  for (const goal of goals) drawGoal(g, goal, surface.radius * sx, surface.radius * sy);
  drawLabels(g, ends, box, [...goals.map((goal) => squareAround(goal, 8)), ...arrows]);
}

function drawPath(g, run) {
  const points = sequence(current + 1, (k) => planePosition(run, k));
  g.globalAlpha = 0.55;
  setPen(g, palette.card, 4.5); // a halo
  drawPolyline(g, points, plane.box);
  g.globalAlpha = 1;
  setPen(g, run.ink, isSelected(run) ? 2.8 : 1.9, DASHES[run.dashes]);
  drawPolyline(g, points, plane.box);
  points.forEach((point, k) => { // a dot for each step, where the steps are long enough
    const last = points[k - 1];
    if (!point || !last || !inBox(point, plane.box)) return;
    const length = Math.hypot(point[0] - last[0], point[1] - last[1]);
    if (length >= 7) g.fill(ellipsePath(point, isSelected(run) ? 3 : 2.4));
  });
}

// For a run that is outside the picture, draw an arrow from its last point inside.
function drawExitArrow(g, run) {
  const [l, t, r, b] = plane.box;
  let k = current;
  while (k > 0 && !inside(positionOf(run, k))) k -= 1;
  const from = planePosition(run, k);
  const [, [x, y]] = visiblePart(from, planePosition(run, k + 1) ?? from);
  setPen(g, run.ink, 2);
  drawArrow(g, from, [x, y], 12);
  const position = [clamp(x, l + 8, r - 8), clamp(y, t + 12, b - 12)];
  return { run, position, text: `${shorten(run.name)} left at step ${steps[k + 1]}` };
}

// ---- The 3-D view: u, v and the height z are x, y and f scaled to 0 … 1

const CELLS = 60; // of the mesh in each direction
const HEIGHT_FACTOR = 0.95; // the height of the surface; its width is 2
const depth = clamp((top - bottom) / (right - left), 0.6, 1);
let mesh = null;

function heightAt(u, v) { // bilinear interpolation on the grid
  const [x, y] = [u, v].map((fraction) => clamp(fraction, 0, 1) * (side - 1));
  const [column, row] = [x, y].map((index) => Math.min(side - 2, Math.floor(index)));
  const [a, b] = [x - column, y - row];
  const z = (j, i) => Math.min(MAX_HEIGHT, heights[(row + j) * side + column + i]) / MAX_HEIGHT;
  return (1 - b) * ((1 - a) * z(0, 0) + a * z(0, 1)) + b * ((1 - a) * z(1, 0) + a * z(1, 1));
}

function onSurface(point) {
  const [u, v] = toUnitSquare(point);
  return [u, v, heightAt(u, v)];
}

function prepareMesh() {
  const fractions = sequence(CELLS + 1, (k) => k / CELLS);
  const hasHeight = (...uv) => {
    const [column, row] = uv.map((fraction) => Math.round(fraction * (side - 1)));
    return heights[row * side + column] !== NOT_FINITE;
  };
  const corners = fractions.map((v) =>
    fractions.map((u) => [u, v, hasHeight(u, v) ? heightAt(u, v) : NaN]));
  mesh = { corners, segments: runs.map(drapePath) };
  azimuth = bestAzimuth(mesh.segments.flat());
}

function drapePath(run) { // the path on the surface, in segments no longer than a cell
  const segments = [];
  const cellOf = (fraction) => clamp(Math.floor(fraction * CELLS), 0, CELLS - 1);
  for (let k = 1; k <= end; k += 1) {
    const ends = [positionOf(run, k - 1), positionOf(run, k)];
    if (ends.flat().some(Number.isNaN) || !ends.some(inside)) continue;
    const part = clipLine(...ends.map((point) => toUnitSquare(limited(point))), [0, 0, 1, 1]);
    if (!part) continue;
    const [[u, v], [p, q]] = part;
    const count = Math.max(1, Math.ceil(1.5 * CELLS * Math.hypot(p - u, q - v)));
    const points = sequence(count + 1, (j) => [u + (p - u) * j / count, v + (q - v) * j / count])
      .map(([a, b]) => [a, b, heightAt(a, b)]);
    points.slice(1).forEach((to, j) => {
      const from = points[j];
      const [column, row] = [0, 1].map((axis) => cellOf((from[axis] + to[axis]) / 2));
      segments.push({ k, row, column, from, to });
    });
  }
  return segments;
}

function bestAzimuth(segments) { // the direction from which the paths are hidden the least
  const stride = Math.ceil(segments.length / 200);
  const points = segments.filter((_, k) => k % stride === 0).map(({ to }) => to);
  const slope = 2 * Math.tan(elevation) / HEIGHT_FACTOR; // of the line of sight
  const distances = sequence(48, (k) => 0.03 * (k + 1)); // from a point towards the camera
  const hiddenFrom = (angle) => points.filter(([u, v, z]) => distances.some((t) => {
    const uv = [u - t * Math.sin(angle), v - t * Math.cos(angle) / depth];
    return inBox(uv, [0, 0, 1, 1]) && heightAt(...uv) > z + t * slope;
  })).length;
  const angles = [0.6, 0.97].flatMap((angle) => sequence(4, (k) => angle + k * Math.PI / 2));
  const counts = angles.map(hiddenFrom);
  return angles[counts.indexOf(Math.min(...counts))];
}

function sizeIn3D() {
  const w = $('surface').clientWidth;
  return [w, Math.max(plane.height, Math.round(0.75 * w))];
}

function cameraProjection() { // from (u, v, z) to the canvas
  const [w, h] = sizeIn3D();
  const [c, s] = [Math.cos(azimuth), Math.sin(azimuth)];
  const [vertical, horizontal] = [Math.cos(elevation), Math.sin(elevation)];
  const scale = Math.min(w / 2.95, h / 2.75);
  return ([u, v, z]) => {
    const [x, y] = [2 * u - 1, (2 * v - 1) * depth];
    const rise = (s * x + c * y) * horizontal + (z * HEIGHT_FACTOR - 0.5) * vertical;
    return [w / 2 + scale * (c * x - s * y), h / 2 - scale * rise];
  };
}

function projection() { // from (x, y) to the canvas in the current view
  if (!in3D) return plane.project;
  if (!mesh) prepareMesh();
  const project = cameraProjection();
  return (point) => project(onSurface(point));
}

function draw3D() {
  const project = projection();
  const projectUvz = cameraProjection();
  const [w, h] = sizeIn3D();
  const g = prepareCanvas('surface', h);
  g.lineCap = 'round';
  drawFloor(g, projectUvz);
  drawMesh(g, projectUvz);
  drawStationary(g, project);
  drawRing(g, project(origin), 7);
  const ends = drawMarkers(g, project);
  const goals = surface.minima.map(project);
  for (const goal of goals) drawGoal(g, goal, 7, 7 * Math.sin(elevation));
  drawLabels(g, ends, [4, 4, w - 4, h - 4], goals.map((goal) => squareAround(goal, 8)));
  if (hovered) drawRing(g, project(positionOf(hovered.run, hovered.k)), 10);
}

function drawFloor(g, project) {
  setPen(g, palette.line, 1.2);
  const corners = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]];
  strokeLine(g, ...corners.map((corner) => project([...corner, 0])));
  const axes = [['x', surface.x, (along, across) => [along, across, 0]],
    ['y', surface.y, (along, across) => [across, along, 0]]];
  for (const [name, range, uvz] of axes) {
    const nearer = project(uvz(0.5, 0))[1] > project(uvz(0.5, 1))[1] ? 0 : 1; // edge
    const drawBeside = (text, along, style) => {
      const [[x, y], [u, v]] = [project(uvz(along, nearer)), project(uvz(along, 1 - nearer))];
      const gap = 16 / Math.hypot(x - u, y - v);
      drawText(g, text, x + gap * (x - u), y + gap * (y - v), { align: 'center', ...style });
    };
    drawBeside(name, 0.5, { ...AXIS_LABEL, ink: palette.ink });
    range.forEach((value, k) => drawBeside(formatNumber(value, 3), 0.06 + 0.88 * k));
  }
}

function drawMesh(g, project) { // from back to front, with the paths in between
  const indices = (ascending) => sequence(CELLS, (k) => (ascending ? k : CELLS - 1 - k));
  const [c, s] = [Math.cos(azimuth), Math.sin(azimuth)];
  const [rows, columns] = [indices(c < 0), indices(s < 0)];
  const byRows = Math.abs(c) > Math.abs(s);
  const paths = indices(true).map(() => new Map()); // for each row or column, {run: path}
  for (const run of selectedLast()) {
    for (const { k, row, column, from, to } of mesh.segments[run.i]) {
      if (k > current) break;
      const byRun = paths[byRows ? row : column];
      if (!byRun.has(run)) byRun.set(run, new Path2D());
      byRun.get(run).moveTo(...project(from));
      byRun.get(run).lineTo(...project(to));
    }
  }
  const drawPaths = (byRun) => byRun.forEach((path, run) => {
    setPen(g, run.ink, isSelected(run) ? 2.8 : 2);
    g.stroke(path);
  });
  const corners = mesh.corners.map((row) =>
    row.map((uvz) => ({ position: project(uvz), z: uvz[2] })));
  const colour = cellColours();
  let previous = new Map(); // paths are drawn one row later, as the next row would cover them
  for (const a of byRows ? rows : columns) {
    for (const b of byRows ? columns : rows) {
      drawCell(g, corners, ...(byRows ? [a, b] : [b, a]), colour);
    }
    drawPaths(previous);
    previous = paths[a];
  }
  drawPaths(previous);
  g.globalAlpha = 0.2; // hidden parts of the paths remain visible
  paths.forEach(drawPaths);
  g.globalAlpha = 1;
}

function cellColours() { // the colour of a cell, by its height and its slope
  const [low, high] = [rgb(palette.low), rgb(palette.high)];
  const dark = low[0] + low[1] < 300;
  const [body, ambient, diffuse] = dark
    ? [[92, 112, 134], 0.75, 0.75] : [[152, 190, 222], 0.72, 0.38];
  return (z, dx, dy) => {
    const light = (0.75 - 0.5 * dx + 0.35 * dy) / Math.hypot(1, dx, dy);
    const base = blend(blend(low, high, z), body, 0.4);
    return `rgb(${base.map((level) => Math.round(level * (ambient + diffuse * light))).join(' ')})`;
  };
}

function drawCell(g, corners, j, i, colour) {
  const cell = [corners[j][i], corners[j][i + 1], corners[j + 1][i + 1], corners[j + 1][i]];
  const positions = cell.map(({ position }) => position);
  const [z0, z1, z2, z3] = cell.map(({ z }) => z);
  const z = (z0 + z1 + z2 + z3) / 4;
  if (Number.isNaN(z)) return;
  const [dx, dy] = [z1 - z0 + z2 - z3, z3 - z0 + z2 - z1].map((rise) => rise * CELLS / 4);
  setPen(g, colour(z, dx, dy), 0.8); // the outline closes the seams between cells
  g.beginPath();
  for (const position of positions) g.lineTo(...position);
  g.closePath();
  g.fill();
  g.stroke();
  g.strokeStyle = palette.contour;
  if (j % 5 === 0) strokeLine(g, positions[0], positions[1]);
  if (i % 5 === 0) strokeLine(g, positions[0], positions[3]);
}

// ---- The chart: f at each step

const CHART_HEIGHT = 164;
let chartRange = findChartRange();

function findChartRange() { // the powers of ten between which f is shown, at most twelve apart
  const above = (f) => f - surface.lowest;
  const values = runs.flatMap(({ loss }) => Array.from(loss, above))
    .filter((f) => f > 0 && f < Infinity);
  const limit = Math.max(above(surface.highest), ...runs.map(({ loss }) => above(loss[0])));
  const highest = Math.min(values.reduce((a, b) => Math.max(a, b), 1e-300), limit);
  const lowest = values.reduce((a, b) => Math.min(a, b), highest);
  const high = Math.ceil(Math.log10(highest) - 1e-9);
  return { high, low: Math.min(high - 1, Math.max(Math.floor(Math.log10(lowest)), high - 12)) };
}

const powerOfTen = (power) =>
  `10${[...String(power)].map((digit) => '⁰¹²³⁴⁵⁶⁷⁸⁹'[digit] ?? '⁻').join('')}`;

function chartArea() {
  return [44, 10, $('chart').clientWidth - 26, CHART_HEIGHT - 36]; // half of "100000" fits
}

function drawChart() {
  const g = prepareCanvas('chart', CHART_HEIGHT);
  const [l, t, r, b] = chartArea();
  const xOfStep = (step) => l + (r - l) * step / steps[end];
  const x = (k) => xOfStep(steps[k]);
  const { low, high } = chartRange;
  const y = (f) => t + (b - t) * (high - Math.log10(f)) / (high - low);
  const interval = Math.ceil((high - low) / 5);
  for (let power = low; power <= high; power += interval) {
    setPen(g, palette.line, 1);
    strokeLine(g, [l, y(10 ** power)], [r, y(10 ** power)]);
    drawText(g, powerOfTen(power), l - 6, y(10 ** power), { align: 'right' });
  }
  for (const step of ticks(0, steps[end], clamp((r - l) / 90, 2, 8)).filter(Number.isInteger)) {
    drawText(g, formatNumber(step), xOfStep(step), b + 6, { align: 'center', base: 'top' });
  }
  drawText(g, 'step', r, b + 21, { align: 'right', base: 'top' });
  for (const run of visibleRuns()) {
    const height = (f) => clamp(y(Math.max(f - surface.lowest, 1e-320)), -1e4, 1e4);
    const points = Array.from(run.loss, (f, k) => (Number.isNaN(f) ? null : [x(k), height(f)]));
    setPen(g, run.ink, isSelected(run) ? 2.8 : 1.8, DASHES[run.dashes]);
    for (const [part, alpha] of [[points, 0.22], [points.slice(0, current + 1), 1]]) {
      g.globalAlpha = alpha;
      drawPolyline(g, part, [l, t - 2, r, b]);
    }
  }
  setPen(g, palette.soft, 1.2);
  strokeLine(g, [x(current), t - 6], [x(current), b + 4]);
}

function prepareChart() {
  const chart = $('chart');
  const seek = ({ clientX }) => {
    const [l, , r] = chartArea();
    const step = (clientX - chart.getBoundingClientRect().left - l) / (r - l) * steps[end];
    const k = steps.findIndex((other) => other >= step - 0.5);
    move(k < 0 ? end : k);
  };
  chart.addEventListener('pointerdown', (event) => {
    chart.setPointerCapture(event.pointerId);
    seek(event);
  });
  chart.addEventListener('pointermove', (event) => { if (event.buttons) seek(event); });
}

// ---- The numbers of a run

function shownPoint() { // the point whose numbers are shown
  if (hovered?.run.visible) return hovered;
  const run = runs[selected].visible ? runs[selected] : visibleRuns()[0];
  return { run, k: current };
}

function showNumbers() {
  const { run, k } = shownPoint();
  const card = $('numbers');
  $('stage').style.setProperty('--run', run?.ink ?? '');
  if (!run) {
    const message = 'No optimizer is shown: choose some in the list.';
    card.replaceChildren(make('p', { class: 'soft' }, message));
    return;
  }
  const scalars = [['f', run.loss[k]]];
  if (k < end) scalars.push(['η', run.rateAt(k)]);
  const vectors = [['position', 'θ', positionOf(run, k)],
    [noise ? 'noisy gradient' : 'gradient', '∇f', vectorAt(run.gradient, k)]];
  for (const { name, data } of run.slots) {
    if (data.length === end + 1) scalars.push([name, data[k]]); // the same number for x and y
    else vectors.push(['state', name, vectorAt(data, k)]);
  }
  if (isNextStep(k)) {
    const from = positionOf(run, k);
    vectors.push(['next step', 'Δθ', positionOf(run, k + 1).map((x, j) => x - from[j])]);
  }
  const part = (role, ...content) => make('div', { role }, ...content);
  const row = ([name, symbol, values]) => part('row',
    part('rowheader', name, make('span', { class: 'symbol' }, symbol)),
    values.map((value) => part('cell', numberElement(value))));
  const step = k === end ? `at the end, step ${steps[k]}` : `at step ${steps[k]}`;
  const title = make('h2', {}, styleSample(run), make('span', {}, run.name),
    make('span', { class: 'soft' }, step));
  card.style.setProperty('--colour', run.colour);
  card.replaceChildren(
    make('div', { class: 'headline' }, title, make('dl', {}, scalars.map(([symbol, value]) =>
      make('div', {}, make('dt', {}, symbol), make('dd', {}, numberElement(value)))))),
    make('div', { role: 'table', class: 'scroll', 'aria-label': 'by x and y' },
      part('row', part('cell'), part('columnheader', 'x'), part('columnheader', 'y')),
      vectors.map(row)));
}

function statusOf(run) { // [steps to the goal, verdict as far as it is known, class of the cell]
  const position = positionOf(run, current);
  const { arrived, verdict } = run;
  if (arrived !== null && steps[current] >= arrived) return [arrived, verdict, 'good'];
  if (current === end) return ['–', verdict, verdict === 'diverged' ? 'non-finite' : ''];
  if (!position.every(Number.isFinite)) return ['', 'diverged', 'non-finite'];
  return ['', inside(position) ? '' : 'outside the picture', ''];
}

function showRows() {
  for (const run of runs) {
    const [arrived, verdict, status] = statusOf(run);
    const toGoal = distance(positionOf(run, current));
    const contents = [numberElement(run.rateAt(current), 3), numberElement(run.loss[current], 3),
      surface.minima.length ? numberElement(toGoal, 2) : '–', arrived, verdict];
    run.cells.forEach((cell, k) => cell.replaceChildren(contents[k]));
    run.cells.at(-1).className = `verdict ${status}`;
    run.row.classList.toggle('not-shown', !run.visible);
    run.row.classList.toggle('selected', run === shownPoint().run);
    run.checkbox.checked = run.visible;
  }
}

function prepareRows() {
  for (const run of runs) {
    run.checkbox = make('input', { type: 'checkbox', 'aria-describedby': 'numbers',
      change: () => setVisible(runs.filter((r) => (r === run ? run.checkbox.checked : r.visible))),
      focus: () => select(run) });
    run.cells = ['rate', 'f', 'distance', 'arrived', 'verdict']
      .map((name) => make('td', { class: name }));
    const only = make('button', { class: 'small only', type: 'button',
      'aria-label': `Only ${run.name}`, click: () => setVisible([run]) }, 'only');
    run.row = make('tr', { class: 'run', style: `--colour: ${run.colour}`,
      title: `${run.name}, rate ${run.rate}`,
      click: ({ target }) => { if (!target.closest('label, button')) select(run); } },
    make('th', { scope: 'row' },
      make('label', {}, run.checkbox, styleSample(run), make('span', {}, run.name)), only),
    run.cells);
    $('runs').querySelector('tbody').append(run.row);
  }
  $('all').addEventListener('click', () => setVisible(runs));
  $('none').addEventListener('click', () => setVisible([]));
}

function select(run) {
  selected = run.i;
  draw();
}

function setVisible(visible) {
  for (const run of runs) run.visible = visible.includes(run);
  if (visible.length && !runs[selected].visible) selected = visible[0].i;
  hover(null);
  draw();
  storeInAddress();
}

// ---- The pointer

function nearestPoint(x, y) { // the point of a path near the pointer, or null
  const project = projection();
  let nearest = { distance: 22 };
  for (const run of visibleRuns()) {
    for (let k = 0; k <= current; k += 1) {
      if (!inside(positionOf(run, k))) continue;
      const position = project(positionOf(run, k));
      const distance = Math.hypot(position[0] - x, position[1] - y);
      const tie = distance === nearest.distance && run.i === selected;
      if (distance < nearest.distance || tie) nearest = { run, k, position, distance };
    }
  }
  return nearest.run ? nearest : null;
}

function hover(point) {
  const tooltip = $('tooltip');
  hovered = point;
  tooltip.hidden = !point;
  if (!point) return;
  const { run, k, position: [x, y] } = point;
  tooltip.textContent = `${run.name} · step ${steps[k]} · f = ${formatNumber(run.loss[k], 4)}`;
  const maxLeft = $('surface').clientWidth - tooltip.offsetWidth - 4;
  tooltip.style.left = `${clamp(x - tooltip.offsetWidth / 2, 4, maxLeft)}px`;
  tooltip.style.top = `${y > 60 ? y - tooltip.offsetHeight - 16 : y + 18}px`;
}

function preparePointer() {
  const canvas = $('surface');
  let drag = null;
  const positionIn = ({ clientX, clientY }) => {
    const box = canvas.getBoundingClientRect();
    return [clientX - box.left, clientY - box.top];
  };
  canvas.addEventListener('pointerdown', (event) => {
    drag = in3D ? { x: event.clientX, y: event.clientY, azimuth, elevation } : null;
    const point = nearestPoint(...positionIn(event));
    if (point) selected = point.run.i;
    if (in3D) canvas.setPointerCapture(event.pointerId);
    hover(point);
    draw();
  });
  canvas.addEventListener('pointermove', (event) => {
    if (drag) {
      hover(null);
      const [right, down] = [event.clientX - drag.x, event.clientY - drag.y];
      rotate(drag.azimuth + right / 160, drag.elevation + down / 200);
      return;
    }
    const point = nearestPoint(...positionIn(event));
    if (point?.run === hovered?.run && point?.k === hovered?.k) return;
    hover(point);
    draw();
  });
  canvas.addEventListener('lostpointercapture', () => { drag = null; });
  canvas.addEventListener('pointerleave', ({ pointerType }) => {
    if (!hovered || pointerType !== 'mouse') return;
    hover(null);
    draw();
  });
}

// ---- The view

function draw() {
  showNumbers();
  showExplanation();
  onDraw();
  showRows();
  (in3D ? draw3D : draw2D)();
  placeStart();
  drawChart();
  const names = visibleRuns().map(({ name }) => name).join(', ') || 'no optimizer';
  const view = in3D ? '3-D view' : 'Contours';
  const hint = in3D ? '; the arrow keys rotate it' : '';
  $('surface').setAttribute('aria-label',
    `${view} of ${surface.name}, with the paths of ${names} up to step ${steps[current]}${hint}`);
  $('chart').setAttribute('aria-label',
    `f above its lowest of ${names} over the steps, at step ${steps[current]}`);
}

let drawnAt = '';
const sizeNow = () => `${$('surface').clientWidth} ${innerHeight}`;

function redraw() { // after a change of size or theme
  drawnAt = sizeNow();
  updatePalette();
  preparePlane();
  draw();
}

function redrawIfResized() {
  if (sizeNow() !== drawnAt) redraw();
}

function rotate(toAzimuth, toElevation) {
  azimuth = toAzimuth;
  elevation = clamp(toElevation, 0.15, 1.45);
  draw();
}

function setView(to3D) {
  in3D = to3D;
  hover(null);
  $('stage').classList.toggle('in-3d', in3D);
  $('view-2d').setAttribute('aria-pressed', !in3D);
  $('view-3d').setAttribute('aria-pressed', in3D);
  draw();
  storeInAddress();
}

const ROTATIONS = { left: [-0.15, 0], right: [0.15, 0], up: [0, 0.1], down: [0, -0.1] };

function prepareView() {
  $('view-2d').addEventListener('click', () => setView(false));
  $('view-3d').addEventListener('click', () => setView(true));
  const rotateBy = ([da, de]) => rotate(azimuth + da, elevation + de);
  for (const [id, change] of Object.entries(ROTATIONS)) {
    $(id).addEventListener('click', () => rotateBy(change));
  }
  $('surface').addEventListener('keydown', (event) => {
    const change = ROTATIONS[event.key.replace('Arrow', '').toLowerCase()];
    if (!in3D || !change) return;
    event.preventDefault();
    rotateBy(change);
  });
  $('start').addEventListener('click', () => play(true));
  $('speed').addEventListener('change', () => { if (playing) play(true); });
  $('height-scale').textContent = formatNumber(surface.scale, 2);
  for (const item of document.querySelectorAll('.legend [data-kind]')) {
    item.hidden = !surface.stationary.some(([, , kind]) => kind === item.dataset.kind);
  }
}

// ---- Stepping and playing

const STEPS_PER_SECOND = clamp(end / 12, 4, 60); // at speed 1×

function showStep() {
  const text = `step ${steps[current]} of ${steps[end]}`;
  $('start').hidden = true;
  $('count').textContent = text;
  $('scrub').setAttribute('aria-valuetext', text);
  if (hovered && hovered.k > current) hover(null);
  draw();
}

function announce() {
  const { run } = shownPoint();
  const loss = run ? ` ${run.name}: f ${formatNumber(run.loss[current], 4)}.` : '';
  const verdicts = visibleRuns().map(({ name, verdict }) => `${name}: ${verdict}`).join(', ');
  const news = current === end ? ` The end. ${verdicts}` : loss;
  $('live').textContent = `Step ${steps[current]}.${news}`;
  storeInAddress();
}

// Put the button that starts the race where it hides neither the start, the first step nor a goal.
function placeStart() {
  const button = $('start');
  if (button.hidden) return;
  const { project, box: [l, t, r, b] } = plane;
  const [w, h] = [button.offsetWidth, button.offsetHeight];
  const boxAt = ([u, v]) => {
    const [x, y] = [l + 8 + u * (r - l - w - 16), t + 8 + v * (b - t - h - 16)];
    return [x, y, x + w, y + h];
  };
  const { run } = shownPoint();
  const step = run && planePosition(run, 1);
  const points = [origin, ...surface.minima].map((point) => squareAround(project(point), 14));
  const hides = (place) => {
    const [x, y, p, q] = boxAt(place);
    return points.some(([c, d, e, f]) => p > c && x < e && q > d && y < f)
      || (step && clipLine(project(origin), step, [x - 8, y - 8, p + 8, q + 8]));
  };
  const places = [1, 0.5, 0].flatMap((v) => [0.5, 0, 1].map((u) => [u, v]));
  const [x, y] = boxAt(places.find((place) => !hides(place)) ?? places[0]);
  [button.style.left, button.style.top] = [`${x}px`, `${y}px`];
}

function onPlay() {
  hover(null);
  $('start').hidden = true;
  draw();
}

// ---- The address: #step=120&run=SGD&run=Adam&view=3-D

let timer = null;

function storeInAddress() {
  clearTimeout(timer);
  timer = setTimeout(() => {
    const query = new URLSearchParams({ step: steps[current] });
    const visible = visibleRuns();
    if (visible.length < runs.length) for (const { name } of visible) query.append('run', name);
    if (in3D) query.append('view', '3-D');
    attempt(() => history.replaceState(null, '', `#${query}`));
  }, 250);
}

function restoreFromAddress() {
  const query = new URLSearchParams(location.hash.slice(1));
  const step = Number(query.get('step'));
  const names = query.getAll('run');
  const visible = runs.filter(({ name }) => names.includes(name));
  for (const run of runs) run.visible = !visible.length || visible.includes(run);
  if (visible.length) selected = visible[0].i;
  play(false);
  setView(query.get('view') === '3-D');
  go(Math.max(0, steps.findLastIndex((other) => other <= step)));
  $('start').hidden = query.has('step');
  placeStart();
}

// ---- Start of the page

document.querySelector('main').hidden = false;
for (const id of ['theme', 'controls']) $(id).hidden = false;
prepareRows();
prepareTheme(redraw);
prepareView();
preparePointer();
prepareChart();
prepareSteps({ show: showStep, announce, playChanged: onPlay,
  pace: () => STEPS_PER_SECOND * $('speed').value });
redraw();
restoreFromAddress();
addEventListener('hashchange', restoreFromAddress);
new ResizeObserver(redrawIfResized).observe($('surface'));
addEventListener('resize', redrawIfResized);
