// The page where a member marks a part of an image. What is painted is sent as a mask: white on black, in the image's size.
(() => {
  "use strict";
  const form = document.getElementById("edit-area");
  const canvas = form.querySelector("canvas");
  const shown = canvas.getContext("2d");
  const brush = document.getElementById("brush");
  const eraser = document.getElementById("eraser");
  const prompt = document.getElementById("prompt");
  const problem = document.getElementById("problem");
  const said = document.getElementById("said");
  const color = getComputedStyle(document.documentElement).getPropertyValue("--main").trim() || "#4752d9";
  let strokes = [];
  let stroke = null;
  // The brush of the keyboard, in pixels of the image.
  const cursor = { x: canvas.width / 2, y: canvas.height / 2, isDown: false, isShown: false };

  // The brush's diameter, in pixels of the image: a part of its longer side.
  const diameter = () => Math.max(1, (Number(brush.value) / 100) * Math.max(canvas.width, canvas.height));

  function draw(context, each, painted, erased) {
    context.save();
    context.globalCompositeOperation = each.erases && !erased ? "destination-out" : "source-over";
    context.strokeStyle = context.fillStyle = each.erases && erased ? erased : painted;
    context.lineWidth = each.size;
    context.lineCap = context.lineJoin = "round";
    const [first, ...rest] = each.points;
    context.beginPath();
    if (rest.length) {
      context.moveTo(first.x, first.y);
      for (const point of rest) context.lineTo(point.x, point.y);
      context.stroke();
    } else {
      context.arc(first.x, first.y, each.size / 2, 0, 2 * Math.PI);
      context.fill();
    }
    context.restore();
  }

  function show() {
    shown.clearRect(0, 0, canvas.width, canvas.height);
    for (const each of strokes) draw(shown, each, color);
    if (!cursor.isShown) return;
    // Two rings, so that one of them is seen on any picture.
    const unit = canvas.width / canvas.clientWidth;
    for (const [ring, width] of [["#000", 4 * unit], ["#fff", 2 * unit]]) {
      shown.beginPath();
      shown.arc(cursor.x, cursor.y, diameter() / 2, 0, 2 * Math.PI);
      shown.strokeStyle = ring;
      shown.lineWidth = width;
      shown.stroke();
    }
  }

  function begin(point) {
    stroke = { erases: eraser.getAttribute("aria-pressed") === "true", size: diameter(), points: [point] };
    strokes.push(stroke);
    problem.textContent = "";
    show();
  }

  function goOn(point) {
    stroke.points.push(point);
    show();
  }

  function lift() {
    stroke = null;
    cursor.isDown = false;
  }

  function undo() {
    lift();
    if (!strokes.pop()) return;
    said.textContent = form.dataset.undone;
    show();
  }

  function pointOf(event) {
    const box = canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) / box.width) * canvas.width,
      y: ((event.clientY - box.top) / box.height) * canvas.height,
    };
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    cursor.isShown = cursor.isDown = false;
    begin(pointOf(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (stroke && !cursor.isDown) goOn(pointOf(event));
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => cursor.isDown || lift());

  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (arrows[event.key]) {
      const step = diameter() * (event.shiftKey ? 2 : 0.5);
      const [x, y] = arrows[event.key];
      cursor.x = Math.min(canvas.width, Math.max(0, cursor.x + x * step));
      cursor.y = Math.min(canvas.height, Math.max(0, cursor.y + y * step));
      cursor.isShown = true;
      if (cursor.isDown) goOn({ x: cursor.x, y: cursor.y });
      else show();
    } else if (event.key === " " || event.key === "Enter") {
      cursor.isShown = true;
      if (cursor.isDown) lift();
      else {
        cursor.isDown = true;
        begin({ x: cursor.x, y: cursor.y });
      }
      said.textContent = cursor.isDown ? form.dataset.down : form.dataset.up;
    } else if (event.key === "+" || event.key === "-") {
      brush.value = Number(brush.value) + (event.key === "+" ? 2 : -2);
      if (cursor.isDown) lift();
      show();
    } else return;
    event.preventDefault();
  });
  canvas.addEventListener("focus", () => {
    cursor.isShown = canvas.matches(":focus-visible");
    show();
  });
  canvas.addEventListener("blur", () => {
    lift();
    cursor.isShown = false;
    show();
  });

  form.addEventListener("keydown", (event) => {
    // In the prompt, the browser undoes what was typed.
    if (event.key.toLowerCase() !== "z" || !(event.ctrlKey || event.metaKey) || event.target === prompt) return;
    event.preventDefault();
    undo();
  });
  document.getElementById("undo").addEventListener("click", undo);
  document.getElementById("clear").addEventListener("click", () => {
    lift();
    strokes = [];
    said.textContent = form.dataset.cleared;
    show();
  });
  eraser.addEventListener("click", () => {
    lift();
    eraser.setAttribute("aria-pressed", String(eraser.getAttribute("aria-pressed") !== "true"));
  });
  brush.addEventListener("input", show);

  function mask() {
    const whole = document.createElement("canvas");
    [whole.width, whole.height] = [canvas.width, canvas.height];
    const context = whole.getContext("2d");
    context.fillStyle = "#000";
    context.fillRect(0, 0, whole.width, whole.height);
    for (const each of strokes) draw(context, each, "#fff", "#000");
    return new Promise((done) => whole.toBlob(done, "image/png"));
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const submit = form.querySelector("[type=submit]");
    submit.disabled = true;
    problem.textContent = "";
    const body = new FormData(form);
    body.append("mask", await mask(), "mask.png");
    try {
      const answer = await fetch(location.href, { method: "POST", body, credentials: "same-origin" });
      const read = await answer.json();
      if (read.address) {
        location.assign(read.address);
        return;
      }
      problem.textContent = read.problem;
    } catch {
      // What was painted is still here: the member can send it again.
      problem.textContent = form.dataset.failed;
    }
    submit.disabled = false;
  });
})();
