"use strict";
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const { names, size: [width, height], cell, columns, times, starts, heat: heatMap } = data;
const last = times.length - 1, canvas = $("canvas"), stage = $("stage"), context = canvas.getContext("2d");
const view = { mode: names.length > 1 ? "split" : "one", one: 0, left: 0, right: names.length - 1,
  index: 0, at: 0.5, zoom: 1, x: width / 2, y: height / 2, turn: 0, gain: data.gain };
const off = (w, h) => Object.assign(document.createElement("canvas"), { width: w, height: h });
const clamp = (value, least, most) => Math.min(most, Math.max(least, value));
let video = null, stills = null, wanted = null;

// Pictures: cells of one video, or images of their own.
function source(number) {
  if (stills) return [stills[view.index][number], 0, 0];
  return [video, (number % columns) * cell[0], Math.floor(number / columns) * cell[1]];
}
const isReady = () => (stills ? stills[view.index].every((image) => image.complete && image.naturalWidth)
  : video.readyState >= 2);

// From picture to screen: `s` screen pixels for one of the picture, whose corner lies at (x, y).
function placed() {
  const fit = Math.min(canvas.width / width, canvas.height / height), s = fit * view.zoom;
  const half = [canvas.width / 2 / s, canvas.height / 2 / s];
  view.x = half[0] * 2 >= width ? width / 2 : clamp(view.x, half[0], width - half[0]);
  view.y = half[1] * 2 >= height ? height / 2 : clamp(view.y, half[1], height - half[1]);
  return { s, x: canvas.width / 2 - view.x * s, y: canvas.height / 2 - view.y * s };
}
function paint(image, sx, sy, from, to) {
  const { s, x, y } = placed();
  context.imageSmoothingEnabled = s < 2 && s % 1 !== 0;
  context.imageSmoothingQuality = "high";
  context.save();
  context.beginPath();
  context.rect(from, 0, to - from, canvas.height);
  context.clip();
  context.drawImage(image, sx, sy, width, height, x, y, width * s, height * s);
  context.restore();
}
const luma = (pixels, k) => 0.299 * pixels[k] + 0.587 * pixels[k + 1] + 0.114 * pixels[k + 2];
function pixels(number) {
  const own = off(width, height).getContext("2d", { willReadFrequently: true });
  own.drawImage(source(number)[0], ...source(number).slice(1), width, height, 0, 0, width, height);
  return own.getImageData(0, 0, width, height);
}
function paintHeat() {
  const first = pixels(view.left), second = pixels(view.right), sheet = off(width, height);
  for (let k = 0; k < first.data.length; k += 4) {
    const far = Math.abs(luma(first.data, k) - luma(second.data, k)) * view.gain;
    first.data.set(heatMap[Math.min(255, Math.floor(far))], k);
  }
  sheet.getContext("2d").putImageData(first, 0, 0);
  paint(sheet, 0, 0, 0, canvas.width);
}
function draw() {
  if (!isReady()) return;
  context.fillStyle = "#0c0d0e";
  context.fillRect(0, 0, canvas.width, canvas.height);
  const edge = Math.round(view.at * canvas.width), all = canvas.width;
  if (view.mode === "heat") paintHeat();
  else if (view.mode === "split") {
    paint(...source(view.left), 0, edge);
    paint(...source(view.right), edge, all);
  } else paint(...source(shownAlone()), 0, all);
  stage.dataset.frame = view.index;
  show();
}
const shownAlone = () => (view.mode === "blink" ? [view.left, view.right][view.turn] : view.one);
function label(number) { return data.captions[number]; }
function show() {
  const isSplit = view.mode === "split", isHeat = view.mode === "heat", isOne = view.mode === "one";
  $("handle").hidden = !isSplit;
  $("handle").style.left = 100 * view.at + "%";
  $("handle").setAttribute("aria-valuenow", Math.round(100 * view.at));
  $("tag-left").textContent = isSplit ? label(view.left)
    : isHeat ? names[view.left] + " - " + names[view.right] : label(shownAlone());
  $("tag-right").hidden = !isSplit;
  $("tag-right").textContent = label(view.right);
  $("scale").hidden = $("gain-label").hidden = !isHeat;
  $("scale-text").textContent = "0 to " + +(255 / view.gain).toPrecision(3) + " codes of luma";
  $("left-label").hidden = $("right-label").hidden = isOne || names.length < 3;
  for (const mode of ["split", "blink", "heat"]) $(mode).setAttribute("aria-pressed", view.mode === mode);
  [...$("ones").children].forEach((button, number) =>
    button.setAttribute("aria-pressed", isOne && view.one === number));
  $("zoom").textContent = Math.round(100 * placed().s / devicePixelRatio) + " %";
  if (document.activeElement !== $("seek") || !video || !video.paused) $("seek").value = view.index;
  $("clock").textContent = (data.labels[view.index] || "") + clock(times[view.index])
    + "  " + (view.index + 1) + "/" + times.length;
  $("seek").setAttribute("aria-valuetext", $("clock").textContent);
  document.querySelectorAll(".plot u").forEach((line) => {
    line.style.left = 100 * clamp(times[view.index] / (data.length || 1), 0, 1) + "%";
  });
}
function clock(seconds) {
  const whole = Math.floor(seconds + 5e-4), parts = [Math.floor(whole / 60), whole % 60];
  return parts[0] + ":" + String(parts[1]).padStart(2, "0")
    + "." + String(Math.floor(1000 * (seconds + 5e-4 - whole))).padStart(3, "0");
}

