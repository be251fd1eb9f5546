"use strict";
const byId = (id) => document.getElementById(id);
const stage = byId("stage"), above = byId("above"), below = byId("below"), edge = byId("edge"), slider = byId("slider");
const body = byId("sets").tBodies[0];
const rows = () => [...body.rows];

function move(share) {
  const at = Math.min(1, Math.max(0, share));
  slider.value = Math.round(1000 * at);
  above.style.clipPath = `inset(0 ${100 * (1 - at)}% 0 0)`;
  edge.style.left = `${at * below.offsetWidth}px`;
}
function show(row, side) {
  rows().forEach((one) => one.classList.toggle(side, one === row));
  (side === "left" ? above : below).src = row.querySelector("img").src;
  byId(side).textContent = `${row.dataset.number}: ${row.querySelector("code").textContent}`;
}
function drag(event) {
  const box = below.getBoundingClientRect();
  move((event.clientX - box.left) / box.width);
}
slider.addEventListener("input", () => move(slider.value / 1000));
stage.addEventListener("pointerdown", (event) => { stage.setPointerCapture(event.pointerId); drag(event); });
stage.addEventListener("pointermove", (event) => { if (event.buttons & 1) drag(event); });
below.addEventListener("load", () => {
  slider.style.width = `${below.offsetWidth}px`;
  move(slider.value / 1000);
});

let kept = null;
addEventListener("keydown", (event) => {
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (step) {
    const next = rows()[rows().findIndex((row) => row.classList.contains("right")) + step];
    if (next) show(next, "right");
    event.preventDefault();
    return;
  }
  if (event.key !== " " || /^(BUTTON|INPUT)$/.test(event.target.tagName)) return;
  event.preventDefault();
  if (kept === null) { kept = slider.value / 1000; move(1); }
});
addEventListener("keyup", (event) => { if (event.key === " " && kept !== null) { move(kept); kept = null; } });

function value(row, key) { return row.dataset[key] === "" ? NaN : Number(row.dataset[key]); }
function sort(head) {
  const usual = Number(head.dataset.order), turned = head.getAttribute("aria-sort");
  const order = turned === (usual > 0 ? "ascending" : "descending") ? -usual : usual;
  document.querySelectorAll("th").forEach((one) => one.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", order > 0 ? "ascending" : "descending");
  const key = head.dataset.key;
  body.append(...rows().sort((a, b) => {
    const [one, other] = [value(a, key), value(b, key)];
    if (isNaN(one) || isNaN(other)) return isNaN(one) - isNaN(other);
    return order * (one - other) || a.dataset.number - b.dataset.number;
  }));
}
document.querySelectorAll("th[data-key]").forEach((head) => head.addEventListener("click", () => sort(head)));

async function copy(button) {
  const text = button.dataset.text;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.body.appendChild(Object.assign(document.createElement("textarea"), { value: text }));
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.textContent = "copied";
  setTimeout(() => { button.textContent = "copy"; }, 1500);
}
body.addEventListener("click", (event) => {
  const row = event.target.closest("tr"), target = event.target;
  if (target.matches(".l")) show(row, "left");
  else if (target.matches(".r, img")) show(row, "right");
  else if (target.matches(".copy")) copy(target);
});
const sharpest = rows().reduce((a, b) => (value(b, "sharpness") > value(a, "sharpness") ? b : a));
show(rows()[0], "left");
show(sharpest === rows()[0] && rows().length > 1 ? rows()[1] : sharpest, "right");
sort(document.querySelector("th[data-key=number]"));
move(0.5);
