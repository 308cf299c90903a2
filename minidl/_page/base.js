// Shared by all pages; the page's own script follows in the same module. Names that a user gave are
// inserted as text, never as markup.

const $ = (id) => document.getElementById(id);
const SVG = 'http://www.w3.org/2000/svg';
const SVG_TAGS = ['svg', 'line', 'path'];

function make(tag, attributes = {}, ...children) {
  const element = SVG_TAGS.includes(tag)
    ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name, value);
    else if (value !== null) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter(Boolean));
  return element;
}

function attempt(action) { // storage and history may be forbidden, as in a notebook's iframe
  try { return action(); } catch { return null; }
}

const clamp = (x, low, high) => Math.max(low, Math.min(high, x));

function unpack(text, Kind) {
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return new Kind(bytes.buffer);
}

const nonFinite = (exact) => (/nan|inf/i.test(exact) ? ' non-finite' : '');
const number = ([shown, exact]) =>
  make('span', { class: `number${nonFinite(exact)}`, title: exact }, shown);

// ---- Navigation

const calm = matchMedia('(prefers-reduced-motion: reduce)');
const MOVES = { Home: () => 0, ArrowLeft: () => current - 1, ArrowRight: () => current + 1,
  End: () => end };
let current = 0;
let end = 0; // the last step, which the page sets
let playing = null; // while it plays an object, a new one each time
let page = null;

// A page provides show(), which shows the current step; announce(), called once navigation has stopped;
// pace(), the steps per second of playing; and optionally playChanged(), called when playing starts
// or stops.
function prepareSteps(own) {
  page = own;
  const presses = { first: 'Home', previous: 'ArrowLeft', next: 'ArrowRight', last: 'End' };
  for (const [id, key] of Object.entries(presses)) {
    $(id).addEventListener('click', () => move(MOVES[key]()));
  }
  $('play').addEventListener('click', () => play(!playing));
  $('scrub').max = end;
  $('scrub').addEventListener('input', () => move(Number($('scrub').value)));
  addEventListener('keydown', onKey);
  addEventListener('click', ({ detail, target }) => { // blur after a click, so that the space bar plays
    if (detail && target.closest('#phases, .buttons, .scrub')) document.activeElement.blur();
  });
}

function go(to, quietly = false) {
  current = clamp(to, 0, end);
  $('scrub').value = current;
  $('track').style.setProperty('--at', `${100 * current / Math.max(1, end)}%`);
  for (const id of ['first', 'previous']) $(id).setAttribute('aria-disabled', current === 0);
  for (const id of ['next', 'last']) $(id).setAttribute('aria-disabled', current === end);
  page.show();
  if (!playing && !quietly) page.announce();
}

function play(on) {
  if (!on && !playing) return;
  if (on && current === end) go(0);
  const [from, own] = [current, on ? {} : null];
  playing = own;
  let since = null;
  const frame = (now) => {
    if (playing !== own) return;
    since ??= now;
    const time = calm.matches ? (now - since) - (now - since) % 600 : now - since; // in larger steps
    const to = Math.min(end, from + Math.floor(time / 1000 * page.pace()));
    if (to === end) play(false);
    if (to !== current) go(to);
    if (playing) requestAnimationFrame(frame);
  };
  $('controls').classList.toggle('playing', on);
  $('play').setAttribute('aria-label', on ? 'Pause' : 'Play');
  if (on) requestAnimationFrame(frame);
  else page.announce();
  page.playChanged?.();
}

function move(to) {
  play(false);
  go(to);
}

function onKey(event) {
  const { key, defaultPrevented, ctrlKey, metaKey, altKey, shiftKey } = event;
  if (defaultPrevented || ctrlKey || metaKey || altKey || shiftKey) return;
  if (document.querySelector('dialog[open]')) return;
  const target = event.target instanceof Element ? event.target : document.body;
  const scrolls = target.matches('.scroll, pre') && target.scrollWidth > target.clientWidth;
  const typed = target.closest('select, input:not([type=checkbox])');
  if (key === ' ' && !target.closest('button, summary, select, input, [role=button]')) {
    event.preventDefault();
    play(!playing);
  } else if (MOVES[key] && !scrolls && !typed) {
    event.preventDefault();
    move(MOVES[key]());
  }
}

// ---- The Tab key

$('skip').hidden = false;
$('skip').addEventListener('click', (event) => { // the address belongs to the steps
  event.preventDefault();
  const target = $($('skip').hash.slice(1));
  (target.querySelector(':scope > summary') ?? target).focus();
});

// Tab leads to one of the elements; the arrow keys lead from there to the others. In a grid of several
// columns all four do, else up and down, as left and right change the step. `reached` is called
// with the element that a key led to.
function rove(box, selector, columns = 1, reached = () => {}) {
  const all = [...box.querySelectorAll(selector)];
  const enter = (element) => all.forEach((other) => { other.tabIndex = other === element ? 0 : -1; });
  if (all.length) enter(all[0]);
  box.addEventListener('focusin', ({ target }) => { if (all.includes(target)) enter(target); });
  box.addEventListener('keydown', (event) => {
    const at = all.indexOf(event.target);
    const { key, ctrlKey, metaKey, altKey, shiftKey } = event;
    if (at < 0 || ctrlKey || metaKey || altKey || shiftKey) return;
    const sideways = columns > 1 ? { ArrowLeft: -1, ArrowRight: 1 }[key] : undefined;
    const to = at + (sideways ?? { ArrowUp: -columns, ArrowDown: columns }[key] ?? NaN);
    if (Number.isNaN(to)) return;
    event.preventDefault();
    const sameRow = Math.floor(to / columns) === Math.floor(at / columns);
    if (!all[to] || (sideways && !sameRow)) return;
    all[to].focus();
    reached(all[to]);
  });
}

// ---- Color scheme and print

function prepareTheme(changed = () => {}) {
  const root = document.documentElement;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const turn = (theme) => {
    root.dataset.theme = theme;
    changed();
  };
  root.dataset.theme = attempt(() => localStorage.getItem('minidl-theme')) ?? '';
  $('theme').addEventListener('click', () => {
    turn((root.dataset.theme || (dark.matches ? 'dark' : 'light')) === 'dark' ? 'light' : 'dark');
    attempt(() => localStorage.setItem('minidl-theme', root.dataset.theme));
  });
  dark.addEventListener('change', changed);
  const folds = [...document.querySelectorAll('details')];
  $('text').open = false; // it is open without a script and in print
  let before = null;
  addEventListener('beforeprint', () => {
    before = { theme: root.dataset.theme, open: folds.map(({ open }) => open) };
    for (const fold of folds) fold.open = true;
    turn('light');
  });
  addEventListener('afterprint', () => {
    folds.forEach((fold, k) => { fold.open = before.open[k]; });
    turn(before.theme);
  });
}