// Time: a frame is sought in the middle of the time for which it is shown.
function indexAt(time) {
  let low = 0, high = last;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle] <= time + 1e-3) low = middle; else high = middle - 1;
  }
  return low;
}
function seek(index) {
  index = clamp(index, 0, last);
  if (stills) { view.index = index; draw(); return; }
  video.pause();
  if (video.seeking) { wanted = index; return; }
  wanted = null;
  view.index = index;
  video.currentTime = (starts[index] + starts[index + 1]) / 2;
}
const aim = () => (wanted === null ? view.index : wanted);
function follow(now, frame) {
  if (!video.seeking) {
    view.index = indexAt(frame ? frame.mediaTime : video.currentTime);
    draw();
  }
  if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(follow);
  else if (!video.paused) requestAnimationFrame(() => follow());
}
function toggle() { if (video) { if (video.paused) video.play(); else seek(view.index); } }
function loadVideo() {
  const text = atob($("video").textContent.trim()), bytes = new Uint8Array(text.length);
  for (let k = 0; k < text.length; k += 1) bytes[k] = text.charCodeAt(k);
  video = Object.assign(document.createElement("video"), { muted: true, loop: true, playsInline: true });
  video.preload = "auto";
  video.addEventListener("seeked", () => (wanted === null ? draw() : seek(wanted)));
  video.addEventListener("loadeddata", draw);
  for (const kind of ["play", "pause"])
    video.addEventListener(kind, () => { $("play").textContent = video.paused ? "Play" : "Pause"; });
  video.addEventListener("error", () => { $("tag-left").textContent = "this browser plays no H.264"; });
  video.src = URL.createObjectURL(new Blob([bytes], { type: "video/mp4" }));
  if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(follow);
  else video.addEventListener("play", () => follow());
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) video.play().catch(() => {});
}
function loadStills() {
  stills = JSON.parse($("stills").textContent).map((row) => row.map((text) => {
    const image = new Image();
    image.onload = draw;
    image.src = "data:image/png;base64," + text;
    return image;
  }));
  for (const id of ["play", "speed-label"]) $(id).hidden = true;
  $("transport").hidden = times.length < 2;
}

// Controls
function set(changes) { Object.assign(view, changes); draw(); }
function zoomBy(factor, px = canvas.width / 2, py = canvas.height / 2) {
  const before = placed(), at = [(px - before.x) / before.s, (py - before.y) / before.s];
  view.zoom = clamp(view.zoom * factor, 1, 64);
  const s = Math.min(canvas.width / width, canvas.height / height) * view.zoom;
  view.x = at[0] - (px - canvas.width / 2) / s;
  view.y = at[1] - (py - canvas.height / 2) / s;
  draw();
}
const whole = () => set({ zoom: 1, x: width / 2, y: height / 2 });
const pointers = new Map();
let drag = null;
function spot(event) {
  const box = stage.getBoundingClientRect(), ratio = canvas.width / box.width;
  return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
}
stage.addEventListener("pointerdown", (event) => {
  const here = spot(event);
  pointers.set(event.pointerId, here);
  stage.setPointerCapture(event.pointerId);
  const isNear = Math.abs(here[0] - view.at * canvas.width) < 24 * devicePixelRatio;
  drag = view.mode === "split" && (isNear || view.zoom === 1) ? "split" : "pan";
  if (drag === "split" && pointers.size === 1) set({ at: clamp(here[0] / canvas.width, 0, 1) });
});
stage.addEventListener("pointermove", (event) => {
  const before = pointers.get(event.pointerId), here = spot(event);
  if (!before) return;
  if (pointers.size === 2) {
    const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
    const far = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
    zoomBy(far(here) / far(before), (here[0] + other[0]) / 2, (here[1] + other[1]) / 2);
  } else if (drag === "split") set({ at: clamp(here[0] / canvas.width, 0, 1) });
  else {
    const { s } = placed();
    set({ x: view.x - (here[0] - before[0]) / s, y: view.y - (here[1] - before[1]) / s });
  }
  pointers.set(event.pointerId, here);
});
for (const kind of ["pointerup", "pointercancel"])
  stage.addEventListener(kind, (event) => pointers.delete(event.pointerId));
stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoomBy(2 ** (-clamp(event.deltaY, -100, 100) / 200), ...spot(event));
}, { passive: false });
const keys = {
  " ": toggle, ",": () => seek(aim() - 1), ".": () => seek(aim() + 1), "0": whole,
  "+": () => zoomBy(1.5), "=": () => zoomBy(1.5), "-": () => zoomBy(1 / 1.5),
  ArrowLeft: () => set({ at: clamp(view.at - 0.02, 0, 1) }),
  ArrowRight: () => set({ at: clamp(view.at + 0.02, 0, 1) }),
  s: () => names.length > 1 && set({ mode: "split" }), b: () => $("blink").click(),
  h: () => $("heat").click(),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const kind = event.target.tagName, key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (kind === "SELECT" || (kind === "INPUT" && key.startsWith("Arrow"))) return;
  if (kind === "BUTTON" && key === " ") return;
  const number = Number(key) - 1, act = keys[key];
  if (number >= 0 && number < names.length) set({ mode: "one", one: number });
  else if (act) act();
  else return;
  event.preventDefault();
});
const turn = (mode) => () => set({ mode: view.mode === mode ? "split" : mode, turn: 0 });
$("split").onclick = () => set({ mode: "split" });
$("blink").onclick = turn("blink");
$("heat").onclick = turn("heat");
$("back").onclick = keys[","];
$("next").onclick = keys["."];
$("play").onclick = toggle;
$("in").onclick = keys["+"];
$("out").onclick = keys["-"];
$("zoom").onclick = whole;
$("seek").max = last;
$("seek").oninput = () => seek(Number($("seek").value));
$("speed").onchange = () => { if (video) video.playbackRate = Number($("speed").value); };
$("gain").onchange = () => set({ gain: Number($("gain").value) });
for (const side of ["left", "right"]) {
  $(side).append(...names.map((name, number) => new Option(name, number)));
  $(side).value = view[side];
  $(side).onchange = () => set({ [side]: Number($(side).value) });
}
const gains = [...new Set([1, 2, 4, 8, 16, 32, data.gain])].sort((one, other) => one - other);
$("gain").append(...gains.map((gain) => new Option("x" + gain, gain, false, gain === data.gain)));
$("ones").append(...names.map((name, number) => {
  const button = document.createElement("button");
  button.textContent = number + 1;
  button.title = name;
  button.setAttribute("aria-label", "show " + name + " alone");
  button.onclick = () => set({ mode: "one", one: number });
  return button;
}));
$("modes").hidden = names.length < 2;
$("scale").firstElementChild.style.background = "linear-gradient(90deg,"
  + [0, 64, 128, 191, 255].map((k) => "rgb(" + heatMap[k].slice(0, 3) + ")") + ")";
document.querySelectorAll(".plot").forEach((plot) => plot.addEventListener("click", (event) => {
  const box = plot.getBoundingClientRect(), time = data.length * (event.clientX - box.left) / box.width;
  const far = (index) => Math.abs(times[index] - time);
  seek(times.reduce((best, _, index) => (far(index) < far(best) ? index : best), 0));
}));
setInterval(() => { if (view.mode === "blink") set({ turn: 1 - view.turn }); }, data.every);
function fitStage() {
  const room = stage.parentElement.clientWidth - 2 * parseFloat(getComputedStyle(stage.parentElement).paddingLeft);
  const high = Math.min(room * height / width, Math.max(220, innerHeight * 0.72));
  stage.style.height = high + "px";
  stage.style.width = Math.min(room, Math.max(300, high * width / height)) + "px";
  canvas.width = Math.round(stage.clientWidth * devicePixelRatio);
  canvas.height = Math.round(stage.clientHeight * devicePixelRatio);
  draw();
}
if (data.kind === "video") loadVideo(); else loadStills();
new ResizeObserver(fitStage).observe(stage.parentElement);
addEventListener("resize", fitStage);
fitStage();
