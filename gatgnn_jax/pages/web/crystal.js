// A crystal as a 2-D canvas shows it: spheres and bonds sorted by depth, turned by dragging.
//
// `crystal`: formula, lattice [3][3] (Å), atoms [{ label, element, position (fractional), radius (Å) }].
// `view`, one way to see it: title, receivers, senders, images and distances of the edges,
// attention [layer][edge], which bonds are as thick as, and two functions of an atom's number:
// colorOf (red, green, blue) and describe (what is said of it when it is pointed at).
// `state`: what all pictures of a crystal share: a viewpoint, the layer and the chosen atom.

class Picture {
  constructor(crystal, view, state) {
    Object.assign(this, { crystal, view, state, spheres: [] });
    const description = [`${crystal.formula}, ${several(crystal.atoms.length, "atom")}`, view.title,
      view.summary].filter(Boolean).join(", ");
    this.canvas = make("canvas", { tabindex: 0, role: "img", "aria-label": description });
    this.box = make("div", { class: "canvas" }, this.canvas);
    this.context = this.canvas.getContext("2d");
    new ResizeObserver(() => this.draw()).observe(this.box);
    onLook(() => this.draw());
    this.listen();
  }

  listen() {
    const { canvas, state } = this;
    let last = null, moved = 0;
    canvas.addEventListener("pointerdown", event => {
      last = [event.clientX, event.clientY];
      moved = 0;
      this.tip(null);
      canvas.setPointerCapture(event.pointerId);  // so that a turn may end outside
    });
    canvas.addEventListener("pointermove", event => {
      if (!last) return this.hover(event);
      const step = [event.clientX - last[0], event.clientY - last[1]];
      moved += Math.hypot(...step);
      last = [event.clientX, event.clientY];
      state.turnBy(...step.map(pixels => pixels / 140));
    });
    canvas.addEventListener("pointerup", event => {
      if (last && moved < 4) state.choose(this.hit(event));
      if (last && event.pointerType === "touch") this.hover(event);  // what a mouse tells before
      last = null;
    });
    canvas.addEventListener("pointerleave", event => {
      if (event.pointerType !== "touch") this.tip(null);
    });
    canvas.addEventListener("pointercancel", () => { last = null; });
    canvas.addEventListener("dblclick", () => state.reset());
    canvas.addEventListener("wheel", event => {
      event.preventDefault();
      state.zoomBy(Math.exp(-clamp(event.deltaY, -120, 120) / 500));
    }, { passive: false });
    canvas.addEventListener("keydown", event => {
      const arrow = { Left: [-1, 0], Right: [1, 0], Up: [0, -1], Down: [0, 1] }[event.key.slice(5)];
      if (event.key.startsWith("Arrow")) state.turnBy(...arrow.map(step => 0.12 * step));
      else if (event.key === "+") state.zoomBy(1.15);
      else if (event.key === "-") state.zoomBy(1 / 1.15);
      else if (event.key === "Escape") state.choose(null);
      else return;
      event.preventDefault();
    });
  }

