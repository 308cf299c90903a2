// The race: plays what is held in #race.

const { surface, places, start: origin, noise, runs } = JSON.parse($('race').textContent);
end = places.length - 1; // k counts what the page holds, places[k] the steps
const heights = unpack(surface.heights, Uint16Array);
const VOID = 65535; // where the surface is not finite
const TOP = VOID - 1;
const { side } = surface;
const [[left, right], [bottom, top]] = [surface.x, surface.y];
const middle = [(left + right) / 2, (bottom + top) / 2];
const width = Math.max(right - left, top - bottom);
const FAR = 1e4 * width; // what is farther away is drawn there
const read = (text) => unpack(text, Float64Array);
const times = (count, what) => Array.from({ length: count }, (_, k) => what(k));

runs.forEach((run, i) => {
  for (const key of ['theta', 'loss', 'gradient']) run[key] = read(run[key]);
  const rates = typeof run.lr === 'string' ? read(run.lr) : null;
  const slots = Object.entries(run.state).map(([name, text]) => ({ name, data: read(text) }));
  const rateAt = (k) => (rates ? rates[Math.min(k, end - 1)] : run.lr);
  Object.assign(run, { i, slots, rateAt, shown: true });
});

const pair = (data, k) => [data[2 * k], data[2 * k + 1]];
const where = (run, k) => pair(run.theta, k);
const inside = ([x, y]) => x >= left && x <= right && y >= bottom && y <= top;
const visible = () => runs.filter(({ shown }) => shown);
const distance = ([x, y]) =>
  Math.min(...surface.minima.map(([a, b]) => Math.hypot(x - a, y - b)));
const isNext = (k) => k < end && places[k + 1] === places[k] + 1;

let chosen = 0; // the run whose numbers are shown
let pointed = null; // {run, k} under the pointer
let deep = false; // in 3-D
let turned = 0; // radians
let raised = 0.75; // up to π/2, from above

// ---- Numbers, as Python shows them

function shown(x, digits = 5) {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? 'NaN' : x > 0 ? '∞' : '−∞';
  const size = Math.abs(x);
  const whole = size < 1e6 && (Number.isInteger(x) || size >= 10 ** digits);
  const [mantissa, power] = x.toExponential(digits - 1).split('e');
  const plain = whole || (power >= -4 && power < digits);
  const long = plain ? x.toFixed(whole ? 0 : digits - 1 - power) : mantissa;
  const short = long.includes('.') ? long.replace(/\.?0+$/, '') : long;
  return (plain ? short.replace(/^-0$/, '0') : `${short}e${Number(power)}`).replaceAll('-', '−');
}

const figure = (x, digits) => number([shown(x, digits), String(x)]);

// ---- Looks

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

function mark({ marker, dashes }) {
  const line = make('line', { x1: -20, x2: 20, 'stroke-dasharray': DASHES[dashes].join(' ') });
  const shape = { d: MARKERS[marker], transform: 'scale(6.5)', 'vector-effect': 'non-scaling-stroke' };
  return make('svg', { class: 'mark', viewBox: '-21 -10 42 20',
    preserveAspectRatio: 'xMidYMid slice', 'aria-hidden': 'true' }, line, make('path', shape));
}

const probe = make('i', { hidden: '' });
document.body.append(probe);

function colour(text) { // as it is now, in the light or in the dark
  probe.style.color = text;
  return getComputedStyle(probe).color;
}

const rgb = (text) => text.match(/\d+/g).map(Number);

const paint = {};

function mixPaint() {
  for (const name of ['ink', 'soft', 'line', 'card', 'low', 'high', 'contour']) {
    paint[name] = colour(`var(--${name})`);
  }
  for (const run of runs) run.ink = colour(getComputedStyle(run.row).getPropertyValue('--run'));
  paint.sans = getComputedStyle(document.body).fontFamily;
}

// ---- Drawing

function canvasOf(id, height) { // cleared, of the size at which it is shown
  const canvas = $(id);
  const ratio = devicePixelRatio || 1;
  const wide = canvas.clientWidth;
  canvas.style.aspectRatio = `${wide} / ${height}`; // not a height: paper is of another width
  [canvas.width, canvas.height] = [wide, height].map((length) => Math.round(length * ratio));
  const g = canvas.getContext('2d');
  g.scale(ratio, ratio);
  g.lineJoin = 'round';
  return g;
}

function pen(g, ink, width, dashes = []) {
  Object.assign(g, { strokeStyle: ink, fillStyle: ink, lineWidth: width });
  g.setLineDash(dashes);
}

function stroke(g, ...points) {
  g.beginPath();
  points.forEach((point, k) => (k ? g.lineTo(...point) : g.moveTo(...point)));
  g.stroke();
}

function disc([x, y], rx, ry = rx) {
  const path = new Path2D();
  path.ellipse(x, y, rx, ry, 0, 0, 7);
  return path;
}

