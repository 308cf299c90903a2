// What tests/browsing.py measures in a page: boxes, colors and the order of the Tab key.

window.checks ??= (() => {
  let measured = new WeakSet(); // texts and lines whose contrast has been measured
  const pen = Object.assign(document.createElement('canvas'), { width: 1, height: 1 })
    .getContext('2d', { willReadFrequently: true });
  const colors = new Map();

  function rgba(color) { // any CSS color as [red, green, blue, opacity]
    if (!colors.has(color)) {
      pen.clearRect(0, 0, 1, 1);
      pen.fillStyle = color;
      pen.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
      colors.set(color, [r, g, b, a / 255]);
    }
    return colors.get(color);
  }

  function* ancestors(element) { // from the element itself
    for (let e = element; e; e = e.parentElement) yield e;
  }

  const round = (x) => Math.round(10 * x) / 10;
  const named = (element) => {
    const text = (element.textContent ?? '').trim().replace(/\s+/g, ' ').slice(0, 40);
    const own = element.id ? `#${element.id}` : [...element.classList].map((c) => `.${c}`).join('');
    return `${element.tagName.toLowerCase()}${own} “${text}”`;
  };
  const opacity = (element) =>
    [...ancestors(element)].reduce((all, e) => all * Number(getComputedStyle(e).opacity), 1);

  function shown(element) { // is it displayed, and not for screen readers only?
    return element.checkVisibility({ opacityProperty: true, visibilityProperty: true })
      && !element.closest('.visually-hidden');
  }

  function textNodes(root) {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    const nodes = [];
    while (walker.nextNode()) {
      const { parentElement: parent, data } = walker.currentNode;
      if (data.trim() && parent && !parent.closest('script, style, title, desc, noscript, option')
        && shown(parent)) nodes.push(walker.currentNode);
    }
    return nodes;
  }

  function boxes(node) { // of the lines of a text
    const range = document.createRange();
    range.selectNodeContents(node);
    return [...range.getClientRects()].filter(({ width, height }) => width > 0 && height > 0);
  }

  function clip(element) { // the part of the window in which an element could be seen
    const view = { left: 0, top: 0, right: innerWidth, bottom: innerHeight };
    for (const e of ancestors(element)) {
      const style = getComputedStyle(e);
      const box = e.getBoundingClientRect();
      if (e === document.body || e === document.documentElement) continue;
      if (style.overflowX !== 'visible' && style.display !== 'inline') {
        view.left = Math.max(view.left, box.left);
        view.right = Math.min(view.right, box.right);
      }
      if (style.overflowY !== 'visible' && style.display !== 'inline') {
        view.top = Math.max(view.top, box.top);
        view.bottom = Math.min(view.bottom, box.bottom);
      }
    }
    return view;
  }

  const inside = (box, view, slack = 1) => box.left >= view.left - slack
    && box.right <= view.right + slack && box.top >= view.top - slack
    && box.bottom <= view.bottom + slack;

  function barsAround() { // gives the sticky and fixed boxes that do not contain an element
    const all = [...document.querySelectorAll('body *')].filter((e) =>
      ['sticky', 'fixed'].includes(getComputedStyle(e).position) && e.checkVisibility());
    return (element) => all.filter((e) => !e.contains(element)).map((e) => e.getBoundingClientRect());
  }

  const meets = (a, b, by = 0) => a.left < b.right - by && b.left < a.right - by
    && a.top < b.bottom - by && b.top < a.bottom - by;

  function texts(selector) { // that are in view now and have not been measured yet
    const found = [];
    const bars = barsAround();
    for (const root of document.querySelectorAll(selector)) {
      for (const node of textNodes(root)) {
        const parent = node.parentElement;
        if (measured.has(node) || parent.closest(':disabled, [aria-disabled="true"]')) continue;
        if (!boxes(node).some((box) => box.top < innerHeight && box.bottom > 0)) continue;
        const view = clip(parent);
        const visible = boxes(node).filter((box) => inside(box, view));
        if (!visible.length || bars(parent).some((bar) => visible.some((box) => meets(bar, box)))) {
          continue;
        }
        measured.add(node);
        const style = getComputedStyle(parent);
        const svg = parent instanceof SVGElement;
        const scale = svg ? parent.getScreenCTM().a : 1;
        const size = parseFloat(style.fontSize) * scale;
        const [r, g, b, a] = rgba(svg ? style.fill : style.webkitTextFillColor);
        found.push({ what: named(parent), color: [r, g, b], opacity: a * opacity(parent),
          least: size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5,
          boxes: visible.map(({ left, top, right, bottom }) => [left, top, right, bottom]) });
      }
    }
    return found;
  }

  function covered(line, x, y) { // is a filled shape drawn over the line there?
    const above = document.elementsFromPoint(x, y);
    return above.slice(0, Math.max(0, above.indexOf(line))).some((e) =>
      e instanceof SVGGeometryElement && getComputedStyle(e).fill !== 'none');
  }

  function lines(selector) {
    const found = [];
    const bars = barsAround();
    for (const line of document.querySelectorAll(selector)) {
      const style = getComputedStyle(line);
      const length = line.getTotalLength?.() ?? 0;
      if (measured.has(line) || !shown(line) || style.stroke === 'none' || !length) continue;
      const [view, matrix] = [clip(line), line.getScreenCTM()];
      const blocked = bars(line);
      const points = Array.from({ length: 41 }, (_, i) =>
        line.getPointAtLength(length * i / 40).matrixTransform(matrix))
        .filter(({ x, y }) => {
          const box = { left: x, right: x, top: y, bottom: y };
          return inside(box, view, -1) && !blocked.some((bar) => meets(bar, box))
            && !covered(line, x, y);
        });
      if (!points.length) continue;
      measured.add(line);
      const [r, g, b, a] = rgba(style.stroke);
      found.push({ what: named(line), color: [r, g, b], least: 3,
        opacity: a * Number(style.strokeOpacity) * opacity(line),
        boxes: points.map(({ x, y }) => [x, y, x + 1, y + 1]) });
    }
    return found;
  }

  function frames(element, known) { // the ancestors that cut off what is beyond their box
    if (!element || element === document.body) return [];
    if (!known.has(element)) {
      const style = getComputedStyle(element);
      const own = { element, box: element.getBoundingClientRect(), sides: style.overflowX !== 'visible',
        ends: ['hidden', 'clip'].includes(style.overflowY),
        dots: style.textOverflow === 'ellipsis' && element.scrollWidth > element.clientWidth };
      const cuts = style.display !== 'inline' && (own.sides || own.ends || own.dots);
      const outer = frames(element.parentElement, known);
      known.set(element, cuts ? [own, ...outer] : outer);
    }
    return known.get(element);
  }

  function widest(select) { // the width at which the longest of its choices can be read
    const copy = select.cloneNode(true);
    copy.style.cssText = 'position: absolute; visibility: hidden; width: max-content; max-width: none';
    select.after(copy);
    const { width } = copy.getBoundingClientRect();
    copy.remove();
    return width;
  }

  function unreadable(selector) { // elements without a size, cut off, or beyond the window's sides
    const [found, known] = [[], new Map()];
    for (const element of document.querySelectorAll(selector)) {
      if (!element.checkVisibility()) continue;
      const { width, height } = element.getBoundingClientRect();
      if (width < 1 || height < 1) {
        found.push(`${named(element)} is ${round(width)} × ${round(height)} pixels`);
        continue;
      }
      if (element.matches('select') && widest(element) > width + 1) {
        found.push(`${named(element)}: a choice is wider`);
        continue;
      }
      for (const node of textNodes(element)) {
        const places = boxes(node);
        const lost = frames(node.parentElement, known).find(({ box, sides, ends, dots }) => dots
          || (sides && places.some((b) => b.left < box.left - 1 || b.right > box.right + 1))
          || (ends && places.some((b) => b.top < box.top - 3 || b.bottom > box.bottom + 3)));
        const beyond = places.some((b) => b.left < -1 || b.right > innerWidth + 1);
        if (!places.length) found.push(`${named(element)}: a text without a size`);
        else if (lost) found.push(`${named(element)} is cut off by ${named(lost.element)}`);
        else if (beyond) found.push(`${named(element)} is beyond the window's side`);
        else continue;
        break;
      }
    }
    return found;
  }

  function overlapping(selector) { // pairs of elements whose texts, or else boxes, overlap
    const shapes = [...document.querySelectorAll(selector)].filter(shown).map((element) => {
      const own = textNodes(element).flatMap(boxes);
      return { element, boxes: own.length ? own : [element.getBoundingClientRect()] };
    });
    return shapes.flatMap((a, i) => shapes.slice(i + 1)
      .filter((b) => !a.element.contains(b.element) && !b.element.contains(a.element)
        && a.boxes.some((p) => b.boxes.some((q) => meets(p, q, 1))))
      .map((b) => `${named(a.element)} and ${named(b.element)}`));
  }

  function outOfView(selector) { // elements that are not wholly in the window, or behind a bar
    const bars = barsAround();
    return [...document.querySelectorAll(selector)].filter(shown).filter((element) => {
      const box = element.getBoundingClientRect();
      return !inside(box, clip(element)) || bars(element).some((bar) => meets(bar, box, 1));
    }).map((element) => {
      const { left, top, right, bottom } = element.getBoundingClientRect();
      return `${named(element)} at ${[left, top, right, bottom].map(round).join(', ')}`;
    });
  }

  function startTabbing() { // the next Tab leads to the first element of the page
    const start = document.createElement('i');
    start.tabIndex = -1;
    document.body.prepend(start);
    start.focus({ preventScroll: true });
    start.remove();
  }

  const forget = () => { measured = new WeakSet(); };

  return { forget, texts, lines, unreadable, overlapping, outOfView, startTabbing };
})();
