"use strict";
(() => {
  const data = JSON.parse(document.getElementById("page-data").textContent);
  const byId = (id) => document.getElementById(id);
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const tables = Object.fromEntries(Object.entries(data.tables).map(([name, text]) => [name, bytes(text)]));
  const NOT_SEEN = 255, LEVELS = 254, TONES = 31, SHADES = 8, UNSEEN_RGB = [120, 124, 132];
  document.body.classList.add("js");

  // CRC-32 as PNG asks for, over the type and body of the colour-table chunk.
  const crcTable = Uint32Array.from({ length: 256 }, (_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
    return n >>> 0;
  });
  const crc32 = (part) => {
    let crc = 0xffffffff;
    for (const b of part) crc = crcTable[(crc ^ b) & 255] ^ (crc >>> 8);
    return (crc ^ 0xffffffff) >>> 0;
  };

  // 256 colours for the levels 0 to 254 (0 to 100 %), then the colour of what was not seen.
  const windowed = (table, lower, upper) => {
    const palette = new Uint8Array(768), span = Math.max(upper - lower, 1e-6);
    for (let n = 0; n < 256; n++) {
      const at = 3 * Math.round(255 * Math.min(1, Math.max(0, ((n * 100) / LEVELS - lower) / span)));
      palette.set(table.subarray(at, at + 3), 3 * n);
    }
    palette.set(UNSEEN_RGB, 3 * NOT_SEEN);
    return palette;
  };
  const shaded = (palette) => {
    const result = new Uint8Array(768);
    for (let tone = 0; tone <= TONES; tone++) {
      const from = tone === TONES ? 3 * NOT_SEEN : 3 * Math.round((tone * LEVELS) / (TONES - 1));
      for (let shade = 0; shade < SHADES; shade++) {
        const brightness = 294 + 58 * shade;
        for (let c = 0; c < 3; c++) result[3 * (tone * SHADES + shade) + c] = Math.floor((palette[from + c] * brightness + 350) / 700);
      }
    }
    result.fill(0, 765);
    return result;
  };

  // The PNGs carry one byte per pixel; only their colour table (bytes 41 to 808) and its checksum (to 812) are
  // replaced: 813 bytes are 1084 characters of base64, and the rest of the text stays.
  const HEAD = 813, HEAD_TEXT = 1084, PREFIX = "data:image/png;base64,";
  const pictures = [...document.querySelectorAll(".ix")].map((node) => {
    const attribute = node.tagName.toLowerCase() === "image" ? "href" : "src";
    const text = node.getAttribute(attribute).slice(PREFIX.length);
    return { node, attribute, head: bytes(text.slice(0, HEAD_TEXT)), tail: text.slice(HEAD_TEXT) };
  });
  const repaint = ({ node, attribute, head, tail }, palette) => {
    head.set(palette, 41);
    new DataView(head.buffer).setUint32(809, crc32(head.subarray(37, 809)));
    node.setAttribute(attribute, PREFIX + btoa(String.fromCharCode(...head)) + tail);
  };

  let palette = windowed(tables[data.table], 0, 100);
  const viewers = [];
  const recolour = () => {
    const lower = +byId("lower").value, upper = +byId("upper").value;
    byId("lower-out").value = lower + " %";
    byId("upper-out").value = upper + " %";
    palette = windowed(tables[byId("table").value], lower, upper);
    document.body.classList.toggle("inverse", byId("table").value === "grey_inverse");
    const shades = shaded(palette);
    const blackened = palette.slice().fill(0, 0, 3);
    for (const picture of pictures) {
      const { dataset } = picture.node;
      repaint(picture, "shaded" in dataset ? shades : "blackout" in dataset ? blackened : palette);
    }
    for (const draw of viewers) draw();
  };
  let queued = false;
  const queue = () => {
    if (queued) return;
    queued = true;
    setTimeout(() => { queued = false; recolour(); }, 15);
  };
  byId("table").addEventListener("change", queue);
  byId("lower").addEventListener("input", () => {
    byId("upper").value = Math.max(+byId("upper").value, +byId("lower").value + 5);
    queue();
  });
  byId("upper").addEventListener("input", () => {
    byId("lower").value = Math.min(+byId("lower").value, +byId("upper").value - 5);
    queue();
  });
  byId("contours").addEventListener("change", (e) => document.body.classList.toggle("contours", e.target.checked));
  byId("values").addEventListener("change", (e) => document.body.classList.toggle("values", e.target.checked));
  byId("segments").addEventListener("change", (e) => {
    document.body.classList.remove("seg17", "seg20", "segnone");
    document.body.classList.add(e.target.value);
  });
  byId("reset").addEventListener("click", () => {
    byId("table").value = data.table;
    byId("lower").value = 0;
    byId("upper").value = 100;
    queue();
  });
  byId("table").form.addEventListener("submit", (e) => e.preventDefault());

  // Cine: the gates lie below each other in one sheet, which slides behind its window.
  document.querySelectorAll(".play").forEach((button) => {
    const heading = button.closest("h3"), output = heading.querySelector(".gate");
    const strips = [...button.closest(".bands").querySelectorAll(".cine")];
    let timer = 0, step = 0;
    const show = (strip, gate) => {
      strip.querySelector("img").style.top = -100 * gate + "%";
      strip.querySelectorAll(".frame").forEach((frame, n) => { frame.hidden = n !== gate; });
    };
    const rest = () => strips.forEach((strip) => show(strip, +strip.dataset.ed));
    button.hidden = false;
    button.addEventListener("click", () => {
      if (timer) {
        clearInterval(timer);
        timer = 0;
        button.textContent = "Play";
        output.value = "";
        rest();
        return;
      }
      button.textContent = "Stop";
      timer = setInterval(() => {
        step += 1;
        for (const strip of strips) show(strip, (+strip.dataset.ed + step) % +strip.dataset.gates);
        const first = strips[0];
        output.value = `gate ${((+first.dataset.ed + step) % +first.dataset.gates) + 1} of ${first.dataset.gates}`;
      }, 1000 / (1.1 * +strips[0].dataset.gates));
    });
    window.addEventListener("beforeprint", rest);
  });

  // The surface: quads sorted from far to near, lit from above the viewer's left shoulder.
  const viewer = (canvas) => {
    const mesh = JSON.parse(canvas.dataset.mesh);
    const unpack = (text) => new Int16Array(bytes(text).buffer);
    const epi = unpack(mesh.epi), endo = unpack(mesh.endo), level = bytes(mesh.level);
    const { rings, angles } = mesh, nodes = (rings + 1) * angles;
    const buttons = [...canvas.parentElement.querySelectorAll("[data-view]")];
    let view = JSON.parse(buttons[1].dataset.view);
    let reach = 0;
    for (let n = 0; n < 3 * nodes; n++) reach = Math.max(reach, Math.abs(epi[n]));
    const seen = new Float32Array(3 * nodes), seenEndo = new Float32Array(3 * nodes);
    const project = (from, to, w, h, scale) => {
      for (let n = 0; n < nodes; n++) {
        const x = from[3 * n], y = from[3 * n + 1], z = from[3 * n + 2];
        to[3 * n] = w / 2 + scale * (view[0][0] * x + view[0][1] * y + view[0][2] * z);
        to[3 * n + 1] = h / 2 - scale * (view[1][0] * x + view[1][1] * y + view[1][2] * z);
        to[3 * n + 2] = scale * (view[2][0] * x + view[2][1] * y + view[2][2] * z);
      }
    };
    const draw = () => {
      const ratio = window.devicePixelRatio || 1, box = canvas.getBoundingClientRect();
      if (!box.width || !box.height) return;
      canvas.width = Math.round(box.width * ratio);
      canvas.height = Math.round(box.height * ratio);
      const pen = canvas.getContext("2d"), w = canvas.width, h = canvas.height;
      const scale = (0.47 * Math.min(w, h)) / (1.08 * reach);
      project(epi, seen, w, h, scale);
      project(endo, seenEndo, w, h, scale);
      const items = [];
      for (let r = 0; r < rings; r++) {
        for (let a = 0; a < angles; a++) {
          const b = (a + 1) % angles, corner = [r * angles + a, (r + 1) * angles + a, (r + 1) * angles + b, r * angles + b];
          items.push({ corner, r, a, z: (seen[3 * corner[0] + 2] + seen[3 * corner[2] + 2]) / 2, points: seen });
          if (r % 4 === 0 || a % 6 === 0) {
            items.push({ corner, r, a, z: (seenEndo[3 * corner[0] + 2] + seenEndo[3 * corner[2] + 2]) / 2, points: seenEndo });
          }
        }
      }
      items.sort((p, q) => p.z - q.z);
      pen.lineJoin = "round";
      for (const { corner, r, a, points } of items) {
        const at = (n) => [points[3 * corner[n]], points[3 * corner[n] + 1], points[3 * corner[n] + 2]];
        const p = at(0), q = at(1), s = at(2), t = at(3);
        if (points === seenEndo) {
          pen.strokeStyle = "rgba(205, 222, 235, .55)";
          pen.lineWidth = 0.8 * ratio;
          pen.beginPath();
          if (a % 6 === 0) { pen.moveTo(p[0], p[1]); pen.lineTo(q[0], q[1]); }
          if (r % 4 === 0) { pen.moveTo(p[0], p[1]); pen.lineTo(t[0], t[1]); }
          pen.stroke();
          continue;
        }
        const u = [s[0] - p[0], s[1] - p[1], s[2] - p[2]], v = [t[0] - q[0], t[1] - q[1], t[2] - q[2]];
        // Screen y runs down; the cross product is taken in a frame with y up.
        let nx = -u[1] * v[2] + u[2] * v[1], ny = u[2] * v[0] - u[0] * v[2], nz = -(u[0] * v[1] - u[1] * v[0]);
        const length = Math.hypot(nx, ny, nz) || 1;
        nx /= length; ny /= length; nz /= length;
        const outside = nz * OUTWARD >= 0, sign = nz >= 0 ? 1 : -1;
        let light = sign * (-0.35 * nx + 0.45 * ny + 0.82 * nz);
        light = Math.min(1, Math.max(0, outside ? light : 0.35 * light));
        const brightness = 0.42 + 0.58 * light, from = 3 * level[r * angles + a];
        const colour = [0, 1, 2].map((c) => Math.round(palette[from + c] * brightness));
        pen.fillStyle = pen.strokeStyle = `rgb(${colour})`;
        pen.lineWidth = 0.7 * ratio;
        pen.beginPath();
        pen.moveTo(p[0], p[1]); pen.lineTo(q[0], q[1]); pen.lineTo(s[0], s[1]); pen.lineTo(t[0], t[1]);
        pen.closePath();
        pen.fill();
        pen.stroke();
      }
    };
    const turn = (right, down) => {
      const about = (i, j, angle) => {
        const c = Math.cos(angle), s = Math.sin(angle), a = view[i], b = view[j];
        view[i] = a.map((x, n) => c * x - s * b[n]);
        view[j] = a.map((x, n) => s * x + c * b[n]);
      };
      about(2, 0, right);
      about(1, 2, down);
      draw();
    };
    let last = null;
    canvas.hidden = false;
    canvas.addEventListener("pointerdown", (e) => { last = [e.clientX, e.clientY]; canvas.setPointerCapture(e.pointerId); });
    canvas.addEventListener("pointermove", (e) => {
      if (!last) return;
      turn((e.clientX - last[0]) * 0.01, (e.clientY - last[1]) * 0.01);
      last = [e.clientX, e.clientY];
    });
    canvas.addEventListener("pointerup", () => { last = null; });
    canvas.addEventListener("pointercancel", () => { last = null; });
    canvas.addEventListener("keydown", (e) => {
      const step = { ArrowLeft: [-0.12, 0], ArrowRight: [0.12, 0], ArrowUp: [0, -0.12], ArrowDown: [0, 0.12] }[e.key];
      if (step) { turn(...step); e.preventDefault(); }
    });
    for (const button of buttons) {
      button.addEventListener("click", () => { view = JSON.parse(button.dataset.view); draw(); });
    }
    new ResizeObserver(draw).observe(canvas);
    viewers.push(draw);
    draw();
  };
  const OUTWARD = 1;
  document.querySelectorAll(".viewer").forEach(viewer);
})();
