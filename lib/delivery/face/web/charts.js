// Lines over time as SVG. A series is {name, color, t: [ms], v: [number or null]}; null breaks the line.

const NS = "http://www.w3.org/2000/svg";
const HEIGHT = 150, RIGHT = 6, TOP = 8, BOTTOM = 18, LETTER = 6;

// Told apart by people who see colours differently (after Okabe and Ito), on light and dark.
export const colors = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a7bd1", "#7f7f7f"];

function svg(tag, attributes, text) {
	const e = document.createElementNS(NS, tag);
	for (const [name, value] of Object.entries(attributes))
		e.setAttribute(name, value);
	if (text !== undefined)
		e.textContent = text;
	return e;
}

// The least 1, 2 or 5 times a power of ten that three steps of which reach v.
function stepFor(v) {
	const rough = Math.max(v, 1e-9) / 3, power = 10 ** Math.floor(Math.log10(rough));
	return [1, 2, 5, 10].map(m => m * power).find(step => step >= rough * 0.999);
}

function line(series, x, y) {
	let path = "", pen = false;
	series.t.forEach((t, i) => {
		const v = series.v[i];
		if (v === null || v === undefined) {
			pen = false;
			return;
		}
		path += `${pen ? "L" : "M"}${x(t).toFixed(1)} ${y(v).toFixed(1)}`;
		pen = true;
	});
	return path;
}

function newest(series, t) {
	let best = -1;
	for (let i = 0; i < series.t.length && series.t[i] <= t; i++)
		best = i;
	return best < 0 ? null : series.v[best];
}

function clock(ms) {
	return new Date(ms).toLocaleTimeString([], {hour12: false});
}

// Draws into place; from and to in ms; write makes text of a value; least: the axis reaches at least this far.
export function chart(place, all, from, to, write, least) {
	const top = Math.max(least, ...all.flatMap(s => s.v.filter((v, i) => v !== null && s.t[i] >= from)));
	const step = stepFor(top), high = Math.ceil(top / step * 0.999) * step;
	const steps = Array.from({length: Math.round(high / step) + 1}, (_, i) => i * step);
	const width = Math.max(place.clientWidth, 200), left = 12 + LETTER * Math.max(...steps.map(v => write(v).length));
	const x = t => left + (t - from) / (to - from) * (width - left - RIGHT);
	const y = v => HEIGHT - BOTTOM - v / high * (HEIGHT - TOP - BOTTOM);
	const root = svg("svg", {class: "chart", viewBox: `0 0 ${width} ${HEIGHT}`, role: "img"});
	for (const v of steps) {
		root.append(svg("line", {class: "grid", x1: left, x2: width - RIGHT, y1: y(v), y2: y(v)}));
		root.append(svg("text", {x: left - 6, y: y(v) + 3, "text-anchor": "end"}, write(v)));
	}
	for (const part of [0, 0.5, 1]) {
		const anchor = ["start", "middle", "end"][part * 2];
		root.append(svg("text", {x: left + part * (width - left - RIGHT), y: HEIGHT - 4, "text-anchor": anchor}, clock(from + part * (to - from))));
	}
	for (const s of all) {
		const shown = {t: s.t.filter(t => t >= from), v: s.v.filter((v, i) => s.t[i] >= from)};
		root.append(svg("path", {d: line(shown, x, y), stroke: s.color}));
	}
	const tip = follow(root, all, from, to, {left, right: width - RIGHT, x}, write);
	place.replaceChildren(root, tip);
}

// Values at the place that is pointed at: returns the box that shows them.
function follow(root, all, from, to, scale, write) {
	const cursor = svg("line", {class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden"});
	const tip = document.createElement("div");
	tip.className = "tip";
	tip.hidden = true;
	root.append(cursor);
	root.addEventListener("pointerleave", () => {
		cursor.setAttribute("visibility", "hidden");
		tip.hidden = true;
	});
	root.addEventListener("pointermove", event => {
		const box = root.getBoundingClientRect(), at = event.clientX - box.left;
		const t = from + (at - scale.left) / (scale.right - scale.left) * (to - from);
		const inside = t >= from && t <= to;
		tip.hidden = !inside;
		cursor.setAttribute("visibility", inside ? "visible" : "hidden");
		cursor.setAttribute("x1", scale.x(t));
		cursor.setAttribute("x2", scale.x(t));
		tip.replaceChildren(clock(t), ...all.map(s => tipRow(s, t, write)));
		tip.style.left = at > box.width / 2 ? "auto" : `${at + 12}px`;
		tip.style.right = at > box.width / 2 ? `${box.width - at + 12}px` : "auto";
	});
	return tip;
}

function tipRow(series, t, write) {
	const v = newest(series, t), row = document.createElement("div"), key = document.createElement("span");
	key.className = "key";
	key.style.background = series.color;
	row.append(key, `${series.name} ${v === null ? "–" : write(v)}`);
	return row;
}
