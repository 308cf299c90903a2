// Shared by the pages of a network, after base.js: colors of what they draw, and the tooltip.

const percent = (x) => (Number.isNaN(x) ? '–' : `${(100 * x).toFixed(1)} %`);

let palette = null; // [red, green, blue] of the current theme, by name

function readPalette(names) {
  const probe = make('canvas', { width: 1, height: 1 }).getContext('2d', { willReadFrequently: true });
  const element = make('span', { hidden: '' });
  document.body.append(element);
  palette = Object.fromEntries(names.map((name) => {
    element.style.color = `var(${name})`;
    probe.fillStyle = getComputedStyle(element).color;
    probe.fillRect(0, 0, 1, 1);
    return [name, [...probe.getImageData(0, 0, 1, 1).data.slice(0, 3)]];
  }));
  element.remove();
}

const css = (rgb, alpha = 1) => `rgba(${rgb.join(',')},${alpha})`;
const mix = (a, b, t) => a.map((x, i) => x + (b[i] - x) * t);

// A value from −1 to 1 as a color: one side negative, the other positive, 0 the card
function signed(t) {
  const strength = 0.85 * Math.min(1, Math.abs(t));
  return mix(palette['--card'], palette[t < 0 ? '--negative' : '--positive'], strength);
}

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
