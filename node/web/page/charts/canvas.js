// A canvas as wide as its container, drawn again when the width or the theme changes.

import { element } from "../dom.js";

const LEAST_PX = 280;

// `draw(context, width, height)` draws in CSS pixels. Returns {ctx, root, again}, as pictures need it.
export function sizedCanvas(place, height, draw, signal) {
  const canvas = element("canvas");
  const context = canvas.getContext("2d");
  place.append(canvas);
  const again = () => {
    const width = Math.max(LEAST_PX, place.clientWidth);
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    draw(context, width, height);
  };
  const watcher = new ResizeObserver(again);
  watcher.observe(place);
  addEventListener("theme", again, { signal });
  signal.addEventListener("abort", () => watcher.disconnect());
  return { ctx: context, root: canvas, again };
}

// Returns where a pointer is on an element, in CSS pixels.
export function pointOn(root, { clientX, clientY }) {
  const box = root.getBoundingClientRect();
  return [clientX - box.left, clientY - box.top];
}