function stamp(g, run, [x, y], size) {
  g.save();
  g.translate(x, y);
  g.scale(size, size);
  const shape = new Path2D(MARKERS[run.marker]);
  pen(g, paint.card, 3 / size);
  g.stroke(shape);
  g.fillStyle = run.ink;
  g.fill(shape);
  g.restore();
}

const within = ([x, y], [l, t, r, b]) => x >= l && x <= r && y >= t && y <= b;

// The part of a line within a box [left, top, right, bottom], or null (Liang and Barsky 1984).
function clipped(start, stop, [l, t, r, b]) {
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

// Through points, of which some may be null; between two outside the box there is no line.
function polyline(g, points, box) {
  g.beginPath();
  let pen = null;
  for (let k = 1; k < points.length; k += 1) {
    const [from, to] = [points[k - 1], points[k]];
    const part = from && to && (within(from, box) || within(to, box)) && clipped(from, to, box);
    if (part) {
      if (!pen || part[0] !== pen) g.moveTo(...part[0]);
      g.lineTo(...part[1]);
    }
    pen = part && part[1] === to ? to : null;
  }
  g.stroke();
}

function arrow(g, [x, y], [u, v], head = 7) {
  const length = Math.hypot(u - x, v - y);
  const [c, s] = [(u - x) / length, (v - y) / length];
  const neck = Math.max(0, length - head);
  stroke(g, [x, y], [x + c * neck, y + s * neck]);
  g.setLineDash([]);
  g.beginPath();
  g.moveTo(u, v);
  for (const turn of [0.6, -0.6]) g.lineTo(u - head * (c + turn * s), v - head * (s - turn * c));
  g.fill();
}

function ticks(low, high, count) { // round numbers
  const raw = (high - low) / count;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = unit * [1, 2, 5, 10].find((m) => m * unit >= raw);
  const first = Math.ceil(low / step - 1e-9);
  const many = Math.floor(high / step + 1e-9) - first + 1;
  return times(many, (k) => Number(((first + k) * step).toPrecision(12)));
}

function write(g, text, x, y, { align = 'left', base = 'middle', ink, font = '13px' } = {}) {
  g.save();
  pen(g, paint.card, 4); // a halo
  Object.assign(g, { font: `${font} ${paint.sans}`, textAlign: align, textBaseline: base });
  g.strokeText(text, x, y);
  g.fillStyle = ink ?? paint.soft;
  g.fillText(text, x, y);
  g.restore();
}

// ---- What both views show

const leads = (run) => run === looked().run; // the one whose numbers are shown
const leaderLast = () => visible().sort((a, b) => leads(a) - leads(b));
const around = ([x, y], size) => [x - size, y - size, x + size, y + size];
const unit = ([x, y]) => [(x - left) / (right - left), (y - bottom) / (top - bottom)];
const shade = (low, high, part) => low.map((level, j) => level + (high[j] - level) * part);
const near = (point) => point.map((x, j) => clamp(x, middle[j] - FAR, middle[j] + FAR));
const LETTER = { font: 'italic 15px' };

function ring(g, place, size) {
  pen(g, paint.ink, 1.8);
  g.stroke(disc(place, size));
}

function target(g, [x, y], rx, ry) { // a global minimum, and the circle that is the goal
  pen(g, paint.ink, 1.5);
  const circle = disc([x, y], rx, ry);
  g.globalAlpha = 0.14;
  g.fill(circle);
  g.globalAlpha = 1;
  g.stroke(circle);
  g.fill(disc([x, y], 1.8));
  const reach = Math.max(rx, ry, 6);
  for (const [c, s] of [[1, 0], [0, 1], [-1, 0], [0, -1]]) {
    stroke(g, ...[reach + 4, reach + 11].map((far) => [x + c * far, y + s * far]));
  }
}

const short = (name) => (name.length > 24 ? `${name.slice(0, 22)} …` : name);
const SIDES = [[1, 0], [-1, 0], [0, -1], [0, 1], [1, -1], [1, 1], [-1, -1], [-1, 1]];

// A name beside its mark, where there is room: on the side where it was, if it can.
function label(g, taken, text, run, [x, y], room) {
  g.font = `600 13px ${paint.sans}`;
  const long = g.measureText(text).width;
  const boxAt = ([c, s]) => {
    const gap = c && s ? 8 : 11;
    const from = x + c * (gap + long / 2) - long / 2;
    return [from - 2, y + 17 * s - 8, from + long + 2, y + 17 * s + 8];
  };
  const free = (place) => {
    const [l, t, r, b] = boxAt(place);
    return within([l, t], room) && within([r, b], room)
      && taken.every(([p, q, u, v]) => r < p || l > u || b < q || t > v);
  };
  run.side = [run.side, ...SIDES].find((place) => place && free(place)) ?? null;
  if (!run.side) return;
  const box = boxAt(run.side);
  taken.push(box);
  write(g, text, box[0] + 2, box[1] + 8, { ink: run.ink, font: '600 13px' });
}

// Where the runs are, with their names: at(point), or a mark at the edge for those outside.
function drawHeads(g, at, box, taken, outside = () => null) {
  const heads = leaderLast().map((run) => {
    if (!inside(where(run, current))) return outside(run);
    const place = at(where(run, current));
    stamp(g, run, place, leads(run) ? 8 : 6.5);
    return { run, place, text: short(run.name) };
  }).filter(Boolean);
  taken.push(...heads.map(({ place }) => around(place, 7)));
  if (!current) return; // all are at the start
  for (const { run, place, text } of heads.reverse()) label(g, taken, text, run, place, box);
}

// ---- The surface from above

const LEVELS = 12;
let plane = null; // where it is on the canvas, and its picture

function preparePlane() {
  const wide = matchMedia('(min-width: 60.01rem)').matches;
  const shape = clamp((top - bottom) / (right - left), 0.3, 1.6); // equal scales, if it is not slim
  const room = Math.max(60, $('surface').clientWidth - 58);
  const most = wide ? Math.max(320, innerHeight - 290) : Infinity;
  const w = Math.min(room, most / shape);
  const h = Math.round(w * shape);
  const [x0, y0] = [46 + (room - w) / 2, 12];
  const [sx, sy] = [w / (right - left), h / (top - bottom)];
  const at = ([x, y]) => [x0 + (x - left) * sx, y0 + (top - y) * sy];
  plane = { at, w, h, sx, sy, box: [x0, y0, x0 + w, y0 + h], height: h + 52 };
  plane.tints = tints();
  plane.contours = contours();
  $(shape < 0.7 && wide ? 'left-column' : 'right-column').append($('losses'));
}

function tints() { // one pixel for each point of the grid
  const [low, high] = [rgb(paint.low), rgb(paint.high)];
  const image = new ImageData(side, side);
  heights.forEach((level, k) => {
    const tint = [...shade(low, high, level / TOP), level === VOID ? 0 : 255];
    image.data.set(tint, 4 * ((side - 1 - Math.floor(k / side)) * side + (k % side)));
  });
  const picture = new OffscreenCanvas(side, side);
  picture.getContext('2d').putImageData(image, 0, 0);
  return picture;
}

function contours() { // marching squares
  const path = new Path2D();
  const { box: [x0, , , y1], w, h } = plane;
  const cells = side - 1;
  for (let k = 0; k < side * cells; k += 1) {
    const [row, column] = [Math.floor(k / side), k % side];
    const corners = [heights[k], heights[k + 1], heights[k + side + 1], heights[k + side]];
    if (column === cells || corners.includes(VOID)) continue;
    const [least, most] = [Math.min(...corners), Math.max(...corners)];
    for (let level = Math.ceil(least / TOP * LEVELS); level / LEVELS * TOP < most; level += 1) {
      const z = level / LEVELS * TOP;
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

const onPlane = (run, k) => (where(run, k).some(Number.isNaN) ? null : plane.at(near(where(run, k))));
const seen = (from, to) => clipped(from, to, plane.box) ?? [from, from]; // from is inside

function drawGround(g) {
  const { at, w, h, box: [x0, y0, x1, y1] } = plane;
  g.imageSmoothingQuality = 'high';
  g.drawImage(plane.tints, 0.5, 0.5, side - 1, side - 1, x0, y0, w, h);
  pen(g, paint.contour, 1);
  g.stroke(plane.contours);
  g.strokeStyle = paint.line;
  g.strokeRect(x0, y0, w, h);
  for (const x of ticks(left, right, clamp(w / 60, 3, 9))) {
    write(g, shown(x), at([x, 0])[0], y1 + 7, { align: 'center', base: 'top' });
  }
  for (const y of ticks(bottom, top, clamp(h / 52, 3, 9))) {
    const level = at([0, y])[1];
    if (level > y0 + 18) write(g, shown(y), x0 - 7, level, { align: 'right' });
  }
  write(g, 'x', x1, y1 + 23, { ...LETTER, align: 'right', base: 'top', ink: paint.ink });
  write(g, 'y', x0 - 7, y0 + 5, { ...LETTER, align: 'right', ink: paint.ink });
}

function drawFlat() {
  const g = canvasOf('surface', plane.height);
  const { box, at, sx, sy } = plane;
  $('surface').dataset.box = box;
  drawGround(g);
  for (const minimum of surface.minima) {
    target(g, at(minimum), surface.radius * sx, surface.radius * sy);
  }
  ring(g, at(origin), 7);
  for (const run of visible()) drawPath(g, run);
  if (!playing) drawArrows(g);
  drawHeads(g, at, box, surface.minima.map((minimum) => around(at(minimum), 8)),
    (run) => drawExit(g, run));
}

function drawPath(g, run) {
  const points = times(current + 1, (k) => onPlane(run, k));
  g.globalAlpha = 0.55;
  pen(g, paint.card, 4.5); // a halo
  polyline(g, points, plane.box);
  g.globalAlpha = 1;
  pen(g, run.ink, leads(run) ? 2.8 : 1.9, DASHES[run.dashes]);
  polyline(g, points, plane.box);
  points.forEach((point, k) => { // a dot for each step, where steps are apart
    const last = points[k - 1];
    if (!point || !last || !within(point, plane.box)) return;
    if (Math.hypot(point[0] - last[0], point[1] - last[1]) >= 7) g.fill(disc(point, leads(run) ? 3 : 2.4));
  });
}

// An arrow where a run that is outside left the picture: from the last point inside.
function drawExit(g, run) {
  const [l, t, r, b] = plane.box;
  let k = current;
  while (k > 0 && !inside(where(run, k))) k -= 1;
  const from = onPlane(run, k);
  const [, [x, y]] = seen(from, onPlane(run, k + 1) ?? from);
  pen(g, run.ink, 2);
  arrow(g, from, [x, y], 12);
  const place = [clamp(x, l + 8, r - 8), clamp(y, t + 12, b - 12)];
  return { run, place, text: `${short(run.name)} left at step ${places[k + 1]}` };
}

function drawArrows(g) { // from the point whose numbers are shown: downhill, and the next step
  const { run, k } = looked();
  if (!run || !inside(where(run, k))) return;
  const from = plane.at(where(run, k));
  const slope = Math.hypot(...pair(run.gradient, k));
  const [dx, dy] = pair(run.gradient, k).map((d, j) => (j ? d * plane.sy : -d * plane.sx));
  const size = Math.hypot(dx, dy);
  if (Number.isFinite(size) && slope > 1e-3 * Math.hypot(...pair(run.gradient, 0))) {
    pen(g, paint.ink, 1.6, [4, 3]);
    arrow(g, from, [from[0] + 48 * dx / size, from[1] + 48 * dy / size]);
  }
  const to = isNext(k) ? onPlane(run, k + 1) : null;
  if (to && Math.hypot(to[0] - from[0], to[1] - from[1]) > 9) {
    pen(g, run.ink, 2.6);
    arrow(g, ...seen(from, to), 9);
  }
  if (pointed) ring(g, from, 10);
}

// ---- The surface from the side: u and v are x and y from 0 to 1, and so is the height

const CELLS = 60; // of the mesh, each way
const TALL = 0.95; // beside a width of 2
const lean = clamp((top - bottom) / (right - left), 0.6, 1);
let mesh = null;

function heightAt(u, v) { // between four points of the grid
  const [x, y] = [u, v].map((part) => clamp(part, 0, 1) * (side - 1));
  const [column, row] = [x, y].map((place) => Math.min(side - 2, Math.floor(place)));
  const [a, b] = [x - column, y - row];
  const level = (j, i) => Math.min(TOP, heights[(row + j) * side + column + i]) / TOP;
  return (1 - b) * ((1 - a) * level(0, 0) + a * level(0, 1))
    + b * ((1 - a) * level(1, 0) + a * level(1, 1));
}

function onSurface(point) {
  const [u, v] = unit(point);
  return [u, v, heightAt(u, v)];
}

function prepareMesh() {
  const parts = times(CELLS + 1, (k) => k / CELLS);
  const known = (...uv) => {
    const [column, row] = uv.map((part) => Math.round(part * (side - 1)));
    return heights[row * side + column] !== VOID;
  };
  const corners = parts.map((v) => parts.map((u) => [u, v, known(u, v) ? heightAt(u, v) : NaN]));
  mesh = { corners, pieces: runs.map(draped) };
  turned = bestTurn(mesh.pieces.flat());
}

function draped(run) { // the path on the surface, as pieces no longer than a cell
  const pieces = [];
  const cell = (part) => clamp(Math.floor(part * CELLS), 0, CELLS - 1);
  for (let k = 1; k <= end; k += 1) {
    const ends = [where(run, k - 1), where(run, k)];
    if (ends.flat().some(Number.isNaN) || !ends.some(inside)) continue;
    const part = clipped(...ends.map((point) => unit(near(point))), [0, 0, 1, 1]);
    if (!part) continue;
    const [[u, v], [p, q]] = part;
    const count = Math.max(1, Math.ceil(1.5 * CELLS * Math.hypot(p - u, q - v)));
    const points = times(count + 1, (j) => [u + (p - u) * j / count, v + (q - v) * j / count])
      .map(([a, b]) => [a, b, heightAt(a, b)]);
    points.slice(1).forEach((to, j) => {
      const from = points[j];
      const [column, row] = [0, 1].map((axis) => cell((from[axis] + to[axis]) / 2));
      pieces.push({ k, row, column, from, to });
    });
  }
  return pieces;
}

function bestTurn(pieces) { // from where the fewest points of the paths are hidden
  const every = Math.ceil(pieces.length / 200);
  const points = pieces.filter((_, k) => k % every === 0).map(({ to }) => to);
  const rise = 2 * Math.tan(raised) / TALL;
  const strides = times(48, (k) => 0.03 * (k + 1)); // on the way to the eye
  const hidden = (turn) => points.filter(([u, v, z]) => strides.some((t) => {
    const place = [u - t * Math.sin(turn), v - t * Math.cos(turn) / lean];
    return within(place, [0, 0, 1, 1]) && heightAt(...place) > z + t * rise;
  })).length;
  const turns = [0.6, 0.97].flatMap((turn) => times(4, (k) => turn + k * Math.PI / 2));
  const counts = turns.map(hidden);
  return turns[counts.indexOf(Math.min(...counts))];
}

function deepSize() {
  const w = $('surface').clientWidth;
  return [w, Math.max(plane.height, Math.round(0.75 * w))];
}

function camera() { // from (u, v, height) to the canvas
  const [w, h] = deepSize();
  const [c, s, up, flat] = [Math.cos(turned), Math.sin(turned), Math.cos(raised), Math.sin(raised)];
  const scale = Math.min(w / 2.95, h / 2.75);
  return ([u, v, z]) => {
    const [x, y] = [2 * u - 1, (2 * v - 1) * lean];
    const away = s * x + c * y;
    return [w / 2 + scale * (c * x - s * y), h / 2 - scale * (away * flat + (z * TALL - 0.5) * up)];
  };
}

function placer() { // from points of the surface to the canvas, in the view that is shown
  if (!deep) return plane.at;
  if (!mesh) prepareMesh();
  const at = camera();
  return (point) => at(onSurface(point));
}

function drawDeep() {
  const lifted = placer();
  const at = camera();
  const [w, h] = deepSize();
  const g = canvasOf('surface', h);
  g.lineCap = 'round';
  drawFloor(g, at);
  drawMesh(g, at);
  for (const minimum of surface.minima) target(g, lifted(minimum), 7, 7 * Math.sin(raised));
  ring(g, lifted(origin), 7);
  drawHeads(g, lifted, [4, 4, w - 4, h - 4], []);
  if (pointed) ring(g, lifted(where(pointed.run, pointed.k)), 10);
}

function drawFloor(g, at) {
  pen(g, paint.line, 1.2);
  stroke(g, ...[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]].map((corner) => at([...corner, 0])));
  const axes = [['x', surface.x, (part, across) => [part, across, 0]],
    ['y', surface.y, (part, across) => [across, part, 0]]];
  for (const [name, range, place] of axes) {
    const nearer = at(place(0.5, 0))[1] > at(place(0.5, 1))[1] ? 0 : 1;
    const put = (text, part, style) => { // beside the edge that is nearer
      const [[x, y], [u, v]] = [at(place(part, nearer)), at(place(part, 1 - nearer))];
      const gap = 16 / Math.hypot(x - u, y - v);
      write(g, text, x + gap * (x - u), y + gap * (y - v), { align: 'center', ...style });
    };
    put(name, 0.5, { ...LETTER, ink: paint.ink });
    range.forEach((value, k) => put(shown(value, 3), 0.06 + 0.88 * k));
  }
}

function drawMesh(g, at) { // from far to near, with the paths between
  const order = (forward) => times(CELLS, (k) => (forward ? k : CELLS - 1 - k));
  const [c, s] = [Math.cos(turned), Math.sin(turned)];
  const [rows, columns] = [order(c < 0), order(s < 0)];
  const byRows = Math.abs(c) > Math.abs(s);
  const paths = order(true).map(() => new Map()); // in each row, or column, that of each run
  for (const run of leaderLast()) {
    for (const { k, row, column, from, to } of mesh.pieces[run.i]) {
      if (k > current) break;
      const own = paths[byRows ? row : column];
      if (!own.has(run)) own.set(run, new Path2D());
      own.get(run).moveTo(...at(from));
      own.get(run).lineTo(...at(to));
    }
  }
  const draw = (own) => own.forEach((path, run) => {
    pen(g, run.ink, leads(run) ? 2.8 : 2);
    g.stroke(path);
  });
  const corners = mesh.corners.map((row) => row.map((uvz) => ({ place: at(uvz), z: uvz[2] })));
  const tint = mixer();
  let late = new Map(); // one row later, or that would cut into the paths
  for (const a of byRows ? rows : columns) {
    for (const b of byRows ? columns : rows) {
      drawCell(g, corners, ...(byRows ? [a, b] : [b, a]), tint);
    }
    draw(late);
    late = paths[a];
  }
  draw(late);
  g.globalAlpha = 0.2; // what is hidden shows through
  paths.forEach(draw);
  g.globalAlpha = 1;
}

function mixer() { // the colour of a cell, by its height and how it lies to the light
  const [low, high] = [rgb(paint.low), rgb(paint.high)];
  const dark = low[0] + low[1] < 300;
  const [body, least, more] = dark ? [[92, 112, 134], 0.75, 0.75] : [[152, 190, 222], 0.72, 0.38];
  return (z, dx, dy) => {
    const light = (0.75 - 0.5 * dx + 0.35 * dy) / Math.hypot(1, dx, dy);
    const base = shade(shade(low, high, z), body, 0.4);
    return `rgb(${base.map((level) => Math.round(level * (least + more * light))).join(' ')})`;
  };
}

function drawCell(g, corners, j, i, tint) {
  const found = [corners[j][i], corners[j][i + 1], corners[j + 1][i + 1], corners[j + 1][i]];
  const four = found.map(({ place }) => place);
  const [z0, z1, z2, z3] = found.map(({ z }) => z);
  const z = (z0 + z1 + z2 + z3) / 4;
  if (Number.isNaN(z)) return;
  const [dx, dy] = [z1 - z0 + z2 - z3, z3 - z0 + z2 - z1].map((rise) => rise * CELLS / 4);
  pen(g, tint(z, dx, dy), 0.8); // the line closes the seams
  g.beginPath();
  for (const place of four) g.lineTo(...place);
  g.closePath();
  g.fill();
  g.stroke();
  g.strokeStyle = paint.contour;
  if (j % 5 === 0) stroke(g, four[0], four[1]);
  if (i % 5 === 0) stroke(g, four[0], four[3]);
}

// ---- f at each step

const HEIGHT = 164;
const powers = powersOfChart();

function powersOfChart() { // of ten, between which f is shown: twelve at most
  const above = (f) => f - surface.lowest;
  const all = runs.flatMap(({ loss }) => Array.from(loss, above)).filter((f) => f > 0 && f < Infinity);
  const roof = Math.max(above(surface.highest), ...runs.map(({ loss }) => above(loss[0])));
  const highest = Math.min(all.reduce((a, b) => Math.max(a, b), 1e-300), roof);
  const lowest = all.reduce((a, b) => Math.min(a, b), highest);
  const top = Math.ceil(Math.log10(highest) - 1e-9);
  return { high: top, low: Math.min(top - 1, Math.max(Math.floor(Math.log10(lowest)), top - 12)) };
}

const powerOfTen = (power) =>
  `10${[...String(power)].map((digit) => '⁰¹²³⁴⁵⁶⁷⁸⁹'[digit] ?? '⁻').join('')}`;

function chartBox() {
  return [44, 10, $('chart').clientWidth - 16, HEIGHT - 36];
}

function drawChart() {
  const g = canvasOf('chart', HEIGHT);
  const [l, t, r, b] = chartBox();
  const along = (step) => l + (r - l) * step / places[end];
  const x = (k) => along(places[k]);
  const { low, high } = powers;
  const y = (f) => t + (b - t) * (high - Math.log10(f)) / (high - low);
  const every = Math.ceil((high - low) / 5);
  for (let power = low; power <= high; power += every) {
    pen(g, paint.line, 1);
    stroke(g, [l, y(10 ** power)], [r, y(10 ** power)]);
    write(g, powerOfTen(power), l - 6, y(10 ** power), { align: 'right' });
  }
  for (const step of ticks(0, places[end], clamp((r - l) / 90, 2, 8)).filter(Number.isInteger)) {
    write(g, shown(step), along(step), b + 6, { align: 'center', base: 'top' });
  }
  write(g, 'step', r, b + 21, { align: 'right', base: 'top' });
  for (const run of visible()) {
    const level = (f) => clamp(y(Math.max(f - surface.lowest, 1e-320)), -1e4, 1e4);
    const points = Array.from(run.loss, (f, k) => (Number.isNaN(f) ? null : [x(k), level(f)]));
    pen(g, run.ink, leads(run) ? 2.8 : 1.8, DASHES[run.dashes]);
    for (const [part, alpha] of [[points, 0.22], [points.slice(0, current + 1), 1]]) {
      g.globalAlpha = alpha;
      polyline(g, part, [l, t - 2, r, b]);
    }
  }
  pen(g, paint.soft, 1.2);
  stroke(g, [x(current), t - 6], [x(current), b + 4]);
}

function prepareSeeking() {
  const chart = $('chart');
  const seek = ({ clientX }) => {
    const [l, , r] = chartBox();
    const step = (clientX - chart.getBoundingClientRect().left - l) / (r - l) * places[end];
    const k = places.findIndex((place) => place >= step - 0.5);
    move(k < 0 ? end : k);
  };
  chart.addEventListener('pointerdown', (event) => {
    chart.setPointerCapture(event.pointerId);
    seek(event);
  });
  chart.addEventListener('pointermove', (event) => { if (event.buttons) seek(event); });
}

// ---- The numbers

function looked() { // the point whose numbers are shown
  if (pointed?.run.shown) return pointed;
  const run = runs[chosen].shown ? runs[chosen] : visible()[0];
  return { run, k: current };
}

function showNumbers() {
  const { run, k } = looked();
  const box = $('numbers');
  $('stage').style.setProperty('--run', run?.ink ?? '');
  if (!run) {
    box.replaceChildren(make('p', { class: 'soft' }, 'No optimizer is shown: choose some in the list.'));
    return;
  }
  const facts = [['f', run.loss[k]]];
  if (k < end) facts.push(['η', run.rateAt(k)]);
  const rows = [['position', 'θ', where(run, k)],
    [noise ? 'noisy gradient' : 'gradient', '∇f', pair(run.gradient, k)]];
  for (const { name, data } of run.slots) {
    if (data.length === end + 1) facts.push([name, data[k]]); // one number for x and y
    else rows.push(['state', name, pair(data, k)]);
  }
  if (isNext(k)) {
    const now = where(run, k);
    rows.push(['next step', 'Δθ', where(run, k + 1).map((x, j) => x - now[j])]);
  }
  const part = (role, ...content) => make('div', { role }, ...content); // rows that a wide page turns
  const row = ([words, letter, values]) => part('row',
    part('rowheader', words, make('span', { class: 'symbol' }, letter)),
    values.map((value) => part('cell', figure(value))));
  const at = k === end ? `at the end, step ${places[k]}` : `at step ${places[k]}`;
  const title = make('h2', {}, mark(run), make('span', {}, run.name),
    make('span', { class: 'soft' }, at));
  box.style.setProperty('--colour', run.colour);
  box.replaceChildren(
    make('div', { class: 'headline' }, title, make('dl', {}, facts.map(([word, value]) =>
      make('div', {}, make('dt', {}, word), make('dd', {}, figure(value)))))),
    make('div', { role: 'table', class: 'scroll', 'aria-label': 'by x and y' },
      part('row', part('cell'), part('columnheader', 'x'), part('columnheader', 'y')),
      rows.map(row)));
}

function standing(run) { // steps to the goal, and the verdict as far as it is known
  const here = where(run, current);
  const { arrived, verdict } = run;
  if (arrived !== null && places[current] >= arrived) return [arrived, verdict, 'good'];
  if (current === end) return ['–', verdict, verdict === 'diverged' ? 'non-finite' : ''];
  if (!here.every(Number.isFinite)) return ['', 'diverged', 'non-finite'];
  return ['', inside(here) ? '' : 'outside the picture', ''];
}

function showRows() {
  for (const run of runs) {
    const [arrived, verdict, kind] = standing(run);
    const far = distance(where(run, current));
    const contents = [figure(run.rateAt(current), 3), figure(run.loss[current], 3),
      surface.minima.length ? figure(far, 2) : '–', arrived, verdict];
    run.cells.forEach((cell, k) => cell.replaceChildren(contents[k]));
    run.cells.at(-1).className = `verdict ${kind}`;
    run.row.classList.toggle('off', !run.shown);
    run.row.classList.toggle('now', run === looked().run);
    run.box.checked = run.shown;
  }
}

function prepareRows() {
  for (const run of runs) {
    run.box = make('input', { type: 'checkbox', 'aria-describedby': 'numbers',
      change: () => choose(runs.filter((r) => (r === run ? run.box.checked : r.shown))),
      focus: () => follow(run) });
    run.cells = ['rate', 'f', 'distance', 'arrived', 'verdict']
      .map((name) => make('td', { class: name }));
    const only = make('button', { class: 'small only', type: 'button',
      'aria-label': `Only ${run.name}`, click: () => choose([run]) }, 'only');
    run.row = make('tr', { class: 'run', style: `--colour: ${run.colour}`,
      title: `${run.name}, rate ${run.rate}`,
      click: ({ target }) => { if (!target.closest('label, button')) follow(run); } },
    make('th', { scope: 'row' },
      make('label', {}, run.box, mark(run), make('span', {}, run.name)), only),
    run.cells);
    $('runs').querySelector('tbody').append(run.row);
  }
  $('all').addEventListener('click', () => choose(runs));
  $('none').addEventListener('click', () => choose([]));
}

function follow(run) {
  chosen = run.i;
  draw();
}

function choose(some) {
  for (const run of runs) run.shown = some.includes(run);
  if (some.length && !runs[chosen].shown) chosen = some[0].i;
  point(null);
  draw();
  remember();
}

// ---- Pointing

function pick(x, y) { // the point of a path nearest to the pointer
  const at = placer();
  let best = { far: 22 };
  for (const run of visible()) {
    for (let k = 0; k <= current; k += 1) {
      if (!inside(where(run, k))) continue;
      const place = at(where(run, k));
      const far = Math.hypot(place[0] - x, place[1] - y);
      const better = far < best.far || (far === best.far && run.i === chosen);
      if (better) best = { run, k, place, far };
    }
  }
  return best.run ? best : null;
}

function point(found) {
  const tip = $('tip');
  pointed = found;
  tip.hidden = !found;
  if (!found) return;
  const { run, k, place: [x, y] } = found;
  tip.textContent = `${run.name} · step ${places[k]} · f = ${shown(run.loss[k], 4)}`;
  const room = $('surface').clientWidth - tip.offsetWidth;
  tip.style.left = `${clamp(x - tip.offsetWidth / 2, 4, room - 4)}px`;
  tip.style.top = `${y > 60 ? y - tip.offsetHeight - 16 : y + 18}px`;
}

function preparePointer() {
  const canvas = $('surface');
  let drag = null;
  const at = ({ clientX, clientY }) => {
    const box = canvas.getBoundingClientRect();
    return [clientX - box.left, clientY - box.top];
  };
  canvas.addEventListener('pointerdown', (event) => {
    drag = deep ? { x: event.clientX, y: event.clientY, turned, raised } : null;
    const found = pick(...at(event));
    if (found) chosen = found.run.i;
    if (deep) canvas.setPointerCapture(event.pointerId);
    point(found);
    draw();
  });
  canvas.addEventListener('pointermove', (event) => {
    if (drag) {
      point(null);
      turn(drag.turned + (event.clientX - drag.x) / 160, drag.raised + (event.clientY - drag.y) / 200);
      return;
    }
    const found = pick(...at(event));
    if (found?.run === pointed?.run && found?.k === pointed?.k) return;
    point(found);
    draw();
  });
  canvas.addEventListener('lostpointercapture', () => { drag = null; });
  canvas.addEventListener('pointerleave', ({ pointerType }) => {
    if (!pointed || pointerType !== 'mouse') return;
    point(null);
    draw();
  });
}

// ---- The view

function draw() {
  showNumbers();
  showRows();
  (deep ? drawDeep : drawFlat)();
  drawChart();
  const names = visible().map(({ name }) => name).join(', ') || 'no optimizer';
  const view = deep ? 'Seen in three dimensions, turned by the arrow keys: the surface' : 'Contours';
  $('surface').setAttribute('aria-label',
    `${view} of ${surface.name}, with the paths of ${names} up to step ${places[current]}`);
  $('chart').setAttribute('aria-label',
    `f above its lowest of ${names} over the steps, at step ${places[current]}`);
}

let drawnAt = '';
const sizeNow = () => `${$('surface').clientWidth} ${innerHeight}`;

function redraw() { // at another size, or in other colours
  drawnAt = sizeNow();
  mixPaint();
  preparePlane();
  draw();
}

function fit() {
  if (sizeNow() !== drawnAt) redraw();
}

function turn(around, up) {
  turned = around;
  raised = clamp(up, 0.15, 1.45);
  draw();
}

function view(into) {
  deep = into;
  point(null);
  $('stage').classList.toggle('deep', deep);
  $('flat').setAttribute('aria-pressed', !deep);
  $('solid').setAttribute('aria-pressed', deep);
  draw();
  remember();
}

const TURNS = { left: [-0.15, 0], right: [0.15, 0], up: [0, 0.1], down: [0, -0.1] };

function prepareView() {
  $('flat').addEventListener('click', () => view(false));
  $('solid').addEventListener('click', () => view(true));
  const by = ([around, up]) => turn(turned + around, raised + up);
  for (const [id, change] of Object.entries(TURNS)) $(id).addEventListener('click', () => by(change));
  $('surface').addEventListener('keydown', (event) => {
    const change = TURNS[event.key.replace('Arrow', '').toLowerCase()];
    if (!deep || !change) return;
    event.preventDefault();
    by(change);
  });
  $('begin').addEventListener('click', () => play(true));
  $('speed').addEventListener('change', () => { if (playing) play(true); });
  $('scale').textContent = shown(surface.scale, 2);
}

// ---- Going from step to step

const PACE = clamp(end / 12, 4, 60); // steps of the page a second, at single speed

function show() {
  const words = `step ${places[current]} of ${places[end]}`;
  $('begin').hidden = true;
  $('count').textContent = words;
  $('scrub').setAttribute('aria-valuetext', words);
  if (pointed && pointed.k > current) point(null);
  draw();
}

function announce() {
  const { run } = looked();
  const one = run ? ` ${run.name}: f ${shown(run.loss[current], 4)}.` : '';
  const all = visible().map(({ name, verdict }) => `${name}: ${verdict}`).join(', ');
  $('live').textContent = `Step ${places[current]}.${current === end ? ` The end. ${all}` : one}`;
  remember();
}

function playChanged() {
  point(null);
  $('begin').hidden = true;
  draw();
}

// ---- The address: #step=120&run=SGD&run=Adam&view=3-D

let waiting = null;

function remember() {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    const words = new URLSearchParams({ step: places[current] });
    const some = visible();
    if (some.length < runs.length) for (const { name } of some) words.append('run', name);
    if (deep) words.append('view', '3-D');
    attempt(() => history.replaceState(null, '', `#${words}`));
  }, 250);
}

function recall() {
  const words = new URLSearchParams(location.hash.slice(1));
  const step = Number(words.get('step'));
  const names = words.getAll('run');
  const some = runs.filter(({ name }) => names.includes(name));
  for (const run of runs) run.shown = !some.length || some.includes(run);
  if (some.length) chosen = some[0].i;
  play(false);
  view(words.get('view') === '3-D');
  go(Math.max(0, places.findLastIndex((place) => place <= step)));
  $('begin').hidden = words.has('step');
}

// ---- The beginning

document.querySelector('main').hidden = false;
for (const id of ['theme', 'controls']) $(id).hidden = false;
prepareRows();
prepareTheme(redraw);
prepareView();
preparePointer();
prepareSeeking();
prepareSteps({ show, announce, playChanged, pace: () => PACE * $('speed').value });
redraw();
recall();
addEventListener('hashchange', recall);
new ResizeObserver(fit).observe($('surface'));
addEventListener('resize', fit);