  hit(event) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    return this.spheres.findLast(s => Math.hypot(s.x - x, s.y - y) <= s.radius)?.copy ?? null;
  }

  hover(event) {
    const copy = this.hit(event);
    this.tip(copy);
    this.canvas.style.cursor = copy ? "pointer" : "";
  }

  tip(copy) {
    this.box.querySelector(".tip")?.remove();
    const sphere = copy && this.spheres.find(s => s.copy.key === copy.key);
    this.state.mark("lit", copy?.index);
    if (!sphere) return;
    this.box.append(make("div", { class: "tip",
      style: `left:${sphere.x}px;top:${sphere.y - sphere.radius - 7}px` },
      this.view.describe(copy.index)));
  }

  draw() {
    const { canvas, context, crystal, view, state } = this;
    const [width, height] = [this.box.clientWidth, this.box.clientHeight];
    if (!width) return;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const style = getComputedStyle(document.documentElement);
    const theme = name => style.getPropertyValue(name).trim();
    const { rotation, zoom } = state.camera;

    const attention = attentionOf(view, state.layer);
    const chosen = state.chosen;
    const bonds = chosen ? bondsOf(crystal, view, attention, chosen)
      : [...allBonds(crystal, view, attention),
        ...(state.beyond ? bondsBeyond(crystal, view, attention) : [])];
    const near = new Set(chosen ? bonds.map(bond => bond.to.key) : []);
    const beyond = bonds.map(bond => bond.to).filter(copy => copy.outside);
    const outside = [...new Map(beyond.map(copy => [copy.key, copy])).values()];

    const reach = Math.max(crystal.reach,
      ...outside.map(copy => 1.06 * distance(copy.at, crystal.centre) + 1));
    const scale = zoom * Math.min(width, height) / 2 / reach;
    const eye = 6 * crystal.reach;
    const project = at => {
      const [x, y, z] = apply(rotation, at.map((v, k) => v - crystal.centre[k]));
      const size = scale * eye / (eye - z);
      return { x: width / 2 + size * x, y: height / 2 - size * y, z, scale: size };
    };
    const depth = z => clamp((z / crystal.reach + 1) / 2, 0, 1);  // 0 far, 1 near

    const parts = [];
    const line = (from, to, paint) => {
      const [a, b] = [project(from), project(to)];
      parts.push({ z: (a.z + b.z) / 2, paint: () => paint(a, b) });
    };
    const stroke = (a, b, color, size) => {
      context.globalAlpha = 1;
      context.strokeStyle = css(color);
      context.lineWidth = size;
      context.beginPath();
      context.moveTo(a.x, a.y);
      context.lineTo(b.x, b.y);
      context.stroke();
    };
    // The unit cell, in pieces short enough to be sorted by depth.
    const paper = rgb(theme("--card")), cellColor = rgb(theme("--cell"));
    for (const [from, to] of crystal.cellEdges)
      for (let k = 0; k < 10; k++)
        line(mix(from, to, k / 10), mix(from, to, (k + 1) / 10), (a, b) =>
          stroke(a, b, mix(paper, cellColor, 0.35 + 0.65 * depth((a.z + b.z) / 2)), 1.1));

    // Bonds, each in two halves that start on the surface of their atom.
    const [weakest, strongest] = view.range(state.layer);
    const bondColor = rgb(theme("--bond"));
    for (const { from, to, attention } of bonds) {
      const range = strongest - weakest;
      const share = range > 1e-6 ? (attention - weakest) / range : 0.5;
      const middle = mix(from.at, to.at, 0.5);
      for (const end of [from, to]) {
        const surface = 0.95 * crystal.atoms[end.index].radius / distance(end.at, middle);
        const start = mix(end.at, middle, clamp(surface, 0, 1));
        line(start, middle, (a, b) => {
          const size = (0.035 + 0.27 * share) * (a.scale + b.scale) / 2;
          // Pale instead of transparent: where bonds cross, the nearer one hides the other.
          const strength = (0.16 + 0.84 * share) * (0.5 + 0.5 * depth((a.z + b.z) / 2))
            * (to.outside && !chosen ? 0.5 : 1);
          stroke(a, b, mix(paper, bondColor, strength), size);
          if (size > 2.5) stroke(a, b, mix(paper, bondColor, strength * 0.72), size * 0.4);
        });
      }
    }

    // Faces of polyhedra, one by one.
    const solids = state.polyhedra ? polyhedra(crystal, view) : [];
    for (const { index, faces } of solids) for (const face of faces) {
      const corners = face.map(project);
      const z = corners.reduce((sum, corner) => sum + corner.z, 0) / corners.length;
      parts.push({ z, paint: () => {
        context.beginPath();
        corners.forEach(({ x, y }) => context.lineTo(x, y));
        context.closePath();
        context.globalAlpha = 0.3;
        context.fillStyle = css(view.colorOf(index));
        context.fill();
        context.globalAlpha = 0.7;
        context.lineWidth = 1;
        context.strokeStyle = css(mix(view.colorOf(index), [0, 0, 0], 0.35));
        context.stroke();
      } });
    }

    this.spheres = [];
    for (const copy of [...crystal.copies, ...outside]) {
      const centre = project(copy.at);
      const atom = crystal.atoms[copy.index];
      const radius = atom.radius * centre.scale;
      const color = view.colorOf(copy.index);
      const alpha = !chosen ? (copy.outside ? 0.55 : 1)
        : copy.key === chosen.key ? 1 : near.has(copy.key) ? 0.9 : 0.16;
      parts.push({ z: centre.z, paint: () => {
        this.spheres.push({ ...centre, radius, copy });
        const { x, y } = centre;
        const light = [x - 0.34 * radius, y - 0.4 * radius, 0];
        const shade = context.createRadialGradient(...light, x, y, 1.04 * radius);
        shade.addColorStop(0, css(mix(color, [255, 255, 255], 0.62)));
        shade.addColorStop(0.42, css(color));
        shade.addColorStop(0.8, css(color));
        shade.addColorStop(1, css(mix(color, [0, 0, 0], 0.34)));
        context.globalAlpha = alpha;
        context.fillStyle = shade;
        context.beginPath();
        context.arc(x, y, radius, 0, 2 * Math.PI);
        context.fill();
        context.lineWidth = 0.8;
        context.strokeStyle = css(mix(color, [0, 0, 0], 0.45));
        context.stroke();
        if (chosen?.key === copy.key) {
          context.lineWidth = 2.5;
          context.strokeStyle = theme("--accent");
          context.beginPath();
          context.arc(x, y, radius + 3, 0, 2 * Math.PI);
          context.stroke();
        }
        if (radius < 7 || alpha < 0.5) return;
        context.fillStyle = inkOn(color);
        context.font = `600 ${clamp(radius * 0.8, 9, 17)}px Inter, system-ui, sans-serif`;
        context.textAlign = "center";
        context.textBaseline = "middle";
        context.fillText(atom.element, x, y + 0.5);
      } });
    }

    parts.sort((a, b) => a.z - b.z).forEach(part => part.paint());

    context.globalAlpha = 1;
    context.fillStyle = theme("--muted");
    context.font = "italic 500 14px Inter, system-ui, sans-serif";
    crystal.lattice.forEach((vector, k) => {
      const tip = project(vector.map(x => x * (1 + 0.9 / Math.hypot(...vector))));
      context.fillText("abc"[k], tip.x, tip.y);
    });
    canvas.dataset.atoms = this.spheres.length;
    canvas.dataset.bonds = bonds.length;
    canvas.dataset.polyhedra = solids.length;
  }
}
